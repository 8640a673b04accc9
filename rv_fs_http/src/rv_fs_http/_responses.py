"""Answers as they come from a connection: their lines in time, and nothing in them guessed."""

from __future__ import annotations

import http.client
import re
from email.errors import MissingHeaderBodySeparatorDefect
from typing import Final

from rv_core.transfers.http import ResponseInTime
from urllib3.exceptions import InvalidHeader

_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 (20[06]) ([\t\x20-\x7e]*)\r\n"
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*)*)\r\n\r\n"
)
_LENGTH: Final = re.compile(r"\d{1,18}\Z", re.ASCII)


class Response(ResponseInTime):
    """One that raises `InvalidHeader` where http.client would lose headers, or would take a body
    for another than it is."""

    def begin(self) -> None:
        self.lines.raw.hurry()
        if (found := _PLAIN.match(self.lines.peek(1))) and self._begin_plainly(found):
            return
        super().begin()
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
        self.lines.read(found.end())
        self.version, self.reason = 11, reason.strip()
        self.code = self.status = int(code)
        self.headers = self.msg = headers
        self.chunked, self.will_close, self.length = False, False, int(length)
        return True
