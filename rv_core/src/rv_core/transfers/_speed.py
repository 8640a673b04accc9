"""Telling a connection that is slow from one that is as good as dead."""

from __future__ import annotations

from typing import Final

from rv_core._errors import TransferError

MIN_BYTES_PER_SECOND: Final = 1024
WINDOW_SECONDS: Final = 5.0


class SpeedGuard:
    """Counts bytes and the time spent waiting for them.

    Timeouts end a connection that says nothing; one that drips a byte a second passes them. Only
    the time inside the calls counts: a reader may pause as long as it likes.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bytes = 0
        self._seconds = 0.0

    def saw(self, count: int, seconds: float) -> None:
        """Raise `TransferError` where less than 5 KiB came within 5 s."""
        self._bytes += count
        self._seconds += seconds
        if self._bytes >= MIN_BYTES_PER_SECOND * WINDOW_SECONDS:
            # Counted anew from here: what came fast is no excuse for what comes now.
            self._bytes, self._seconds = 0, 0.0
        if self._seconds < WINDOW_SECONDS:
            return
        count, self._bytes = self._bytes, 0
        seconds, self._seconds = self._seconds, 0.0
        raise TransferError(
            f"{self._what} stalled: {count} bytes in {seconds:.0f} s",
            hint="the network or the server is overloaded: try again later",
            stalled=seconds,
        )
