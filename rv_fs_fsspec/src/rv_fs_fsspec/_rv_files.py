"""RV's streams as fsspec's users know files: with a size, OSErrors, and transactions."""

from __future__ import annotations

import io
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from rv_fs_fsspec._os_errors import as_os_errors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_BUFFER_BYTES: Final = 1 << 18


class ReadFile(io.BufferedReader):
    """A stream for reading; ``size`` in bytes, ``None`` where storage does not tell."""

    def __init__(self, stream: BinaryIO, path: str, size: int | None) -> None:
        super().__init__(_Raw(stream), _BUFFER_BYTES)
        self.path = path
        self.size = size


class _Raw(io.RawIOBase):
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with as_os_errors():
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        with as_os_errors():
            data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Droppable(io.IOBase):
    """A stream that drops what was written where its ``with`` block is left by an exception, and
    where it is forgotten unclosed."""

    def discard(self) -> None:
        """Drop what was written."""
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        with suppress(Exception):
            if not self.closed:
                self.discard()


class WriteFile(_Droppable, io.BufferedIOBase):
    """A stream for writing. Closing it publishes the file, or with ``autocommit=False`` (in
    fsspec's transactions) `commit` does."""

    def __init__(self, stream: BinaryIO, path: str, autocommit: bool) -> None:
        self._stream = stream
        self._autocommit = autocommit
        self._written = 0
        self.path = path

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        if self.closed:
            raise ValueError(f"{self.path} is closed")
        with as_os_errors():
            count = self._stream.write(data)
        self._written += count
        return count

    def tell(self) -> int:
        return self._written

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._autocommit:
                self.commit()
        finally:
            super().close()

    def commit(self) -> None:
        """Publish what was written."""
        with as_os_errors():
            self._stream.close()

    def discard(self) -> None:
        """Drop what was written."""
        dropped = RuntimeError("what was written is dropped")
        self._stream.__exit__(RuntimeError, dropped, None)
        super().close()


class PackedFile(_Droppable, io.BufferedIOBase):
    """A stream that compresses what is written to it, and is closed or dropped with its file."""

    def __init__(self, packer: Any, file: WriteFile) -> None:
        self._packer = packer
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self._packer.write(data)  # type: ignore[no-any-return]

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._packer.close()
            self._file.close()
        finally:
            super().close()

    def discard(self) -> None:
        self._file.discard()
        super().close()


class TextFile(_Droppable, io.TextIOWrapper):
    """Text over one of these streams, dropped with it."""

    def discard(self) -> None:
        if isinstance(self.buffer, _Droppable):
            self.buffer.discard()
        else:
            self.close()
