"""The promises of storage, on nginx as it serves one folder of files in several ways."""

from __future__ import annotations

import gzip
import sys
import time
import uuid

import pytest
from rv_core.testing import DownloadFaults, FaultProxy, FileSystemContract, only

from rv_core import TransferError
from rv_fs_http import HttpFileSystem, HttpSettings

READABLE = FileSystemContract.capabilities - {"any_key", "delete", "exclusive", "write"}


NOT_OF_FOLDERS = frozenset({"empty part", "trailing slash"})
HIDDEN = frozenset({"hidden", "dots"})  # nginx lists no name that begins with a dot


# What is had from an index.
LISTED = (
    "test_a_listing_is_recursive_and_its_uris_can_be_used",
    "test_a_listing_tells_what_info_tells",
    "test_all_names_come_down",
    "test_nothing_lists_nothing",
    "test_a_folder_exists_if_it_is_asked_for_and_holds_a_file",
    "test_what_is_unchanged_is_not_downloaded_again",
)
# What goes by the headers of a file: ranges, etags, times.
READ = (
    "test_any_size_arrives_in_pieces_of_any_size",
    "test_a_download_is_the_file",
    "test_what_is_known_already_is_not_downloaded",
    "test_a_local_path_holds_what_is_there_now",
    "test_an_etag_that_is_not_known_is_none",
    "test_a_time_that_is_not_known_is_none",
    "test_a_stream_reads_the_version_that_it_began",
    "test_streams_seek",
    "test_streams_say_that_they_do_not_seek",
    "test_a_system_that_does_not_list_says_so",
)


class Served(FileSystemContract):
    """``way``: the path of nginx.conf under which the files are asked for."""

    capabilities = READABLE
    refused_names = NOT_OF_FOLDERS | HIDDEN
    way = "plain"

    @pytest.fixture
    def fs(self) -> HttpFileSystem:
        return HttpFileSystem()

    @pytest.fixture
    def folder(self) -> str:
        return f"a folder {uuid.uuid4().hex}"

    @pytest.fixture
    def root(self, nginx, folder) -> str:
        return f"{nginx.url}/{self.way}/{folder.replace(' ', '%20')}"

    @pytest.fixture
    def put(self, fs, root, nginx, folder):
        def put(name: str, data: bytes) -> str:
            nginx.put(f"{folder}/{name}", data)
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def remove(self, nginx, folder):
        return lambda name: nginx.remove(f"{folder}/{name}")


class TestJsonIndex(Served):
    """The whole contract; the other ways differ in what the server tells."""

    way = "json"


@only(*LISTED)
class TestHtmlIndex(Served):
    way = "html"


@only(*READ)
class TestGzipForThoseWhoAcceptIt(Served):
    way = "gzip"
    capabilities = READABLE - {"list"}


@only(*READ)
class TestNoRanges(Served):
    way = "whole"
    capabilities = READABLE - {"list", "seek"}


@only(*READ)
class TestNoEtag(Served):
    way = "dated"
    capabilities = READABLE - {"list", "etag"}


@only(*READ)
class TestNothingTellsVersionsApart(Served):
    way = "bare"
    capabilities = READABLE - {"list", "etag", "last_modified", "seek"}


@only("test_no_secret_shows", "test_all_names_come_down", "test_the_cache_takes_every_name")
class TestPassword(Served):
    way = "secret"
    secrets = ("not-to-be-seen-here",)

    @pytest.fixture
    def fs(self, nginx) -> HttpFileSystem:
        host = nginx.url.removeprefix("http://")
        known = {"username": nginx.user, "password": nginx.password}
        return HttpFileSystem(HttpSettings(hosts={host: known}))


COPY = "import sys; from rv_fs_http import HttpFileSystem as F; F().copy_from(*sys.argv[1:])"


class TestDownloads(DownloadFaults):
    """The fault battery, nginx behind the proxy."""

    secrets = ("HUSH",)
    way = "json"

    @pytest.fixture
    def proxy(self, nginx):
        with FaultProxy(nginx.port) as proxy:
            yield proxy

    @pytest.fixture
    def fs(self) -> HttpFileSystem:
        return HttpFileSystem()

    @pytest.fixture
    def folder(self) -> str:
        return uuid.uuid4().hex

    @pytest.fixture
    def root(self, proxy, folder) -> str:
        return f"{proxy.url}/{self.way}/{folder}?token=HUSH"

    @pytest.fixture
    def put(self, nginx, fs, root, folder):
        def put(name: str, data: bytes) -> str:
            nginx.put(f"{folder}/{name}", data)
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def command(self):
        return lambda uri, path: [sys.executable, "-c", COPY, uri, str(path)]


@only(
    "test_a_connection_that_breaks_once",
    "test_a_file_that_is_replaced_where_the_connection_breaks",
    "test_a_file_that_is_replaced_while_a_stream_reads_it",
    "test_a_file_that_never_stays_the_same",
)
class TestDownloadsWithoutRanges(TestDownloads):
    way = "whole"
    lists = False
    resumes = False


def test_a_server_that_limits_its_speed_is_waited_for(nginx, tmp_path):
    """A megabyte at once, then two a second: slow is not stalled."""
    data = bytes(range(256)) * (5 << 12)
    nginx.put("slow.bin", data)
    HttpFileSystem().copy_from(f"{nginx.url}/limited/slow.bin", tmp_path / "slow.bin")
    assert (tmp_path / "slow.bin").read_bytes() == data


def test_what_is_compressed_for_everyone_is_unpacked(nginx, tmp_path):
    data = b"a line of text\n" * 100_000
    nginx.put("text.txt", data)
    nginx.put("text.txt.gz", gzip.compress(data))
    fs = HttpFileSystem()
    uri = f"{nginx.url}/forced-gzip/text.txt"
    fs.copy_from(uri, tmp_path / "text.txt")
    assert (tmp_path / "text.txt").read_bytes() == data
    assert fs.read_bytes(uri) == data


def test_redirects_are_followed_and_keep_what_was_asked_for(nginx):
    nginx.put("a b#1.txt", b"moved")
    assert HttpFileSystem().read_bytes(f"{nginx.url}/moved/a%20b%231.txt") == b"moved"


def test_the_cache_asks_whether_a_file_is_current_whatever_its_headers_promise(nginx, tmp_path):
    fs = HttpFileSystem()
    uri = f"{nginx.url}/cached/map.bin"
    for version in (b"one", b"two"):
        nginx.put("map.bin", version)
        assert fs.local_path(uri).read_bytes() == version


def test_a_server_that_stays_busy_is_an_error_in_time(nginx):
    began = time.monotonic()
    with pytest.raises(TransferError):
        HttpFileSystem().read_bytes(f"{nginx.url}/busy/file")
    assert time.monotonic() - began < 120
