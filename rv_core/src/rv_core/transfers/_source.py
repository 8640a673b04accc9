"""What a storage plugin provides so that its files can be read by ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from rv_core._errors import StorageError

if TYPE_CHECKING:
    from rv_core._filesystem import FileInfo


class ChangedError(StorageError):
    """The file is not the version any more of which the first part was read."""


class Body(Protocol):
    """The bytes of an answer. Both methods may be called from another thread than the request's."""

    def read1(self, size: int) -> bytes:
        """At most ``size`` bytes, as soon as there are any; empty at the end. Raises
        `TransferError` where the connection breaks, falls silent or ends before it should."""

    def close(self) -> None:
        """Give the connection back, or hang up where bytes are left."""


@attrs.frozen
class Piece:
    """A server's answer to the request for a range.

    ``start``: offset in the file of the first byte of ``body``; 0 where the server ignores ranges
    and sends the whole. ``stop``: offset behind the last byte, ``None`` where it is not told.
    ``info``: what the answer tells of the whole file. ``ranges``: whether other ranges of this
    very version can be asked for.
    """

    start: int
    stop: int | None
    info: FileInfo
    body: Body
    ranges: bool


class RangeSource(Protocol):
    """One file that can be read by ranges."""

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        """Ask for the bytes from ``start`` to before ``stop`` (``None``: the end), once.

        ``version``: what the file has to be still, where a part of it was read before. The answer
        starts at ``start``, or at 0 where the server ignores ranges. Raises `ChangedError` where
        the file is another version, `TransferError` where trying again may help, and any other
        `StorageError`, which ends the transfer.
        """
