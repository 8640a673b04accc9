"""Storage that breaks one promise each, and the test of the suite that has to notice.

Run by `test_testing_contract_catches.py` as a third party's test module would be.
"""

import os
import runpy
import shutil
import threading
import time
import unicodedata
from datetime import datetime
from io import BufferedReader, BytesIO, RawIOBase
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import attrs
import pytest
from rv_core.testing import FileSystemContract

from rv_core import AlreadyExistsError, NotFoundError, Progress

EXAMPLE = Path(__file__).resolve().parents[1] / "plugin_examples" / "memory_storage.py"
Memory = runpy.run_path(str(EXAMPLE))["MemoryFileSystem"]
Upload = runpy.run_path(str(EXAMPLE))["MemoryFile"]


class Contract(FileSystemContract):
    """``catches``: the tests that have to fail, as pytest names them."""

    capabilities = FileSystemContract.capabilities - {"constant_memory"}
    storage = Memory
    catches = ()
    whole = "TestWhole"
    examples = 60

    @pytest.fixture
    def fs(self):
        return self.storage()

    @pytest.fixture
    def root(self):
        return "mem://place"


class TestWhole(Contract):
    pass


class TestUnfinishedFilesAreSeen(Contract):
    catches = (
        "test_a_file_appears_when_its_stream_is_closed",
        "test_the_old_file_is_read_until_the_new_one_is_whole",
        "test_readers_see_one_whole_version_while_others_write",
    )

    class storage(Memory):
        def open(self, uri, mode="rb"):
            stream = super().open(uri, mode)
            if mode != "rb":
                put = stream.write

                def write(data):
                    count = put(data)
                    self.publish(uri, stream.getvalue(), exclusive=False)
                    time.sleep(0.001)
                    return count

                stream.write = write
            return stream


