"""The fault battery of downloads: whatever happens on the way, the file is whole or not there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import ClassVar, Final

import pytest

from rv_core._errors import AccessDeniedError, NotFoundError, StorageError, TransferError
from rv_core._filesystem import FileSystem
from rv_core._progress import Progress
from rv_core.testing._fault_scene import (
    MIB,
    MOST_SECONDS,
    data_of,
    digest_of,
    downloads_of,
    files_in,
    little_room,
    parts_in,
)
from rv_core.testing._faults import (
    Before,
    Chunked,
    Drip,
    DripHead,
    Fault,
    FlipByte,
    Gzip,
    IgnoreRange,
    NoLength,
    Reset,
    Stall,
    Status,
    Truncate,
)
from rv_core.testing._filesystem_contract import Put
from rv_core.testing._folder_faults import FolderFaults
from rv_core.testing._proxy import FaultProxy

_NAME: Final = "big file#1.bin"
_BREAKS: Final = (Reset(0), Reset(1), Reset(5 * MIB), Truncate(5 * MIB), Truncate(12 * MIB))
_SLOW: Final = pytest.mark.slow
_HOW: Final = ("copy", pytest.param("stream", marks=_SLOW), pytest.param("bytes", marks=_SLOW))
_NEVER: Final = (
    *(("copy", fault) for fault in (Status(503), Reset(0), Reset(MIB))),
    *((how, Truncate(9)) for how in ("copy", "stream", "bytes")),
)
_ASLEEP: Final = (Stall(0, 3600), Stall(MIB, 3600), Drip(1), Drip(1, MIB), DripHead(1))


class DownloadFaults(FolderFaults):
    """What has to come of a download when things go wrong, tested on one system.

    Subclass it in a test module, under a name that begins with ``Test``, with these fixtures:
    ``proxy``, a `FaultProxy` before the server; ``fs``, a `FileSystem` with its usual time limits
    that reaches the server through it; ``root``, the URI of a fresh folder there; ``put(name,
    data)``, which makes a file, or a new version of it with another etag, from behind and returns
    its URI; ``command(uri, path)``, the arguments of a process that downloads a file. Each case
    ends as the whole file, or as a clean error that leaves the old file alone, within 30 s
    (60 s where the machine is busy).
    """

    resumes: ClassVar[bool] = True
    """Whether a file can be had in ranges of one version; without, downloads begin again."""
    decodes: ClassVar[bool] = True
    """Whether bodies are decoded that are compressed without having been asked for."""
    has_checksums: ClassVar[bool] = False
    """Whether the server tells checksums, so that a flipped byte is noticed."""

    # What passes: the file arrives.

    @pytest.mark.parametrize("how", _HOW)
    @pytest.mark.parametrize("fault", _BREAKS, ids=str)
    def test_a_connection_that_breaks_once(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        how: str,
        fault: Reset | Truncate,
    ) -> None:
        uri = put(_NAME, data_of(1))
        broken = proxy.fail(fault, method="GET", path=".bin")
        if how == "stream" and fault.after_bytes and not self.resumes:
            self._fails(lambda: self._bring(fs, uri, here, how), here)
            return
        self._arrives(fs, uri, here, 1, how)
        assert broken.hits == 1
        asked = [request.headers["range"] for request in downloads_of(proxy)]
        if fault.after_bytes > MIB and self.resumes:
            assert asked[-1] is not None, "what had arrived was asked for again"

    @pytest.mark.parametrize("how", _HOW)
    def test_an_overloaded_server_three_times(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path, how: str
    ) -> None:
        uri = put(_NAME, data_of(1))
        busy = proxy.fail(Status(503), times=3, method="GET", path=".bin")
        self._arrives(fs, uri, here, 1, how)
        assert busy.hits == 3

    @pytest.mark.parametrize(
        ("code", "as_date"), [(429, False), (503, True), pytest.param(429, True, marks=_SLOW)]
    )
    def test_a_server_that_asks_for_patience(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        code: int,
        as_date: bool,
    ) -> None:
        uri = put(_NAME, data_of(1))
        until = datetime.now(UTC) + timedelta(seconds=3)  # a date knows whole seconds
        asked = format_datetime(until, usegmt=True) if as_date else "2"
        proxy.fail(Status(code, {"Retry-After": asked}), method="GET", path=".bin")
        began = time.monotonic()
        self._arrives(fs, uri, here, 1)
        assert time.monotonic() - began > 1.5, "the server was not given the time it asked for"

    @pytest.mark.slow
    @pytest.mark.parametrize("at", [0, 5 * MIB])
    @pytest.mark.parametrize("kind", ["stall", "drip"])
    def test_a_connection_that_falls_asleep_once(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path, kind: str, at: int
    ) -> None:
        uri = put(_NAME, data_of(1))
        fault = Stall(at, 3600) if kind == "stall" else Drip(1, at)
        proxy.fail(fault, method="GET", path=".bin")
        self._arrives(fs, uri, here, 1)

    @pytest.mark.parametrize("fault", [Chunked(), NoLength(), IgnoreRange(), Gzip()], ids=str)
    @pytest.mark.parametrize("how", _HOW)
    def test_a_server_of_few_words(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        fault: Fault,
        how: str,
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(fault, times=None, method="GET", path=".bin")
        if isinstance(fault, Gzip) and not self.decodes:
            self._fails(lambda: self._bring(fs, uri, here, how), here)
        else:
            self._arrives(fs, uri, here, 1, how)

    @pytest.mark.parametrize("how", ["copy", "bytes"])
    def test_a_server_without_ranges_whose_connection_breaks(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path, how: str
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(IgnoreRange(), times=None, method="GET", path=".bin")
        proxy.fail(Truncate(5 * MIB), method="GET", path=".bin")
        self._arrives(fs, uri, here, 1, how)

    # What stays: a clean error, and soon.

    @pytest.mark.slow
    @pytest.mark.parametrize(("how", "fault"), _NEVER, ids=str)
    def test_a_server_that_never_gets_it_done(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        fault: Fault,
        how: str,
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(fault, times=None, method="GET", path=".bin")
        found = self._fails(lambda: self._bring(fs, uri, here, how), here)
        assert isinstance(found, TransferError)
        if how != "stream" or self.resumes:
            assert len(downloads_of(proxy)) >= 6

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("how", "fault"),
        [*(("copy", fault) for fault in _ASLEEP), ("stream", _ASLEEP[1]), ("bytes", _ASLEEP[2])],
        ids=str,
    )
    def test_a_server_that_always_falls_asleep(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        fault: Fault,
        how: str,
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(fault, times=None, method="GET", path=".bin")
        found = self._fails(lambda: self._bring(fs, uri, here, how), here)
        assert isinstance(found, TransferError)

    def test_a_server_that_asks_for_too_much_patience(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Status(429, {"Retry-After": "3600"}), times=None, path=".bin")
        found = self._fails(lambda: fs.copy_from(uri, here / "big.bin"), here)
        assert isinstance(found, TransferError)
        assert found.retry_after == 3600

    @pytest.mark.parametrize(
        ("code", "kind"),
        [(403, AccessDeniedError), (404, NotFoundError), (400, StorageError)],
    )
    @pytest.mark.parametrize("how", _HOW)
    def test_a_refusal_is_final(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        code: int,
        kind: type[StorageError],
        how: str,
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Status(code), times=None, path=".bin")
        assert type(self._fails(lambda: self._bring(fs, uri, here, how), here)) is kind
        assert len(downloads_of(proxy)) == 1, "it was asked for again"

    def test_a_flipped_byte(self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path) -> None:
        if not self.has_checksums:
            pytest.skip("this server tells no checksums, so nobody can know")
        uri = put(_NAME, data_of(1))
        proxy.fail(FlipByte(5 * MIB), times=None, method="GET", path=".bin")
        self._fails(lambda: fs.copy_from(uri, here / "big.bin"), here)

    # What changes meanwhile: one version, or none.

    def test_a_file_that_is_replaced_between_two_requests(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Before(lambda: put(_NAME, data_of(2))), after=1, method="GET", path=".bin")
        with self._in_time():
            fs.copy_from(uri, here / "big.bin")
        assert digest_of(files_in(here)["big.bin"]) in (
            digest_of(data_of(1)),
            digest_of(data_of(2)),
        )

    @pytest.mark.parametrize("how", ["copy", "bytes"])
    def test_a_file_that_is_replaced_where_the_connection_breaks(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path, how: str
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Reset(5 * MIB), method="GET", path=".bin")
        proxy.fail(Before(lambda: put(_NAME, data_of(2))), after=1, method="GET", path=".bin")
        self._arrives(fs, uri, here, 2, how)

    def test_a_file_that_is_replaced_while_a_stream_reads_it(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Reset(5 * MIB), method="GET", path=".bin")
        proxy.fail(Before(lambda: put(_NAME, data_of(2))), after=1, method="GET", path=".bin")
        self._fails(lambda: self._bring(fs, uri, here, "stream"), here)

    def test_a_file_that_never_stays_the_same(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path
    ) -> None:
        uri = put(_NAME, data_of(1))
        numbers = iter(range(2, 10**6))
        proxy.fail(
            Before(lambda: put(_NAME, data_of(next(numbers) % 3))),
            times=None,
            method="GET",
            path=".bin",
        )
        proxy.fail(Reset(5 * MIB), times=None, method="GET", path=".bin")
        found = self._fails(lambda: fs.copy_from(uri, here / "big.bin"), here)
        assert isinstance(found, TransferError)

    # What happens here.

    def test_a_process_that_is_killed(
        self,
        fs: FileSystem,
        proxy: FaultProxy,
        put: Put,
        here: Path,
        command: Callable[[str, Path], list[str]],
    ) -> None:
        uri = put(_NAME, data_of(1))
        slow = proxy.fail(Drip(2 * MIB, MIB), times=None, method="GET", path=".bin")
        process = subprocess.Popen(command(uri, here / "big.bin"))  # noqa: S603
        try:
            end = time.monotonic() + MOST_SECONDS
            while not any(part.stat().st_size for part in parts_in(here)):
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < end, "nothing arrives"
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        assert files_in(here) == {"big.bin": b"old"}
        slow.times = 0
        self._arrives(fs, uri, here, 1)

    def test_a_full_disk(self, fs: FileSystem, proxy: FaultProxy, put: Put, tmp_path: Path) -> None:
        uri = put(_NAME, data_of(1))
        with little_room(tmp_path / "full") as here:
            (here / "big.bin").write_bytes(b"old")
            found = self._fails(lambda: fs.copy_from(uri, here / "big.bin"), here)
        assert not isinstance(found, TransferError), "nothing about it passes"
        assert "big.bin" in str(found)

    def test_a_caller_who_gives_up(
        self, fs: FileSystem, proxy: FaultProxy, put: Put, here: Path
    ) -> None:
        uri = put(_NAME, data_of(1))
        proxy.fail(Drip(4 * MIB), times=None, method="GET", path=".bin")

        def interrupt(progress: Progress) -> None:
            if progress.done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fs.copy_from(uri, here / "big.bin", interrupt)
        assert files_in(here) == {"big.bin": b"old"}
        assert not parts_in(here)
