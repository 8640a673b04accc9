"""A stream that is kept on this machine until it is closed, and then goes up whole."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rv_core.local_files import part_name, storage_error, sweep

from rv_core import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER_BYTES: Final = 1 << 18


class Upload(io.BufferedWriter):
    """Writes a temporary file and hands it to ``publish(path)`` on `close`.

    Few implementations can take back what was written to them, and none can be asked again for
    what a broken connection lost: from a file, all can. Leaving the ``with`` block by an
    exception, a failed write and being forgotten unclosed all drop what was written. What writers
    that died left there goes too.
    """

    def __init__(self, publish: Callable[[Path], object]) -> None:
        self._publish = publish
        self._failure: StorageError | None = None
        self._pid = os.getpid()
        self._path = ""
        try:
            name = part_name().removesuffix(".part")
            handle, self._path = tempfile.mkstemp(".part", f"{name}-")
        except OSError as error:
            raise storage_error(error, "write", tempfile.gettempdir()) from error
        super().__init__(io.FileIO(handle, "wb"), _BUFFER_BYTES)
        sweep(tempfile.gettempdir())

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._failed(error) from error

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Upload; raises `StorageError`, leaving an earlier file as it was."""
        if self.closed:
            return
        try:
            if self._failure is not None:
                raise self._failure
            if os.getpid() == self._pid:  # a forked copy of this stream is its parent's to close
                self.flush()
                self.raw.close()
                self._publish(Path(self._path))
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was written."""
        self.raw.close()  # without the flush that closing the buffer would bring
        if self._path and os.getpid() == self._pid:
            with suppress(OSError):
                Path(self._path).unlink()
            self._path = ""

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
        self._failure = storage_error(error, "write", tempfile.gettempdir())
        return self._failure
