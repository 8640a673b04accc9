"""Where the fault battery happens: a folder with an old version, and what may be left in it."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final

import pytest

from rv_core._errors import StorageError
from rv_core._filesystem import FileSystem
from rv_core.local_files import is_part
from rv_core.testing._faults import Request
from rv_core.testing._proxy import FaultProxy

MOST_SECONDS: Final = 60.0
"""Of a case: twice the half minute that is promised, as a machine may be busy with other things."""
MIB: Final = 1 << 20
BYTES: Final = 24 * MIB


class FaultScene:
    """What the cases of a battery share: nothing secret is told, nothing is left, all in time."""

    secrets: ClassVar[tuple[str, ...]] = ()
    """Words of the credentials in use, which no log and no error may show."""
    log_level: ClassVar[int] = logging.DEBUG

    @pytest.fixture(autouse=True)
    def _nothing_told(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Iterator[None]:
        monkeypatch.setenv("RV_CACHE_DIR", str(tmp_path / "cache of this test"))
        self._shown: list[str] = []
        with caplog.at_level(self.log_level):
            yield
        told = [*self._shown, *(record.getMessage() for record in caplog.records)]
        told += [str(record.exc_text) for record in caplog.records]
        for secret in self.secrets:
            assert not [text for text in told if secret in text], "a secret is shown"

    @pytest.fixture
    def here(self, tmp_path: Path) -> Path:
        """A folder that holds an old version."""
        folder = tmp_path / "here"
        folder.mkdir()
        (folder / "big.bin").write_bytes(b"old")
        return folder

    def _bring(self, fs: FileSystem, uri: str, here: Path, how: str) -> None:
        """Let the file arrive in the folder, one way or another."""
        if how == "copy":
            fs.copy_from(uri, here / "big.bin")
        elif how == "bytes":
            data = fs.read_bytes(uri)
            (here / "big.bin").write_bytes(data)
        else:
            with fs.open(uri) as stream:
                data = b"".join(iter(lambda: stream.read(300_007), b""))
            (here / "big.bin").write_bytes(data)

    def _arrives(
        self, fs: FileSystem, uri: str, here: Path, version: int, how: str = "copy"
    ) -> None:
        with self._in_time():
            self._bring(fs, uri, here, how)
        found = files_in(here)
        assert list(found) == ["big.bin"]
        assert len(found["big.bin"]) == BYTES
        assert digest_of(found["big.bin"]) == digest_of(data_of(version))
        assert not [p for p in parts_in(here) if how != "copy"]

    def _fails(self, ask: Callable[[], Any], here: Path) -> StorageError:
        """The error that it ends with, having looked at what is left."""
        before = files_in(here)
        with self._in_time(), pytest.raises(StorageError) as caught:
            ask()
        told = [str(caught.value), str(caught.value.hint), repr(caught.value)]
        self._shown += [*told, *traceback.format_exception(caught.value)]
        assert files_in(here) == before, "the old file is not what it was"
        assert not parts_in(here), "something is left behind"
        return caught.value

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        assert took < MOST_SECONDS, f"it took {took:.0f} s"


@contextmanager
def little_room(folder: Path) -> Iterator[Path]:
    """A folder that holds 8 MiB at most, or, where mounting is not allowed, no larger file."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={8 * MIB}", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0  # noqa: S603
    except OSError:
        mounted = False
    if mounted:
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607
        return
    resource = pytest.importorskip("resource", reason="nothing here limits what a file may hold")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MIB, limits[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@cache
def data_of(version: int) -> bytes:
    """24 MiB among which no two places are easily mistaken for each other."""
    draw = Random(version)  # noqa: S311
    block = draw.randbytes(MIB - 8)
    return b"".join(draw.randbytes(8) + block for _ in range(BYTES // MIB))


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def downloads_of(proxy: FaultProxy) -> list[Request]:
    return [r for r in proxy.requests if r.method == "GET" and ".bin" in r.path]


def files_in(folder: Path) -> dict[str, bytes]:
    """What is there under names that anybody would read."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not is_part(p.name)}


def parts_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if is_part(path.name)]
