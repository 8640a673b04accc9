"""Answers of HTTP servers whose lines come in time.

``http.client`` waits for the next byte as long as the socket's timeout says, however many were
waited for before it: headers that drip a byte a second last for ever.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES: Final = 1 << 16  # a small file comes with its headers, by one call of the system


class BytesInTime(io.RawIOBase):
    """The bytes that a socket receives, by ``raw``, an unbuffered file of it. After `hurry`, all of
    them have to come within one timeout of the socket: reading raises TimeoutError else."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._seconds = sock.gettimeout()
        self._hurried = False
        self._end: float | None = None

    def hurry(self) -> None:
        """The timeout starts with the next byte that is waited for, unless it has started."""
        self._hurried = self._seconds is not None

    def relax(self) -> None:
        """The timeout starts anew with every byte again."""
        self._hurried, self._end = False, None

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if not self._hurried:
            return self._raw.readinto(buffer)
        if self._end is None:  # all of the timeout is left, which the socket has already
            assert self._seconds is not None
            self._end = time.monotonic() + self._seconds
            return self._raw.readinto(buffer)
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {self._seconds:g} s")
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(self._seconds)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Hurries while lines are read: all those that nothing else is read between, together."""

    raw: BytesInTime

    def readline(self, limit: int | None = -1, /) -> bytes:
        self.raw.hurry()
        return super().readline(limit)

    def read(self, size: int | None = -1, /) -> bytes:
        self.raw.relax()
        return super().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        self.raw.relax()
        return super().read1(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self.raw.relax()
        return super().readinto(buffer)


class ResponseInTime(http.client.HTTPResponse):
    """One whose headers are there within the timeout of its socket, which for other reads starts
    anew with every byte, and so are the lines between the chunks of its body, and behind them."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.lines = _Lines(BytesInTime(sock, self.fp.detach()), _BUFFER_BYTES)
        self.fp: Any = self.lines

    def begin(self) -> None:
        super().begin()
        self.lines.raw.relax()
