"""Files of fsspec as sources of ranges: read in pieces, each of one and the same version."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
from fsspec import AbstractFileSystem
from rv_core.transfers import ChangedError, Piece

from rv_core import FileInfo, TransferError
from rv_fs_fsspec._address import Address
from rv_fs_fsspec._info import changed
from rv_fs_fsspec._ways import Reading, Ways

if TYPE_CHECKING:
    from rv_fs_fsspec._connections import Connections, Failures

_ATTEMPTS_AT_ONE_VERSION: Final = 12
_FIRST_BLOCK: Final = 1 << 20
_LAST_BLOCK: Final = 4 << 20

Ask = Callable[[AbstractFileSystem], FileInfo]
"""Asks an instance what is known of the file now."""


@attrs.frozen
class Source:
    """A file as `rv_core.transfers` reads it (`RangeSource`).

    ``stays_open``: by the implementation's own open file; otherwise by requests for ranges. After
    each block the version is looked at before its bytes count, where the file cannot tell its own.
    """

    connections: Connections
    at: Address
    failures: Failures
    ask: Ask
    info_of: Callable[[Mapping[str, Any]], FileInfo]
    ways: Ways
    stays_open: bool

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        """See `RangeSource`. Ranges can be had where the size is known."""
        for _ in range(_ATTEMPTS_AT_ONE_VERSION):
            with suppress(ChangedError):
                body = self._begin(start, stop)
                if version is None or not changed(version, body.info):
                    return Piece(start, body.stop, body.info, body, body.info.size is not None)
                body.close()
                break
        raise self.replaced()

    def _begin(self, start: int, stop: int | None) -> OpenFile | Blocks:
        """Its first bytes are there, so that what is told of it is of the version they are of."""
        with self.connections.use(self.at.connection, self.failures) as instance:
            info = self.ask(instance)
        if self.stays_open or info.size is None:
            return OpenFile(self, start, stop)
        return Blocks(self, start, info.size if stop is None else min(stop, info.size), info)

    def replaced(self) -> ChangedError:
        return ChangedError(f"{self.at.shown} was replaced while it was being read")


class OpenFile:
    """Reads on in an open file; the instance it came from is nobody else's until it is closed."""

    def __init__(self, source: Source, start: int, stop: int | None) -> None:
        self._source = source
        self._failed = False
        self._block = memoryview(b"")
        self._size = _FIRST_BLOCK
        self._pid = os.getpid()
        with source.failures():
            # Given back only by `close`: one that cannot even open the file may be broken.
            self._instance: Any = source.connections.take(source.at.connection)
            self.info, self._file, self._stays = self._open()
            if start:
                self._file.seek(start)
        size = self.info.size
        self.stop = size if stop is None or size is None else min(stop, size)
        self._left = None if self.stop is None else max(0, self.stop - start)

    def _open(self) -> tuple[FileInfo, Reading, bool]:
        """What is known of the version that is open; the file; whether it surely stays that."""
        source = self._source
        for _ in range(_ATTEMPTS_AT_ONE_VERSION):
            before = source.ask(self._instance)
            file = source.ways.open(self._instance, source.at.path)
            told = source.ways.told_of(file)
            if told is not None:
                return source.info_of(told), file, True
            if not changed(before, source.ask(self._instance)):
                return before, file, False
            file.close()
        raise source.replaced()

    def read1(self, size: int) -> bytes:
        if self._pid != os.getpid():  # who reads on in a forked process needs a file of its own
            raise TransferError(f"reading {self._source.at.shown} is its parent's")
        try:
            with self._source.failures():
                if self._stays:
                    return self._read(size)
                if not self._block:
                    self._block = self._next()
        except BaseException:
            self._failed = True
            raise
        data = bytes(self._block[:size])
        self._block = self._block[size:]
        return data

    def _next(self) -> memoryview:
        """Many an open file asks for one range after the other, whatever is there by then."""
        data = self._read(self._size)
        self._size = min(_LAST_BLOCK, self._size * 2)
        if data and changed(self.info, self._source.ask(self._instance)):
            raise self._source.replaced()
        return memoryview(data)

    def _read(self, size: int) -> bytes:
        wanted = size if self._left is None else min(size, self._left)
        data = bytes(self._file.read(wanted)) if wanted else b""
        if self._left is not None:
            self._left -= len(data)
        return data

    def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is None:
            return
        if self._pid != os.getpid():
            self._source.connections.leave(instance, self._file)
            return
        with suppress(Exception):
            self._file.close()
        if not self._failed:
            self._source.connections.give_back(self._source.at.connection, instance)


class Blocks:
    """Asks for one range after the other, larger ones as reading goes on."""

    def __init__(self, source: Source, start: int, stop: int, info: FileInfo) -> None:
        self._source = source
        self._pos = start
        self._size = _FIRST_BLOCK
        self.stop = stop
        self.info = info
        self._block = memoryview(self._next() if start < stop else b"")

    def read1(self, size: int) -> bytes:
        if not self._block and self._pos < self.stop:
            self._block = memoryview(self._next())
        data = bytes(self._block[:size])
        self._block = self._block[size:]
        return data

    def close(self) -> None:
        self._block = memoryview(b"")
        self._pos = self.stop

    def _next(self) -> bytes:
        source = self._source
        start, stop = self._pos, min(self.stop, self._pos + self._size)
        self._size = min(_LAST_BLOCK, self._size * 2)
        began = time.monotonic()
        # The whole is asked for as such: an answer to that is of one version in any case.
        whole = start == 0 and stop == self.info.size
        span = {} if whole else {"start": start, "end": stop}
        with source.connections.use(source.at.connection, source.failures) as instance:
            data: bytes = instance.cat_file(source.at.path, **span)
            info = source.ask(instance)
        # Not by the etag alone, which may come back with the content after another one.
        if info != self.info or (whole and len(data) != stop):
            raise source.replaced()
        if len(data) != stop - start:
            raise TransferError(
                f"reading {source.at.shown} brought {len(data)} bytes of {stop - start}",
                hint="the connection broke: try again",
                stalled=time.monotonic() - began,
            )
        self._pos = stop
        return data
