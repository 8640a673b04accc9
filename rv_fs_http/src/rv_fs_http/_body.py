"""The body of an answer: as long as it has to be, and decoded where the server insists."""

from __future__ import annotations

import gzip
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import urllib3
from rv_core.transfers import SpeedGuard

from rv_core import IntegrityError, StorageError, TransferError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_DRAINED_BYTES: Final = 1 << 16
_DRAINED_SECONDS: Final = 0.5
"""Reading on is faster than a new connection as long as no more is left, and that is there."""
_PACKAGING_BYTES: Final = 1 << 18
"""More than gzip reads without giving a byte, unless it is given nonsense: its buffer holds
128 KiB at most, as its headers do that anybody makes."""


class Body:
    """The bytes as they are sent, as `rv_core.transfers.Body`.

    ``shown``: the URL as messages may show it. ``expected``: how many bytes there have to be;
    ``None``: until they end. ``waited``: seconds that passed before any could arrive.
    """

    def __init__(
        self,
        response: BaseHTTPResponse,
        shown: str,
        expected: int | None = None,
        waited: float = 0.0,
    ) -> None:
        self._response = response
        self._shown = shown
        self._expected = expected
        self._waited = waited
        self._done = 0
        self._ended = False

    @property
    def tells_its_end(self) -> bool:
        """Whether an end that comes too early is noticed."""
        return self._expected is not None or bool(getattr(self._response, "chunked", False))

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

    def _died(self, how: str, seconds: float) -> TransferError:
        total = "" if self._expected is None else f" of {self._expected}"
        return TransferError(
            f"reading {self._shown} failed: {how} after {self._done}{total} bytes",
            hint="the network or the server is at fault: try again",
            stalled=self._waited + seconds,
        )


def drain(response: BaseHTTPResponse) -> None:
    """Read what is left of a body, if that is little and there already, so that the connection can
    be used again; hang up otherwise."""
    left = response.length_remaining
    sock = getattr(response.connection, "sock", None)  # gone where the server hangs up anyway
    if sock is not None and left is not None and left <= _DRAINED_BYTES:
        body = Body(response, "an answer")
        end = time.monotonic() + _DRAINED_SECONDS
        sock.settimeout(_DRAINED_SECONDS)
        with suppress(StorageError):
            # urllib3 has to see the end of an empty one too.
            while time.monotonic() < end and (data := body.read1(max(1, left))):
                left -= len(data)
    response.close()


class Unpacked:
    """The bytes of a body that was compressed by gzip, although nobody asked for that."""

    def __init__(self, body: Body, shown: str) -> None:
        self._body = body
        self._shown = shown
        self._packed = _Packed(body, shown)
        # Not urllib3's decoder: that one takes a stream that is cut off for a whole one.
        stream: Any = self._packed  # reading is all that is needed of a file
        self._stream = gzip.GzipFile(fileobj=stream)

    def read1(self, size: int) -> bytes:
        self._packed.fruitless = 0
        try:
            data = self._stream.read1(size)
        except EOFError:
            raise self._too_early() from None
        except (OSError, zlib.error):
            raise IntegrityError(
                f"what {self._shown} sends is not encoded as its headers say",
                hint="the file on the server, or a proxy on the way, is damaged",
            ) from None
        if not data and self._packed.is_empty and not self._body.tells_its_end:
            raise self._too_early()  # of nothing, too, something is left when it is packed
        return data

    def close(self) -> None:
        self._body.close()

    def _too_early(self) -> TransferError:
        return TransferError(
            f"reading {self._shown} failed: it ended too early",
            hint="the network or the server is at fault: try again",
        )


class _Packed:
    """The packed bytes, as gzip reads them: it may ask for any number before it gives one, so that
    whoever waits for those cannot tell whether the server is asleep, or mocks us."""

    def __init__(self, body: Body, shown: str) -> None:
        self._body = body
        self._guard = SpeedGuard(f"reading {shown}")
        self.is_empty = True
        self.fruitless = 0

    def read(self, size: int) -> bytes:
        asked = time.monotonic()
        data = self._body.read1(size)
        self._guard.saw(len(data), time.monotonic() - asked)
        self.is_empty = self.is_empty and not data
        self.fruitless += len(data)
        if self.fruitless > _PACKAGING_BYTES:
            raise gzip.BadGzipFile("nothing but packaging")
        return data