class TestWritingInTwo(Contract):
    catches = ("test_readers_see_one_whole_version_while_others_write",)

    class storage(Memory):
        def write_bytes(self, uri, data):
            self.publish(uri, data[: len(data) // 2], exclusive=False)
            time.sleep(0.001)
            self.publish(uri, data, exclusive=False)


class TestStreamsThatFollowTheFile(Contract):
    catches = ("test_a_stream_reads_the_version_that_it_began",)

    class storage(Memory):
        def open(self, uri, mode="rb"):
            return super().open(uri, mode) if mode != "rb" else BufferedReader(Following(self, uri))


class Following(RawIOBase):
    """Asks for the file anew each time something is read."""

    def __init__(self, fs, uri):
        self.fs, self.uri, self.pos = fs, uri, 0
        fs.info(uri)

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self.fs.found(self.uri)[0][self.pos : self.pos + len(buffer)]
        buffer[: len(data)] = data
        self.pos += len(data)
        return len(data)


class TestAnAbortPublishes(Contract):
    catches = (
        "test_an_exception_drops_what_was_written[5-wb]",
        "test_an_exception_keeps_the_old_file",
        "test_an_interrupted_upload_keeps_the_old_file",
    )

    class storage(Memory):
        def open(self, uri, mode="rb"):
            class Careless(Upload):
                def __exit__(self, *error):
                    self.close()

            return Careless(self, uri, mode == "xb") if mode != "rb" else super().open(uri)


class TestAForgottenStreamPublishes(Contract):
    catches = ("test_a_stream_that_is_forgotten_publishes_nothing",)

    class storage(Memory):
        def open(self, uri, mode="rb"):
            class Careless(Upload):
                def __del__(self):
                    self.close()

            return Careless(self, uri, mode == "xb") if mode != "rb" else super().open(uri)


class TestBusMatchesBush(Contract):
    catches = (
        "test_bus_is_not_bush",
        "test_a_folder_exists_if_it_is_asked_for_and_holds_a_file",
        "test_deleting_a_folder_leaves_its_neighbours",
    )

    class storage(Memory):
        def list_paths(self, uri, ext=""):
            start = uri.rstrip("/")
            yield from sorted(u for u in self.files if u.startswith(start) and u.endswith(ext))


class TestOnePageOnly(Contract):
    catches = ("test_a_listing_has_no_page_limit",)

    class storage(Memory):
        def list_paths(self, uri, ext=""):
            yield from islice(super().list_paths(uri, ext), 1000)


class TestOnePageOfWhatIsKnown(Contract):
    catches = ("test_a_listing_has_no_page_limit",)

    class storage(Memory):
        def list_files(self, uri, ext=""):
            yield from islice(super().list_files(uri, ext), 1000)


class TestOneRequestDeletesSome(Contract):
    catches = ("test_a_listing_has_no_page_limit",)

    class storage(Memory):
        def delete_files(self, uris):
            super().delete_files(islice(uris, 1000))


class TestListingsAreKept(Contract):
    catches = ("test_a_listing_is_never_an_old_one",)

    class storage(Memory):
        def __init__(self):
            super().__init__()
            self.kept = {}

        def list_paths(self, uri, ext=""):
            if uri not in self.kept:
                self.kept[uri] = list(super().list_paths(uri))
            yield from (found for found in self.kept[uri] if found.endswith(ext))


class Respelled(Memory):
    """Spells names otherwise than it was asked to."""

    def respell(self, uri):
        return uri

    def found(self, uri):
        return super().found(self.respell(uri))

    def publish(self, uri, data, exclusive):
        super().publish(self.respell(uri), data, exclusive)


class TestQueriesAreCutOff(Contract):
    catches = ("test_a_name_survives[question mark]", "test_all_names_come_down")

    class storage(Respelled):
        def respell(self, uri):
            return uri.partition("?")[0]


class TestNamesAreDecoded(Contract):
    catches = ("test_a_name_survives[encoded space]", "test_a_name_survives[encoded slash]")

    class storage(Respelled):
        def respell(self, uri):
            return unquote(uri)


class TestAccentsAreComposed(Contract):
    catches = ("test_a_name_survives[decomposed]",)

    class storage(Respelled):
        def respell(self, uri):
            return unicodedata.normalize("NFC", uri)


class TestSlashesAreMerged(Contract):
    catches = ("test_a_name_survives[empty part]",)

    class storage(Respelled):
        def respell(self, uri):
            scheme, _, path = uri.partition("://")
            while "//" in path:
                path = path.replace("//", "/")
            return f"{scheme}://{path}"


class TestEtagsAreSizes(Contract):
    catches = (
        "test_the_etag_changes_with_the_content",
        "test_a_local_path_goes_by_the_etag",
        "test_a_change_of_neither_size_nor_second_is_seen",
    )

    class storage(Memory):
        def info(self, uri):
            info = super().info(uri)
            return attrs.evolve(info, etag=str(info.size))


class TestTimesAreNaive(Contract):
    catches = ("test_the_time_of_the_last_change_is_told",)

    class storage(Memory):
        def info(self, uri):
            return attrs.evolve(super().info(uri), last_modified=datetime.now())


class TestXbLooksTooEarly(Contract):
    catches = ("test_of_many_that_create_a_file_one_succeeds",)

    class storage(Memory):
        def open(self, uri, mode="rb"):
            if mode == "xb" and uri in self.files:
                raise AlreadyExistsError(f"{uri} is there")
            time.sleep(0.2)
            return super().open(uri, "wb" if mode == "xb" else mode)


class TestXbLooksNoMoreOnClosing(Contract):
    catches = ("test_xb_does_not_replace_what_appeared_meanwhile",)

    class storage(Memory):
        def publish(self, uri, data, exclusive):
            super().publish(uri, data, exclusive=False)


class TestDeletingNothingIsFine(Contract):
    catches = ("test_deleting_a_file", "test_deleting_a_folder_leaves_its_neighbours")

    class storage(Memory):
        def delete(self, uri):
            try:
                super().delete(uri)
            except NotFoundError:
                return


class TestWhatWasDeletedStaysUnlisted(Contract):
    """Wrong in a sequence of operations only."""

    catches = ("test_any_sequence_of_operations_leaves_what_a_dictionary_would_hold",)

    class storage(Memory):
        def __init__(self):
            super().__init__()
            self.gone = set()

        def delete(self, uri):
            self.gone |= set(self.list_paths(uri))
            super().delete(uri)

        def list_paths(self, uri, ext=""):
            yield from (u for u in super().list_paths(uri, ext) if u not in self.gone)


class TestErrorsStayInTheirProcess(Contract):
    catches = ("test_errors_travel_between_processes",)

    class storage(Memory):
        def info(self, uri):
            try:
                return super().info(uri)
            except NotFoundError as error:
                error.lock = threading.Lock()
                raise


class TestSecretsAreShown(Contract):
    catches = ("test_no_secret_shows",)
    secrets = ("pssst",)

    class storage(Memory):
        def found(self, uri):
            if uri not in self.files:
                try:
                    raise ValueError(f"GET {uri}?token=pssst")
                except ValueError as error:
                    raise NotFoundError(f"nothing is at {uri}") from error
            return super().found(uri)


class TestReadOnlyButWritten(Contract):
    capabilities = Contract.capabilities - {"write", "delete", "exclusive"}
    catches = ("test_a_read_only_system_refuses_before_it_looks",)

    class storage(Memory):
        writable = False


class TestStreamsThatDoNotSeek(Contract):
    catches = ("test_streams_seek",)

    class storage(Memory):
        def open(self, uri, mode="rb"):
            class Forward(BytesIO):
                def seekable(self):
                    return False

            stream = super().open(uri, mode)
            return Forward(stream.read()) if mode == "rb" else stream


class TestDownloadsInPlace(Contract):
    catches = ("test_an_interrupted_download_keeps_the_old_file",)

    class storage(Memory):
        def copy_from(self, uri, path, on_progress=lambda progress: None):
            data, info = self.found(uri)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with Path(path).open("wb") as stream:
                stream.write(data)
                on_progress(Progress("copy", len(data), len(data), "B"))
            return info


class TestProgressEndsEarly(Contract):
    catches = ("test_a_download_reports_its_progress",)

    class storage(Memory):
        def copy_from(self, uri, path, on_progress=lambda progress: None):
            return super().copy_from(
                uri, path, lambda p: on_progress(attrs.evolve(p, done=p.done // 2))
            )


class TestSyncsWithoutLooking(Contract):
    catches = (
        "test_what_is_unchanged_is_not_downloaded_again",
        "test_nothing_deletes_nothing",
        "test_no_key_leads_out_of_the_folder",
        "test_no_link_leads_out_of_the_folder",
    )

    class storage(Memory):
        def sync_from_dir(self, src_uri, dest_dir, delete=False, on_progress=None):
            root = src_uri.rstrip("/") + "/"
            if delete:
                shutil.rmtree(dest_dir, ignore_errors=True)
            for uri in list(self.list_paths(root)):
                target = Path(dest_dir) / uri.removeprefix(root).replace("\0", "0").lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.found(uri)[0])


class TestSyncsInPlace(Contract):
    catches = (
        "test_an_interrupted_sync_leaves_files_whole",
        "test_what_is_not_there_is_deleted_on_request",
    )

    class storage(Memory):
        def sync_from_dir(self, src_uri, dest_dir, delete=False, on_progress=None):
            files = list(self.list_files(src_uri))
            if delete:
                shutil.rmtree(dest_dir)
            for n, file in enumerate(files):
                target = Path(dest_dir) / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as stream:
                    stream.write(self.found(file.uri)[0][:1000])
                    on_progress(Progress("sync", n, len(files)))
                    stream.write(self.found(file.uri)[0][1000:])


class TestOneLocalPath(Contract):
    catches = ("test_a_local_path_does_not_change_under_a_reader",)

    class storage(Memory):
        def local_path(self, uri):
            path = Path(os.environ["RV_CACHE_DIR"])
            path.write_bytes(self.found(uri)[0])
            return path


class TestSyncUpDeletesForNothing(Contract):
    catches = ("test_an_empty_folder_deletes_only_if_that_is_allowed",)

    class storage(Memory):
        def sync_to_dir(self, src_dir, dest_uri, delete=False, allow_empty=False, **more):
            super().sync_to_dir(src_dir, dest_uri, delete, delete or allow_empty, **more)


class TestFilesInMemory(Contract):
    capabilities = FileSystemContract.capabilities
    catches = ("test_memory_does_not_grow_with_the_file",)
