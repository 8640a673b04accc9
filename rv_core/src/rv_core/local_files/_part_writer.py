"""Streams into a hidden file, which is published when they are closed."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rv_core._errors import StorageError
from rv_core.local_files._failures import storage_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER_BYTES: Final = 1 << 18


class PartWriter(io.BufferedWriter):
    """Writes the file at ``part``, which `publish` does something with on `close`.

    Leaving the ``with`` block by an exception, `abort`, a failed write and being forgotten
    unclosed all drop what was written; a forked copy leaves it to its parent. Once `close` is
    over, ``part`` is gone. ``handle`` is open for writing at it; ``uri`` is for messages.
    """

    def __init__(self, handle: int, part: str, uri: str) -> None:
        self.part = part
        self.uri = uri
        self._failure: StorageError | None = None
        self._pid = os.getpid()
        super().__init__(io.FileIO(handle, "wb"), _BUFFER_BYTES)

    @abstractmethod
    def publish(self) -> None:
        """What becomes of the file, all of which is written now; raises `StorageError`."""

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Raise an `OSError` of the block as the `StorageError` it amounts to, now and on
        closing."""
        try:
            yield
        except OSError as error:
            raise self._failed(error) from error

    def write(self, data: ReadableBuffer, /) -> int:
        """Like any stream's; raises `StorageError` where the disk is full or fails."""
        try:
            return super().write(data)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Like any stream's; raises `StorageError` where the disk is full or fails."""
        with self.failing():
            super().flush()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Like any stream's; what was written before is flushed, and may fail."""
        self.flush()
        return super().seek(offset, whence)

    def close(self) -> None:
        """Publish the file; raises `StorageError`, leaving an earlier file as it was."""
        if self.closed:
            return
        try:
            if os.getpid() != self._pid:
                return
            if self._failure is not None:
                raise self._failure
            self.flush()
            self.publish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was written; nothing happens to a file that is published already."""
        self.raw.close()  # without the flush that closing the buffer would bring
        if os.getpid() == self._pid:
            with suppress(OSError):  # such as that it was moved
                os.unlink(self.part)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        with suppress(AttributeError, ValueError):  # where __init__ came to no end
            if not self.closed:
                self.abort()

    def _failed(self, error: OSError) -> StorageError:
        self._failure = storage_error(error, "write", self.uri)
        return self._failure
