"""Bytes on their way up, from a file or from memory, as botocore sends them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from rv_core.local_files import storage_error

from rv_core import StorageError
from rv_fs_s3._checksums import BLOCK_BYTES, Crc, of_blocks

_LEAST_BLOCK: Final = 1 << 12
_FIRST_BLOCK: Final = 1 << 14
_LARGEST_BLOCK: Final = 1 << 18
_SLOW_SECONDS: Final = 0.5
_NOTHING_PLACED: Final = "; nothing was put in place"
_seeking = threading.Lock()


class Bytes(Protocol):
    """Where a stretch of bytes comes from."""

    def take(self, start: int, stop: int) -> bytes | memoryview:
        """At least one byte from ``start`` on, and none from ``stop`` on."""


class Memory:
    """Pieces of memory, one after the other."""

    def __init__(self, *pieces: bytes | bytearray) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]

    def take(self, start: int, stop: int) -> memoryview:
        for piece in self._pieces:
            if start < len(piece):
                return piece[start:stop]
            start, stop = start - len(piece), stop - len(piece)
        raise AssertionError("asked for more than there is")


class OpenFile:
    """The bytes of an open file, for several threads at once. Raises `StorageError` where it
    turns out to be shorter than it was."""

    def __init__(self, handle: int, shown: str) -> None:
        self._handle = handle
        self._shown = shown
        found = os.fstat(handle)
        self.size = found.st_size
        self._stamp = (found.st_size, found.st_mtime_ns)

    def take(self, start: int, stop: int) -> bytes:
        try:
            data = _pread(self._handle, stop - start, start)
        except OSError as error:
            raise storage_error(error, "read", self._shown) from error
        if not data:
            raise self._changed()
        return data

    def check_unchanged(self, outcome: str = _NOTHING_PLACED) -> None:
        """Raises `StorageError` where the file was written to since it was opened."""
        found = os.fstat(self._handle)
        if (found.st_size, found.st_mtime_ns) != self._stamp:
            raise self._changed(outcome)

    def _changed(self, outcome: str = _NOTHING_PLACED) -> StorageError:
        return StorageError(
            f"{self._shown} was changed while it was being uploaded{outcome}",
            hint="wait until whoever writes it is done",
        )


class Body:
    """A stretch of bytes as the body of a request: a file that can be read again from its start.

    ``check`` is called before every block, so that it can end the upload by an exception;
    ``on_sent`` hears how many bytes were sent so far, and may end it too.

    A block has to be taken by the network within the connect timeout, so blocks become smaller
    where that is slow: not the slow connection is to fail, but the dead one.
    """

    def __init__(
        self,
        source: Bytes,
        start: int,
        stop: int,
        check: Callable[[], None] = lambda: None,
        on_sent: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._source = source
        self._start = start
        self._stop = stop
        self._check = check
        self._on_sent = on_sent
        self._pos = start
        self._block = _FIRST_BLOCK // 2
        self.last_taken = 0.0
        """When the network asked for a block last, by `time.monotonic`."""
        self._sending = False
        self.seek(0)

    def __len__(self) -> int:
        return self._stop - self._start

    def forget(self) -> None:
        """Give up the bytes, even where botocore holds on to its requests for a while."""
        self._source = Memory()

    def blocks(self) -> Iterator[bytes | memoryview]:
        """All of it, for checksums."""
        pos = self._start
        while pos < self._stop:
            self._check()
            data = self._source.take(pos, min(self._stop, pos + BLOCK_BYTES))
            pos += len(data)
            yield data

    def crc(self) -> int:
        """Its CRC64NVME."""
        digest = of_blocks("CRC64NVME", self.blocks())
        assert isinstance(digest, Crc)
        return digest.value

    def md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for block in self.blocks():
            digest.update(block)
        return b64encode(digest.digest()).decode()

    def begin(self) -> None:
        """What is read from now on is sent; before, it may be read for a signature."""
        self._sending = True

    def read(self, size: int = -1) -> bytes | memoryview:
        self._check()
        if self._sending and self._pos > self._start:
            self._on_sent(self._pos - self._start)
        now = time.monotonic()
        if now - self.last_taken > _SLOW_SECONDS:
            self._block = max(_LEAST_BLOCK, self._block // 4)
        else:
            self._block = min(_LARGEST_BLOCK, self._block * 2)
        self.last_taken = now
        left = self._stop - self._pos
        count = min(left, self._block if size < 0 else min(size, self._block))
        if count <= 0:
            return b""
        data = self._source.take(self._pos, self._pos + count)
        self._pos += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._pos, os.SEEK_END: self._stop}
        self._pos = base[whence] + offset
        self._block = _FIRST_BLOCK // 2
        self.last_taken = time.monotonic()
        self._sending = False
        return self.tell()

    def tell(self) -> int:
        return self._pos - self._start


def _pread(handle: int, count: int, start: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, count, start)
    with _seeking:  # Windows has no pread
        os.lseek(handle, start, os.SEEK_SET)
        return os.read(handle, count)
