"""One file at a time: read, written, overwritten, published, dropped, deleted, described."""

from __future__ import annotations

import gc
import logging
import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rv_core._errors import AlreadyExistsError, NotFoundError, NotWritableError, StorageError
from rv_core._filesystem import CHUNK_BYTES, FileSystem
from rv_core.testing._filesystem_contract._base import (
    Put,
    Remove,
    Storage,
    lacks,
    listed,
    needs,
    pattern,
    same_bytes,
)


class Interruption(Exception):  # noqa: N818
    """What ends a ``with`` block early in these tests."""


class Files(Storage):
    def test_what_is_there_is_read(self, fs: FileSystem, put: Put) -> None:
        uri = put("folder/größe.txt", "größe\n".encode())
        assert fs.read_bytes(uri) == "größe\n".encode()
        assert fs.read_str(uri) == "größe\n"
        with fs.open(uri) as stream:
            assert stream.read() == "größe\n".encode()
            assert stream.read() == b"", "at its end, a stream gives nothing more"

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
    def test_any_size_arrives_in_pieces_of_any_size(
        self, fs: FileSystem, put: Put, size: int
    ) -> None:
        data = pattern(size)
        uri = put("file.bin", data)
        assert fs.info(uri).size == size
        same_bytes(fs.read_bytes(uri), data)
        with fs.open(uri) as stream:
            found = b"".join(iter(lambda: stream.read(300_007), b""))
        same_bytes(found, data)

    def test_readers_do_not_disturb_each_other(self, fs: FileSystem, put: Put) -> None:
        uri = put("file.bin", b"0123456789")
        with fs.open(uri) as one, fs.open(uri) as other:
            assert (one.read(3), other.read(5), one.read(), other.read()) == (
                b"012",
                b"01234",
                b"3456789",
                b"56789",
            )

    def test_what_is_not_there_is_not_found(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        put("there.txt", b"x")
        uri = fs.uri_below(root, "not/here.txt")
        asked: list[Callable[[], object]] = [
            lambda: fs.open(uri).read(),
            lambda: fs.info(uri),
            lambda: fs.read_bytes(uri),
            lambda: fs.read_str(uri),
            lambda: fs.last_modified(uri),
            lambda: fs.copy_from(uri, tmp_path / "target"),
            lambda: fs.copy_if_changed(uri, tmp_path / "target", None),
            lambda: fs.local_path(uri),
        ]
        for ask in asked:
            with pytest.raises(NotFoundError) as caught:
                ask()
            assert "here.txt" in str(caught.value), "the error does not say what was asked for"
        assert not (tmp_path / "target").exists()

    @needs("folders")
    def test_a_folder_is_not_read_as_a_file(self, fs: FileSystem, root: str, put: Put) -> None:
        put("folder/file.txt", b"x")
        uri = fs.uri_below(root, "folder")
        with pytest.raises(NotFoundError):
            fs.info(uri)
        with pytest.raises(NotFoundError):
            fs.read_bytes(uri)

    def test_errors_travel_between_processes(self, fs: FileSystem, root: str) -> None:
        with pytest.raises(NotFoundError) as caught:
            fs.info(fs.uri_below(root, "nothing"))
        found = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert type(found) is type(caught.value)
        assert (str(found), found.hint) == (str(caught.value), caught.value.hint)

    def test_info_tells_the_size_and_stays_the_same(self, fs: FileSystem, put: Put) -> None:
        uri = put("file.txt", b"12345")
        assert fs.info(uri).size == 5
        assert fs.info(uri) == fs.info(uri), "nothing changed, and yet the file seems another"

    @needs("last_modified")
    def test_the_time_of_the_last_change_is_told(self, fs: FileSystem, put: Put) -> None:
        uri = put("file.txt", b"x")
        found = fs.last_modified(uri)
        assert found is not None
        assert found.tzinfo is not None, "a time without a zone"
        assert abs(found - datetime.now(UTC)) < timedelta(days=1)
        assert fs.info(uri).last_modified == found

    @lacks("last_modified")
    def test_a_time_that_is_not_known_is_none(self, fs: FileSystem, put: Put) -> None:
        assert fs.last_modified(put("file.txt", b"x")) is None

    @needs("etag")
    def test_the_etag_changes_with_the_content(self, fs: FileSystem, put: Put) -> None:
        seen = {fs.info(put("file.txt", data)).etag for data in (b"one", b"two", b"six")}
        assert None not in seen
        assert len(seen) == 3, f"three contents, but the etags {seen}"

    @lacks("etag")
    def test_an_etag_that_is_not_known_is_none(self, fs: FileSystem, put: Put) -> None:
        assert fs.info(put("file.txt", b"x")).etag is None

    def test_a_file_exists_as_long_as_it_is_there(
        self, fs: FileSystem, root: str, put: Put, remove: Remove
    ) -> None:
        uri = fs.uri_below(root, "folder/file.txt")
        assert not fs.file_exists(uri)
        put("folder/file.txt", b"")
        assert fs.file_exists(uri), "an empty file is a file"
        assert fs.file_exists(uri, include_dir=False)
        remove("folder/file.txt")
        assert not fs.file_exists(uri)

    @needs("list")
    def test_a_folder_exists_if_it_is_asked_for_and_holds_a_file(
        self, fs: FileSystem, root: str, put: Put
    ) -> None:
        put("bush/deep/file.txt", b"x")
        for name in ("bush", "bush/", "bush/deep"):
            assert fs.file_exists(fs.uri_below(root, name)), name
        assert not fs.file_exists(fs.uri_below(root, "bus")), "`bus` is not `bush/`"
        assert not fs.file_exists(fs.uri_below(root, "bush/dee"))

    @needs("folders")
    def test_a_folder_is_no_file(self, fs: FileSystem, root: str, put: Put) -> None:
        put("bush/file.txt", b"x")
        assert not fs.file_exists(fs.uri_below(root, "bush"), include_dir=False)

    def test_it_answers_for_its_own_uris(self, fs: FileSystem, root: str) -> None:
        assert fs.matches_uri(root)
        assert fs.matches_uri(root, "w") == fs.writable == ("write" in self.capabilities)

    @needs("seek")
    def test_streams_seek(self, fs: FileSystem, put: Put) -> None:
        data = pattern(100_000)
        with fs.open(put("file.bin", data)) as stream:
            assert stream.seekable()
            for offset in (0, 99_999, 50_000, 3, 100_000):
                assert stream.seek(offset) == offset == stream.tell()
                assert stream.read(7) == data[offset : offset + 7]
            stream.seek(-10, 2)
            assert stream.read(100) == data[-10:]
            stream.seek(1000)
            stream.seek(500, 1)
            assert stream.read(1) == data[1500:1501]
            assert stream.seek(200_000) == 200_000
            assert stream.read(1) == b"", "behind the end is nothing"

    @lacks("seek")
    def test_streams_say_that_they_do_not_seek(self, fs: FileSystem, put: Put) -> None:
        with fs.open(put("file.bin", b"x")) as stream:
            assert not stream.seekable()

    @needs("secrets")
    def test_no_secret_shows(
        self,
        fs: FileSystem,
        root: str,
        put: Put,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        fs.read_bytes(put("file.txt", b"x"))
        shown = [repr(fs)]
        missing = fs.uri_below(root, "missing.txt")
        asked: list[Callable[[], object]] = [
            lambda: fs.info(missing),
            lambda: fs.read_bytes(missing),
            lambda: fs.copy_from(missing, tmp_path / "x"),
            lambda: fs.delete(missing),
            lambda: fs.local_path(missing),
        ]
        for ask in asked:
            with pytest.raises(StorageError) as caught:
                ask()
            shown += ["".join(traceback.format_exception(caught.value)), str(caught.value.hint)]
        shown += [caplog.text, *(str(vars(record)) for record in caplog.records)]
        for secret in self.secrets:
            assert not [text for text in shown if secret in text], "a secret is shown"


class Writing(Storage):
    @needs("write")
    def test_what_is_written_is_there(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "new/folder/file.txt")
        fs.write_str(uri, "größe")
        assert fs.read_bytes(uri) == "größe".encode()
        fs.write_bytes(uri, b"")
        assert fs.read_bytes(uri) == b"", "what was written is what is there, no more"
        fs.write_bytes(uri, b"other")
        assert fs.read_str(uri) == "other"

    @needs("write")
    def test_streams_take_pieces_of_any_size_and_kind(self, fs: FileSystem, root: str) -> None:
        uri, data = fs.uri_below(root, "file.bin"), pattern(3 * CHUNK_BYTES + 5)
        with fs.open(uri, "wb") as stream:
            assert stream.write(data[:1]) == 1
            stream.write(b"")
            stream.write(bytearray(data[1:70_000]))
            stream.write(memoryview(data)[70_000 : 2 * CHUNK_BYTES])
            stream.write(data[2 * CHUNK_BYTES :])
        same_bytes(fs.read_bytes(uri), data)

    @needs("write")
    def test_a_file_appears_when_its_stream_is_closed(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "folder/file.bin")
        data = pattern(2 * CHUNK_BYTES)
        stream = fs.open(uri, "wb")
        stream.write(data)
        stream.flush()
        assert not fs.file_exists(uri), "an unfinished file is there under its final name"
        if "list" in self.capabilities:
            assert listed(fs, root) == [], "an unfinished file is listed"
        stream.close()
        stream.close()  # which does nothing any more
        same_bytes(fs.read_bytes(uri), data)

    @needs("write")
    def test_the_old_file_is_read_until_the_new_one_is_whole(
        self, fs: FileSystem, root: str
    ) -> None:
        uri = fs.uri_below(root, "file.txt")
        fs.write_bytes(uri, b"old")
        with fs.open(uri, "wb") as stream:
            stream.write(b"new")
            stream.flush()
            same_bytes(fs.read_bytes(uri), b"old")
        assert fs.read_bytes(uri) == b"new"

    @needs("write")
    @pytest.mark.parametrize("mode", ["wb", "xb"])
    @pytest.mark.parametrize("size", [5, 3 * CHUNK_BYTES])
    def test_an_exception_drops_what_was_written(
        self, fs: FileSystem, root: str, mode: str, size: int
    ) -> None:
        if mode == "xb" and "exclusive" not in self.capabilities:
            mode = "wb"
        uri = fs.uri_below(root, "file.txt")
        with pytest.raises(Interruption), fs.open(uri, mode) as stream:  # type: ignore[arg-type]
            stream.write(pattern(size))
            raise Interruption
        assert not fs.file_exists(uri), "half a file was published"
        if "list" in self.capabilities:
            assert listed(fs, root) == [], "something is left behind"

    @needs("write")
    def test_an_exception_keeps_the_old_file(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "file.txt")
        fs.write_bytes(uri, b"old")
        with pytest.raises(KeyboardInterrupt), fs.open(uri, "wb") as stream:
            stream.write(b"new")
            raise KeyboardInterrupt
        same_bytes(fs.read_bytes(uri), b"old")

    @needs("write")
    @pytest.mark.slow
    def test_an_exception_drops_a_large_file_too(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "file.bin")
        fs.write_bytes(uri, b"old")
        with pytest.raises(Interruption), fs.open(uri, "wb") as stream:
            for _ in range(40):
                stream.write(bytes(1 << 20))
            raise Interruption
        same_bytes(fs.read_bytes(uri), b"old")

    @needs("write")
    def test_a_stream_that_is_forgotten_publishes_nothing(self, fs: FileSystem, root: str) -> None:
        """Code that fails between `open` and `close` without a ``with`` block leaves no file."""
        uri = fs.uri_below(root, "file.txt")

        def fail() -> None:
            stream = fs.open(uri, "wb")
            stream.write(b"half")
            raise Interruption

        with suppress(Interruption):
            fail()
        gc.collect()
        assert not fs.file_exists(uri), "half a file was published"

    @needs("write", "exclusive")
    def test_xb_makes_a_file_but_replaces_none(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "folder/lock")
        with fs.open(uri, "xb") as stream:
            stream.write(b"first")
        with pytest.raises(AlreadyExistsError), fs.open(uri, "xb") as stream:
            stream.write(b"second")
        assert fs.read_bytes(uri) == b"first"

    @needs("write", "exclusive")
    def test_xb_does_not_replace_what_appeared_meanwhile(self, fs: FileSystem, root: str) -> None:
        uri = fs.uri_below(root, "folder/lock")
        with pytest.raises(AlreadyExistsError), fs.open(uri, "xb") as stream:
            stream.write(b"late")
            fs.write_bytes(uri, b"first")
        same_bytes(fs.read_bytes(uri), b"first")

    @needs("write", "delete")
    def test_deleting_a_file(self, fs: FileSystem, root: str, put: Put) -> None:
        one, other = put("folder/one", b"1"), put("folder/other", b"2")
        fs.delete(one)
        assert not fs.file_exists(one)
        assert fs.read_bytes(other) == b"2"
        with pytest.raises(NotFoundError):
            fs.delete(one)
        fs.write_bytes(one, b"again")
        assert fs.read_bytes(one) == b"again"

    @needs("write", "delete", "list")
    def test_deleting_a_folder_leaves_its_neighbours(
        self, fs: FileSystem, root: str, put: Put
    ) -> None:
        for name in ("bus/1", "bus/deep/er/2", "bush/3", "bus.txt"):
            put(name, b"x")
        with pytest.raises(NotFoundError):
            fs.delete(fs.uri_below(root, "bu"))
        fs.delete(fs.uri_below(root, "bus"))
        assert listed(fs, root) == ["bus.txt", "bush/3"]
        with pytest.raises(NotFoundError):
            fs.delete(fs.uri_below(root, "bus"))

    @needs("write", "delete")
    def test_deleting_files_does_not_mind_those_that_are_gone(
        self, fs: FileSystem, root: str, put: Put
    ) -> None:
        uris = [put(f"folder/{n} #?%20.txt", b"x") for n in range(5)]
        gone = fs.uri_below(root, "folder/gone")
        fs.delete_files(iter([uris[0], gone, *uris[1:4]]))
        assert [fs.file_exists(uri) for uri in uris] == [False] * 4 + [True]
        fs.delete_files([])

    @needs("write")
    @lacks("delete")
    def test_deleting_is_refused(self, fs: FileSystem, put: Put) -> None:
        uri = put("file.txt", b"x")
        with self._refused():
            fs.delete(uri)
        assert fs.read_bytes(uri) == b"x"

    @lacks("write")
    def test_a_read_only_system_refuses_before_it_looks(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        (tmp_path / "file.txt").write_bytes(b"new")
        there = put("file.txt", b"old")
        missing = fs.uri_below(root, "missing.txt")
        uses: list[Callable[[str], object]] = [
            lambda uri: fs.open(uri, "wb"),
            lambda uri: fs.open(uri, "xb"),
            lambda uri: fs.write_bytes(uri, b"new"),
            lambda uri: fs.write_str(uri, "new"),
            fs.delete,
            lambda uri: fs.copy_to(tmp_path / "file.txt", uri),
        ]
        for uri in (there, missing):
            for use in uses:
                with self._refused(NotWritableError):
                    use(uri)
        with self._refused(NotWritableError):
            fs.sync_to_dir(tmp_path, root)
        assert fs.read_bytes(there) == b"old"
