"""The fault battery: whatever happens on the way, a file is whole or not there, and soon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import DownloadFaults, FaultProxy, only

from rv_fs_http import HttpFileSystem

# Where a broken download goes on, and of which version, depends on what the server tells of them.
BROKEN = (
    "test_a_connection_that_breaks_once",
    "test_a_file_that_is_replaced_between_two_requests",
    "test_a_file_that_is_replaced_where_the_connection_breaks",
    "test_a_file_that_is_replaced_while_a_stream_reads_it",
    "test_a_file_that_never_stays_the_same",
)
COPY = "import sys; from rv_fs_http import HttpFileSystem as F; F().copy_from(*sys.argv[1:])"


class TestDownloads(DownloadFaults):
    secrets = ("HUSH",)
    way = "html"

    @pytest.fixture
    def fs(self) -> HttpFileSystem:
        return HttpFileSystem()

    @pytest.fixture
    def root(self, proxy: FaultProxy) -> str:
        return f"{proxy.url}/{self.way}/a%20folder?token=HUSH"

    @pytest.fixture
    def put(self, server: Any, fs: HttpFileSystem, root: str) -> Any:
        def put(name: str, data: bytes) -> str:
            server.put(f"a folder/{name}", data)
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def command(self) -> Callable[[str, Path], list[str]]:
        return lambda uri, path: [sys.executable, "-c", COPY, uri, str(path)]


@only(*BROKEN)
class TestDownloadsWithoutEtags(TestDownloads):
    """What is known of versions is when they were made."""

    way = "dated"


@only(*BROKEN)
class TestDownloadsFromSimpleServers(TestDownloads):
    """Nothing tells versions apart, so that broken downloads begin again."""

    way = "bare"
    resumes = False
