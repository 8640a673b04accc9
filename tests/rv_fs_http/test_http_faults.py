"""The fault battery: whatever happens on the way, a file is whole or not there, and soon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import DownloadFaults, FaultProxy

from rv_fs_http import HttpFileSystem

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


@pytest.mark.slow  # they are many
class TestDownloadsWithoutEtags(TestDownloads):
    """What is known of versions is when they were made."""

    way = "dated"
    lists = False
    test_a_server_that_always_falls_asleep = None


@pytest.mark.slow
class TestDownloadsFromSimpleServers(TestDownloads):
    """Nothing tells versions apart, so that broken downloads begin again."""

    way = "bare"
    lists = False
    resumes = False
    test_a_server_that_always_falls_asleep = None
