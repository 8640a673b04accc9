"""Answers as they come from a connection: their lines in time, and nothing in them guessed."""

from __future__ import annotations

import http.client
import io
import math
import re
import socket
import time
from email.errors import MissingHeaderBodySeparatorDefect
from typing import Any, Final

from urllib3.exceptions import InvalidHeader

_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 (20[06]) ([\t\x20-\x7e]*)\r\n"
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*)*)\r\n\r\n"
)
_LENGTH: Final = re.compile(r"\d{1,18}\Z", re.ASCII)
_BUFFER_BYTES: Final = 1 << 16  # a small file comes with its headers, by one call of the system


class Response(http.client.HTTPResponse):
    """One whose headers are there within the read timeout, which starts anew with every byte, and
    so are the lines between the chunks of its body, and behind them.

    Raises `InvalidHeader` where http.client would lose headers, or would take a body for another
    than it is.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self._stream = io.BufferedReader(self.fp.detach(), _BUFFER_BYTES)
        self._hurried = _HurriedLines(self._stream, sock)
        self.fp: Any = self._hurried

    def begin(self) -> None:
        start = self._stream.peek(1)
        if (found := _PLAIN.match(start)) and self._begin_plainly(found):
            return
        if _is_all_there(start):
            self.fp = self._stream
        super().begin()
        self._hurried.in_time()
        self.fp = self._hurried if self.chunked else self._stream
        if any(isinstance(each, MissingHeaderBodySeparatorDefect) for each in self.headers.defects):
            raise InvalidHeader("a line that is no header hides those behind it")
        encoding = self.headers.get("Transfer-Encoding", "identity")
        if not self.chunked and encoding.strip().lower() != "identity":
            raise InvalidHeader("what is sent is neither the body nor its chunks")

    def _begin_plainly(self, found: re.Match[bytes]) -> bool:
        """What `begin` does for most files, in a quarter of its time, of which a small file takes
        a fifth; says whether this one is as simple."""
        code, reason, lines = (part.decode("latin-1") for part in found.groups())
        headers = http.client.HTTPMessage()
        values: dict[str, str] = {}
        for line in lines.split("\r\n"):
            name, _, value = line.partition(":")
            headers[name] = value = value.strip(" \t")
            values[name.lower()] = value
        length = values.get("content-length", "")
        if (
            len(values) != len(headers)  # some are told twice
            or not _LENGTH.match(length)
            or "transfer-encoding" in values
            or values.get("connection", "keep-alive").lower() != "keep-alive"
        ):
            return False
        self._stream.read(found.end())
        self.fp = self._stream
        self.version, self.reason = 11, reason.strip()
        self.code = self.status = int(code)
        self.headers = self.msg = headers
        self.chunked, self.will_close, self.length = False, False, int(length)
        return True


def _is_all_there(start: bytes) -> bool:
    """Whether an answer's headers came in one piece, as most do: then there is nothing to hurry.
    Those of a 1xx answer do not count, which is followed by another."""
    return b"\r\n\r\n" in start and start[:7] == b"HTTP/1." and start[8:10] != b" 1"


class _HurriedLines:
    """A stream whose lines come in time: all those that nothing else is read between, together."""

    def __init__(self, stream: io.BufferedReader, sock: socket.socket) -> None:
        self._stream = stream
        self._sock = sock
        self._seconds = sock.gettimeout()
        self._end = math.inf
        self.close, self.flush = stream.close, stream.flush

    def in_time(self) -> None:
        """What was waited for is there."""
        self._end = math.inf

    def readline(self, limit: int = -1) -> bytes:
        if self._seconds is None:
            return self._stream.readline(limit)
        if self._end == math.inf:
            self._end = time.monotonic() + self._seconds
        line = bytearray()
        try:
            while limit < 0 or len(line) < limit:
                self._sock.settimeout(max(1e-3, self._end - time.monotonic()))
                ready = self._stream.peek(1)
                if time.monotonic() > self._end:
                    raise TimeoutError(f"no whole answer within {self._seconds:g} s")
                wanted = len(ready) if limit < 0 else min(len(ready), limit - len(line))
                end = ready.find(b"\n", 0, wanted) + 1
                line += self._stream.read(end or wanted)
                if end or not ready:
                    break
        finally:
            self._sock.settimeout(self._seconds)
        return bytes(line)

    def read(self, size: int | None = -1) -> bytes:
        self.in_time()
        return self._stream.read(size)

    def read1(self, size: int = -1) -> bytes:
        self.in_time()
        return self._stream.read1(size)

    def readinto(self, buffer: Any) -> int:
        self.in_time()
        return self._stream.readinto(buffer)
