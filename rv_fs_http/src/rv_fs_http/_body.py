"""The body of an answer: as long as it has to be, and decoded where the server insists."""

from __future__ import annotations

import gzip
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import urllib3
from rv_core.transfers import SpeedGuard

from rv_core import IntegrityError, StorageError, TransferError, without_secrets

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_DRAINED: Final = 1 << 16
"""Reading on is faster than a new connection as long as no more than so many bytes are left."""


class Body:
    """The bytes as they are sent, as `rv_core.transfers.Body`.

    ``expected``: how many there have to be; ``None``: until they end.
    """

    def __init__(self, response: BaseHTTPResponse, uri: str, expected: int | None = None) -> None:
        self._response = response
        self._uri = without_secrets(uri)
        self._expected = expected
        self._done = 0
        self._ended = False

    def read1(self, size: int) -> bytes:
        if self._expected is not None:
            size = min(size, self._expected - self._done)
        if self._ended or size <= 0:
            return b""
        asked = time.monotonic()
        try:
            data = self._response.read1(size, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError:
            seconds = time.monotonic() - asked
            raise self._died("the server stopped sending", seconds) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError):
            # The last two where another thread has closed it.
            raise self._died("the connection broke", time.monotonic() - asked) from None
        self._done += len(data)
        if not data:
            if self._expected is not None and self._done < self._expected:
                raise self._died("the connection ended", time.monotonic() - asked)
            self._ended = True
        return data

    read = read1

    def close(self) -> None:
        # A thread that waits for bytes holds the stream: only the socket can be closed on it.
        # Without a connection, that is given back, and another's already.
        if self._response.connection is not None:
            with suppress(OSError, ValueError, RuntimeError, AttributeError):
                self._response.shutdown()
        self._response.close()

    def drain(self) -> None:
        """Read what is left, if that is little, so that the connection can be used again; hang up
        otherwise."""
        guard = SpeedGuard("the rest of an answer")
        left = self._response.length_remaining
        with suppress(StorageError):
            while left is not None and left <= _DRAINED:
                asked = time.monotonic()
                data = self.read1(max(1, left))  # urllib3 has to see the end of an empty one too
                if not data:
                    break
                guard.saw(len(data), time.monotonic() - asked)
                left -= len(data)
        self._response.close()

    def _died(self, how: str, seconds: float) -> TransferError:
        total = "" if self._expected is None else f" of {self._expected}"
        return TransferError(
            f"reading {self._uri} failed: {how} after {self._done}{total} bytes",
            hint="the network or the server is at fault: try again",
            stalled=seconds,
        )


class Unpacked:
    """The bytes of a body that was compressed by gzip, although nobody asked for that."""

    def __init__(self, body: Body, uri: str) -> None:
        self._body = body
        self._uri = without_secrets(uri)
        # Not urllib3's decoder: that one takes a stream that is cut off for a whole one.
        stream: Any = body  # reading is all that is needed of a file
        self._stream = gzip.GzipFile(fileobj=stream)

    def read1(self, size: int) -> bytes:
        try:
            return self._stream.read1(size)
        except EOFError:
            raise TransferError(
                f"reading {self._uri} failed: it ended too early",
                hint="the network or the server is at fault: try again",
            ) from None
        except (OSError, zlib.error):
            raise IntegrityError(
                f"what {self._uri} sends is not encoded as its headers say",
                hint="the file on the server, or a proxy on the way, is damaged",
            ) from None

    def close(self) -> None:
        self._body.close()
