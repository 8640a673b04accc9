"""The promises of storage, on nginx as it serves one folder of files in several ways."""

from __future__ import annotations

import gzip
import sys
import time
import uuid

import pytest
from rv_core.testing import DownloadFaults, FaultProxy, FileSystemContract

from rv_core import TransferError
from rv_fs_http import HttpFileSystem, HttpSettings

READABLE = FileSystemContract.capabilities - {"any_key", "delete", "exclusive", "write"}


NOT_OF_FOLDERS = frozenset({"empty part", "trailing slash"})
HIDDEN = frozenset({"hidden", "dots"})  # nginx lists no name that begins with a dot


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
    way = "json"


class TestHtmlIndex(Served):
    way = "html"


class TestNoIndex(Served):
    capabilities = READABLE - {"list"}
    refused_names = NOT_OF_FOLDERS


class TestGzipForThoseWhoAcceptIt(Served):
    way = "gzip"
    capabilities = READABLE - {"list"}
    refused_names = NOT_OF_FOLDERS


class TestNoRanges(Served):
    way = "whole"
    capabilities = READABLE - {"list", "seek"}


class TestNoEtag(Served):
    way = "dated"
    capabilities = READABLE - {"list", "etag"}


class TestNothingTellsVersionsApart(Served):
    way = "bare"
    capabilities = READABLE - {"list", "etag", "last_modified", "seek"}


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
    way = "html"

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
    assert time.monotonic() - began < 30
