"""A remote file as a stream that can be sought, and that survives broken connections."""

from __future__ import annotations

import errno
import io
import os
import time
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs

from rv_core._errors import StorageError, TransferError
from rv_core._scheme import without_secrets
from rv_core.transfers._retries import Retries
from rv_core.transfers._source import ChangedError
from rv_core.transfers._speed import SpeedGuard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from rv_core._filesystem import FileInfo
    from rv_core.transfers._source import Piece, RangeSource

BUFFER_BYTES: Final = 1 << 18
FIRST_WINDOW: Final = 1 << 20
LAST_WINDOW: Final = 64 << 20
PATIENT_BYTES: Final = 16 << 20
"""After so many bytes, breaks and the time lost by them are forgiven."""
PATIENT_SECONDS: Final = 30.0
"""Breaks are too after so long without one: servers hang up on those who read now and then."""


def open_reader(source: RangeSource, uri: str, *, retries: Retries | None = None) -> BinaryIO:
    """A buffered stream of one version of a file; the first request is made here.

    Seekable where the server keeps to ranges. Reading raises `TransferError` where it cannot go
    on after a break, and `StorageError` where the file has become another version meanwhile.
    """
    return io.BufferedReader(RangeReader(source, uri, retries or Retries()), BUFFER_BYTES)


class RangeReader(io.RawIOBase):
    """The raw stream. Read from its start, it asks for the whole file once; after a seek it asks
    for windows that grow as long as reading goes on in order, so that headers and tiles of a
    raster come with few and short requests."""

    def __init__(self, source: RangeSource, uri: str, retries: Retries) -> None:
        self._source = source
        self._uri = without_secrets(uri)
        self._retries = retries
        self._guard = SpeedGuard(f"reading {self._uri}")
        self._piece: Piece | None = None
        self._piece_pos = 0
        self._pos = 0
        self._window: int | None = None
        self._info: FileInfo | None = None
        self._ranges = False
        self._breaks = 0
        self._broke = 0.0
        self._lost = 0.0
        self._since_whole = 0
        self._retries(self._connect)

    @property
    def info(self) -> FileInfo:
        """What is known of the version that is read."""
        if self._info is None:
            raise AssertionError("no answer has been had")
        return self._info

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._ranges and self.info.size is not None

    def tell(self) -> int:
        return self._pos

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        size = self.info.size
        if not self.seekable() or size is None:
            raise io.UnsupportedOperation(f"the server of {self._uri} sends whole files only")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._pos, os.SEEK_END: size}[whence]
        if base + offset < 0:
            # As a file says it: zipfile looks for its records so.
            raise OSError(errno.EINVAL, f"cannot seek to {base + offset}, before the start")
        if base + offset != self._pos:
            self._window = FIRST_WINDOW
        self._pos = base + offset
        return self._pos

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        size = self.info.size
        if not view or (size is not None and self._pos >= size):
            return 0
        # Without ranges, what broke cannot go on.
        data = self._read_on(len(view)) if self._ranges else self._read(len(view))
        view[: len(data)] = data
        self._pos += len(data)
        return len(data)

    def _read_on(self, size: int) -> bytes:
        """Read, going on after breaks; a server that breaks off or falls asleep again and again
        is given up as one that does so once and for all."""

        def attempt() -> bytes:
            try:
                return self._read(size)
            except TransferError:
                self._breaks, self._broke = self._breaks + 1, time.monotonic()
                raise

        if self._breaks and time.monotonic() - self._broke > PATIENT_SECONDS:
            self._breaks = 0
        retries = attrs.evolve(
            self._retries,
            attempts=max(1, self._retries.attempts - self._breaks),
            patience=max(0.0, self._retries.patience - self._lost),
        )
        data = retries(attempt)
        self._since_whole += len(data)
        if self._since_whole >= PATIENT_BYTES:
            self._breaks, self._lost, self._since_whole = 0, 0.0, 0
        return data

    def readall(self) -> bytes:
        found = bytearray()
        while data := self.read(BUFFER_BYTES):
            found += data
        return bytes(found)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _read(self, size: int) -> bytes:
        if self._piece is not None and self._piece_pos != self._pos:
            self._hang_up()
        if self._piece is None:
            self._connect()
        piece = self._piece
        if piece is None:
            raise AssertionError("connecting gave no answer")
        try:
            asked = time.monotonic()
            data = piece.body.read1(size)
            self._guard.saw(len(data), time.monotonic() - asked)
            if not data and self.info.size is not None:
                if piece.stop is not None and self._piece_pos >= piece.stop:
                    self._hang_up()
                    return self._read(size)  # the window is read: on to the next
                raise TransferError(
                    f"reading {self._uri} ended at byte {self._pos} of {self.info.size}",
                    hint="the connection broke: try again",
                )
        except BaseException as error:  # after Ctrl-C too, bytes that the connection gave are lost
            if isinstance(error, TransferError):
                self._lost += error.stalled
            self._hang_up()
            raise
        self._piece_pos += len(data)
        return data

    def _connect(self) -> None:
        """Ask for what comes next, growing the window as long as reading goes on in order."""
        size = self._info.size if self._info is not None else None
        stop = None
        if self._window is not None and size is not None:
            stop = min(size, self._pos + self._window)
            self._window = min(LAST_WINDOW, self._window * 2)
        try:
            piece = self._source.read_range(self._pos, stop, self._info)
        except ChangedError as error:
            raise self._changed() from error
        if piece.start != self._pos:
            piece.body.close()
            raise self._changed()
        if self._info is None:
            self._info, self._ranges = piece.info, piece.ranges
        self._piece, self._piece_pos = piece, piece.start

    def _hang_up(self) -> None:
        piece, self._piece = getattr(self, "_piece", None), None
        if piece is not None:
            piece.body.close()

    def _changed(self) -> StorageError:
        return StorageError(
            f"{self._uri} was replaced while it was being read",
            hint="read it again from its start, or copy it first",
        )
