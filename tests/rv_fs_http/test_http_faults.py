"""The fault battery: whatever happens on the way, a file is whole or not there, and soon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import DownloadFaults, Drip, FaultProxy, only
from rv_core.transfers import Retries

from rv_fs_http import HttpFileSystem

pytestmark = pytest.mark.slow  # faults that are waited for

# Which version a broken download goes on with depends on what the server tells of them.
BROKEN = (
    "test_a_file_that_is_replaced_between_two_requests",
    "test_a_file_that_is_replaced_where_the_connection_breaks",
    "test_a_file_that_is_replaced_while_a_stream_reads_it",
    "test_a_file_that_never_stays_the_same",
)
MIB = 1 << 20
COPY = "import sys; from rv_fs_http import HttpFileSystem as F; F().copy_from(*sys.argv[1:])"


class TestDownloads(DownloadFaults):
    secrets = ("HUSH",)
    way = "json"

    @pytest.fixture
    def fs(self, request: pytest.FixtureRequest) -> HttpFileSystem:
        """With its usual limits; where each of six attempts is soon over, so are the waits."""
        soon = "never_gets" in request.node.name
        return HttpFileSystem(retries=Retries(max_wait=0.3) if soon else None)

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

    @pytest.mark.slow
    @pytest.mark.parametrize(("kind", "at"), [("stall", 5 * MIB), ("drip", 0)])
    def test_a_connection_that_falls_asleep_once(
        self, fs: Any, proxy: FaultProxy, put: Any, here: Path, kind: str, at: int
    ) -> None:
        super().test_a_connection_that_falls_asleep_once(fs, proxy, put, here, kind, at)

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", [Drip(1, MIB)], ids=str)
    def test_a_server_that_always_falls_asleep(  # type: ignore[override]
        self, fs: Any, proxy: FaultProxy, put: Any, here: Path, fault: Drip
    ) -> None:
        """With the usual time limits; with short ones, those that stall are among the tests of
        broken servers."""
        super().test_a_server_that_always_falls_asleep(fs, proxy, put, here, fault, "copy")


@pytest.mark.slow
@only(*BROKEN)
class TestDownloadsWithoutEtags(TestDownloads):
    """What is known of versions is when they were made."""

    way = "dated"


@pytest.mark.slow
@only(*BROKEN)
class TestDownloadsFromSimpleServers(TestDownloads):
    """Nothing tells versions apart, so that broken downloads begin again."""

    way = "bare"
    resumes = False
