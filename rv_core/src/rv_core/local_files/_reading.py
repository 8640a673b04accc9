"""Reading what may keep its reader waiting."""

from __future__ import annotations

import io
import os
import select
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_TICK_MILLISECONDS: Final = 200


def open_for_reading(path: str) -> io.BufferedReader:
    """A file, or a pipe or device in reading which Ctrl-C is heard at once. Raises `OSError`."""
    if hasattr(select, "poll") and not stat.S_ISREG(os.stat(path).st_mode):
        return io.BufferedReader(_Pipe(path))
    return open(path, "rb")


class _Pipe(io.FileIO):
    """Waits a little at a time. Python hears a signal between two of its steps or, within one, by
    the call to the system that it breaks off; one that comes right before such a call would be
    heard when the call has its answer, which a pipe may never give."""

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        self._wait()
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._wait()
        return super().read(size)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(io.DEFAULT_BUFFER_SIZE), b""))

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        while not poll.poll(_TICK_MILLISECONDS):
            pass
