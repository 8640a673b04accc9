"""Connections of boto3 whose answers have their status and headers in time."""

from __future__ import annotations

from functools import partial
from http.client import BadStatusLine
from typing import Any, Final

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from rv_core.transfers.http import BytesInTime, ResponseInTime

_Status = tuple[str, int, str]


class _Response(ResponseInTime):
    """``status``: its first line, where that was read before."""

    def __init__(self, *arguments: Any, status: _Status | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._status = status

    def _read_status(self) -> _Status:
        status, self._status = self._status, None
        return status or super()._read_status()  # type: ignore[misc]


class _InTime:
    response_class: Any = _Response

    def _handle_expect_response(self: Any, message_body: Any) -> None:
        """Send the body if the server gives leave: botocore's own way waits for every byte of the
        answer anew, and for ever where it ends too early."""
        with BytesInTime(self.sock, self.sock.makefile("rb", buffering=0)) as answer:
            answer.hurry()
            line = answer.readline().decode("latin-1").rstrip()
            version, code, reason = f"{line}  ".split(" ", 2)
            if not version.startswith("HTTP/") or not code.isdecimal():
                raise BadStatusLine(line)
            if code != "100":
                status = version, int(code), reason.rstrip()
                self.response_class = partial(_Response, status=status)
                self._response_received = True
                return
            while answer.readline().strip():
                pass
        self._send_message_body(message_body)


class _Http(_InTime, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _Https(_InTime, AWSHTTPSConnection):  # type: ignore[misc]
    pass


class _HttpPool(AWSHTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _Https


POOLS: Final = {"http": _HttpPool, "https": _HttpsPool}
