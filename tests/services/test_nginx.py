"""The promises of storage, on nginx as it serves one folder of files in several ways."""

from __future__ import annotations

import uuid

import pytest
from rv_core.testing import FileSystemContract

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
