"""A stream whose bytes become an object when it is closed."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final

from rv_core.local_files import failures
from rv_core.transfers import Cancelled

from rv_fs_s3._bodies import Body, Bytes, Memory, OpenFile
from rv_fs_s3._upload import PART_BYTES, SINGLE_BYTES, Multipart, put

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from rv_fs_s3._client import Client
    from rv_fs_s3._locations import Location

PARTS_OF_A_SIZE: Final = 1000
"""After so many parts they double, so that the largest object (5 TiB) fits the 10,000 that there
may be, and the largest part (5 GiB) is not outgrown."""
MEMORY_BYTES: Final = 32 << 20
"""Parts that are larger are kept in temporary files; before them lie 46 GiB."""
IN_FLIGHT_BYTES: Final = 32 << 20
_INTERRUPT_SECONDS: Final = 0.5


def streamed_part_bytes(number: int) -> int:
    """How large the part of that number (from 1 on) of a stream of unknown length is."""
    return PART_BYTES << ((number - 1) // PARTS_OF_A_SIZE)


class S3Writer(io.BufferedIOBase):
    """Keeps up to 32 MiB, and sends what is more in parts while it is written.

    Leaving the ``with`` block by an exception, `abort`, and being forgotten unclosed all drop
    what was written. ``exclusive``: closing raises `AlreadyExistsError` where an object is there.
    """

    def __init__(self, client: Client, location: Location, *, exclusive: bool = False) -> None:
        self._client = client
        self._location = location
        self._exclusive = exclusive
        self._pid = os.getpid()
        self._pos = 0
        self._part = _Part(streamed_part_bytes(1))
        self._full: list[_Part] = []
        self._number = 0
        self._multipart: Multipart | None = None
        self._sending: deque[_Sending] = deque()
        self._failure: BaseException | None = None
        self._stopped = stopped = threading.Event()

        def check() -> None:
            if stopped.is_set():
                raise Cancelled

        # What is sent knows nothing of this object: forgotten, it is gone at once.
        self._check = check

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._pos

    def write(self, data: ReadableBuffer, /) -> int:
        """Like any stream's; raises `StorageError` where an earlier part could not be sent."""
        if self.closed:
            raise ValueError("write to a closed stream")
        if self._failure is not None:
            raise self._failure
        try:
            return self._write(data)
        except BaseException as error:
            self._failure = error  # some of it may be lost, and closing is not to hide it
            raise

    def _write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        count = len(view)
        self._pos += count
        while view:
            if self._part.full:
                self._full.append(self._part)
                self._part = _Part(streamed_part_bytes(self._number + len(self._full) + 1))
                if self._multipart is not None or len(self._full) * PART_BYTES >= SINGLE_BYTES:
                    self._send_full()
            view = self._part.add(view)
        return count

    def close(self) -> None:
        """Make the object; raises `StorageError`, leaving an earlier object as it was."""
        if self.closed:
            return
        try:
            if self._failure is not None:
                raise self._failure
            self._full.append(self._part)
            if self._multipart is None:
                body = Body(Memory(*(part.memory for part in self._full)), 0, self._pos)
                put(self._client, self._location, body, exclusive=self._exclusive)
            else:
                self._send_full()
                self._wait(0)
                self._multipart.complete()
            self._multipart = None
        except KeyboardInterrupt:
            self.abort(_INTERRUPT_SECONDS)
            raise
        finally:
            self.abort()

    def abort(self, seconds: float | None = None) -> None:
        """Drop what was written; nothing happens to an object that is made already."""
        if self.closed:
            return
        super().close()
        self._stopped.set()
        multipart, self._multipart = self._multipart, None
        if multipart is None or os.getpid() != self._pid:  # or a forked copy of the real writer
            return
        for sending in self._sending:
            sending.join(_INTERRUPT_SECONDS if seconds is None else seconds / 2)
        if seconds is None:
            multipart.abort()
        else:
            multipart.abort(seconds)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        elif issubclass(exc_type, Exception):
            self.abort()
        else:
            self.abort(_INTERRUPT_SECONDS)

    def __del__(self) -> None:
        with suppress(AttributeError, ValueError):  # where __init__ came to no end
            # Whatever thread this is in must not wait for a server.
            self.abort(0.0)

    def _send_full(self) -> None:
        """Send the parts that are full beside what is written, a few at a time."""
        if self._multipart is None:
            self._multipart = Multipart(self._client, self._location, exclusive=self._exclusive)
        while self._full:
            part = self._full.pop(0)
            self._wait(max(1, IN_FLIGHT_BYTES // max(part.size, PART_BYTES)) - 1)
            self._number += 1
            body = Body(part.bytes(), 0, part.size, self._check)
            sending = _Sending(self._multipart, self._number, body)
            self._sending.append(sending)
            sending.start()

    def _wait(self, most: int) -> None:
        """Wait until so many parts at most are under way; raise what one of them met."""
        while len(self._sending) > most:
            sending = self._sending[0]
            while sending.is_alive():
                sending.join(0.2)  # not for ever: on Windows, Ctrl-C would not be heard
            if sending.error is not None:
                raise sending.error
            self._sending.popleft()


class _Part:
    """A part that is being filled: in memory, or in a temporary file if it is large."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.size = 0
        self.memory = bytearray()
        self._file: BinaryIO | None = None
        if room > MEMORY_BYTES:
            with failures("write", tempfile.gettempdir()):
                self._file = tempfile.TemporaryFile(prefix="rv-")  # noqa: SIM115

    @property
    def full(self) -> bool:
        return self.size == self._room

    def add(self, view: memoryview) -> memoryview:
        """Take what there is room for; what is left."""
        taken = view[: self._room - self.size]
        if self._file is None:
            self.memory += taken
        else:
            with failures("write", tempfile.gettempdir()):
                self._file.write(taken)
        self.size += len(taken)
        return view[len(taken) :]

    def bytes(self) -> Bytes:
        if self._file is None:
            return Memory(self.memory)
        with failures("write", tempfile.gettempdir()):
            self._file.flush()
        return _Spooled(self._file)


class _Spooled(OpenFile):
    """The bytes of a temporary file, which lives as long as this does."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.fileno(), "a temporary file")
        self._file = file


class _Sending(threading.Thread):
    """A part on its way, beside the thread that writes."""

    def __init__(self, multipart: Multipart, number: int, body: Body) -> None:
        super().__init__(daemon=True, name="rv upload")
        self._multipart = multipart
        self._number = number
        self._body = body
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._multipart.send(self._number, self._body)
        except BaseException as error:  # noqa: BLE001  raised by the thread that writes
            self.error = error
        finally:
            self._body.forget()  # its memory is for the next part
