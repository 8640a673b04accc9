"""Web servers keep the promises that all storage does, as far as they can."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from rv_core.testing import FileSystemContract

from rv_fs_http import HttpFileSystem

NOT_OF_FOLDERS = frozenset({"empty part", "trailing slash"})
READABLE = FileSystemContract.capabilities - {"any_key", "delete", "exclusive", "write"}


class Served(FileSystemContract):
    """A folder that a web server shows, ``way``: how. One such way is tested quickly."""

    capabilities = READABLE
    refused_names = NOT_OF_FOLDERS
    way = "json"

    @pytest.fixture
    def fs(self, http: HttpFileSystem) -> HttpFileSystem:
        return http

    @pytest.fixture
    def root(self, server: Any) -> str:
        return f"{server.url}/{self.way}/a%20folder"

    @pytest.fixture
    def put(self, fs: HttpFileSystem, root: str, server: Any) -> Any:
        def put(name: str, data: bytes) -> str:
            server.put(f"a folder/{name}", data)
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def remove(self, server: Any) -> Any:
        return lambda name: server.remove(f"a folder/{name}")


@pytest.mark.slow
class TestIndexInJson(Served):
    """nginx with autoindex_format json."""


class TestIndexInHtml(Served):
    """nginx with autoindex."""

    way = "html"


@pytest.mark.slow
class TestIndexOfApache(Served):
    way = "apache"


@pytest.mark.slow
class TestNoIndex(Served):
    """A server that shows no folders."""

    way = "plain"
    capabilities = READABLE - {"list"}


@pytest.mark.slow
class TestWeakEtags(Served):
    """Etags that tell versions apart, but do not allow ranges."""

    way = "weak"
    capabilities = READABLE - {"list", "seek"}


@pytest.mark.slow
class TestNoRanges(Served):
    way = "whole"
    capabilities = READABLE - {"list", "seek"}


@pytest.mark.slow
class TestTimesOnly(Served):
    way = "dated"
    capabilities = READABLE - {"list", "etag"}


@pytest.mark.slow
class TestNothingTellsVersionsApart(Served):
    way = "bare"
    capabilities = READABLE - {"list", "etag", "last_modified", "seek"}


@pytest.mark.slow
class TestHttpServerOfPython(Served):
    """The real one: an index, but neither ranges nor etags."""

    capabilities = READABLE - {"etag", "seek"}

    @pytest.fixture
    def root(self, python_server: Any) -> str:
        return f"http://127.0.0.1:{python_server.server_address[1]}/a%20folder"

    @pytest.fixture
    def put(self, fs: HttpFileSystem, root: str, python_server: Any) -> Any:
        def put(name: str, data: bytes) -> str:
            path = python_server.folder / "a folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            when = (path.stat().st_mtime if path.exists() else time.time() // 1 - 3600) + 1
            path.write_bytes(data)
            os.utime(path, (when, when))
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def remove(self, python_server: Any) -> Any:
        def remove(name: str) -> None:
            path = python_server.folder / "a folder" / name
            path.unlink()
            while (path := path.parent) != python_server.folder and not list(path.iterdir()):
                path.rmdir()

        return remove
