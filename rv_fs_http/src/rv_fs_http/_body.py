"""The body of an answer as a stream that knows how long it has to be."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import urllib3

from rv_core import IntegrityError, TransferError, without_secrets

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from requests import Response


class Body(io.RawIOBase):
    """Reads a response in pieces; closing it closes the response.

    Raises `TransferError` where the connection dies, stalls or ends early, and `IntegrityError`
    where what arrives cannot be decoded.
    """

    def __init__(self, response: Response, uri: str) -> None:
        self._response = response
        self._uri = without_secrets(uri)
        length = response.headers.get("Content-Length", "")
        self._expected = int(length) if length.isdecimal() else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        raw = self._response.raw
        try:
            piece = raw.read(len(view), decode_content=True)
        except urllib3.exceptions.DecodeError as error:
            raise IntegrityError(
                f"what {self._uri} sends is not encoded as its headers say",
                hint="the file on the server, or a proxy on the way, is damaged",
            ) from error
        except urllib3.exceptions.ReadTimeoutError:
            raise self._died("the server stopped sending") from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise self._died("the connection broke") from None
        # urllib3 2 watches the length itself, earlier ones do not.
        if not piece and self._expected is not None and raw.tell() < self._expected:
            raise self._died("the connection ended")
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()

    def _died(self, how: str) -> TransferError:
        total = "" if self._expected is None else f" of {self._expected}"
        return TransferError(
            f"reading {self._uri} failed: {how} after {self._response.raw.tell()}{total} bytes",
            hint="try again; nothing of it was kept",
        )
