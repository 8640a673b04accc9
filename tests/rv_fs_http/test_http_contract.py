"""Web servers keep the promises that all storage does, as far as they can.

All of them on the kind that tells the most; on each other kind those that depend on what it tells.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from rv_core.testing import FileSystemContract, only

from rv_fs_http import HttpFileSystem

NOT_OF_FOLDERS = frozenset({"empty part", "trailing slash"})
READABLE = FileSystemContract.capabilities - {"any_key", "delete", "exclusive", "write"}
# What is had from an index, which servers write in ways of their own.
LISTED = (
    "test_a_listing_is_recursive_and_its_uris_can_be_used",
    "test_a_listing_tells_what_info_tells",
    "test_all_names_come_down",
    "test_bus_is_not_bush",
    "test_nothing_lists_nothing",
    "test_a_file_lists_itself",
    "test_a_folder_exists_if_it_is_asked_for_and_holds_a_file",
    "test_a_folder_is_not_read_as_a_file",
    "test_what_is_unchanged_is_not_downloaded_again",
)
# What goes by the headers of a file: ranges, etags, times.
READ = (
    "test_any_size_arrives_in_pieces_of_any_size",
    "test_a_download_is_the_file",
    "test_what_is_known_already_is_not_downloaded",
    "test_a_local_path_holds_what_is_there_now",
    "test_an_etag_that_is_not_known_is_none",
    "test_the_time_of_the_last_change_is_told",
    "test_a_time_that_is_not_known_is_none",
    "test_a_stream_reads_the_version_that_it_began",
    "test_streams_seek",
    "test_streams_say_that_they_do_not_seek",
    "test_a_system_that_does_not_list_says_so",
)


class Served(FileSystemContract):
    """A folder that a web server shows, ``way``: how."""

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


class TestIndexInJson(Served):
    """nginx with autoindex_format json: sizes, times, etags, ranges."""


@pytest.mark.slow
@only(*LISTED)
class TestIndexInHtml(Served):
    """nginx with autoindex."""

    way = "html"


@pytest.mark.slow
@only(*LISTED)
class TestIndexOfApache(Served):
    way = "apache"


@pytest.mark.slow
@only(*READ)
class TestWeakEtags(Served):
    """Etags that tell versions apart, but do not allow ranges."""

    way = "weak"
    capabilities = READABLE - {"list", "seek"}


@pytest.mark.slow
@only(*READ)
class TestNoRanges(Served):
    way = "whole"
    capabilities = READABLE - {"list", "seek"}


@pytest.mark.slow
@only(*READ)
class TestTimesOnly(Served):
    way = "dated"
    capabilities = READABLE - {"list", "etag"}


@pytest.mark.slow
@only(*READ)
class TestNothingTellsVersionsApart(Served):
    way = "bare"
    capabilities = READABLE - {"list", "etag", "last_modified", "seek"}


@pytest.mark.slow
@only(*LISTED, *READ)
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
            part = path.with_name(".part")
            part.write_bytes(data)
            os.utime(part, (when, when))
            part.replace(path)
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
