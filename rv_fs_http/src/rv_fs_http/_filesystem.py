"""Plain GET requests as a FileSystem."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from rv_core import (
    FileInfo,
    FileSystem,
    Mode,
    NotFoundError,
    NotWritableError,
    OnProgress,
    OpenMode,
    StorageError,
    copy_stream,
    ignore_progress,
    scheme_of,
    without_secrets,
)
from rv_fs_http._body import Body
from rv_fs_http._requests import Requester

if TYPE_CHECKING:
    from requests import Response

_BUFFER_BYTES = 1 << 18


class HttpFileSystem(FileSystem):
    """Web servers, read-only and as they are: no listing, and nothing is tried twice.

    ``connect_timeout``: seconds until the name is resolved, and again until the connection
    stands. ``read_timeout``: seconds without a byte. May be used from several threads at once.
    """

    writable = False

    def __init__(self, *, connect_timeout: float = 5.0, read_timeout: float = 10.0) -> None:
        self._requester = Requester(connect_timeout, read_timeout)

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return mode == "r" and scheme_of(uri) in ("http", "https")

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A stream of the body. Reading raises `TransferError` where the connection dies or the
        body ends before the length that the server gave."""
        if mode != "rb":
            _refuse(uri)
        body = Body(self._requester.get(uri), uri)
        return io.BufferedReader(body, _BUFFER_BYTES)

    def info(self, uri: str) -> FileInfo:
        """What the headers say. They come from a GET whose body is not read: some servers refuse
        HEAD, and signed URLs are often good for GET alone."""
        with self._requester.get(uri) as response:
            return _info_of(response)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        """Raises `StorageError`: web servers do not list."""
        raise StorageError(
            f"cannot list {without_secrets(uri)}: this server does not list its files",
            hint="name each file, or use storage that lists, such as s3://",
        )

    def delete(self, uri: str) -> None:
        """Raises `NotWritableError`."""
        _refuse(uri)

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        """Whether a file is there; of folders a web server says nothing."""
        try:
            self.info(uri)
        except NotFoundError:
            return False
        return True

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Download with one request, to a path that holds the whole file or is left as it was."""
        with self._requester.get(uri) as response:
            size = _info_of(response).size
            body = io.BufferedReader(Body(response, uri), _BUFFER_BYTES)
            try:
                _write(Path(path), body, size, on_progress)
            except OSError as error:
                raise StorageError(
                    f"cannot write {path}: {error.strerror or error}",
                    hint="look at the disk and its permissions; nothing was changed there",
                ) from error

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Raises `NotWritableError`."""
        _refuse(uri)

    def sync_to_dir(
        self,
        src_dir: str | Path,
        dest_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Raises `NotWritableError`."""
        _refuse(dest_uri)


def _refuse(uri: str) -> NoReturn:
    raise NotWritableError(
        f"{without_secrets(uri)} cannot be written: {scheme_of(uri)}:// is read-only here",
        hint="write to another place, such as a local path",
    )


def _write(target: Path, source: BinaryIO, size: int | None, on_progress: OnProgress) -> None:
    """Write a stream to a file that appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".rv-{secrets.token_hex(8)}.part"
    # Mode 0666: the system takes the umask off.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o666), "wb") as sink:
            copy_stream(source, sink, size, on_progress)
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _info_of(response: Response) -> FileInfo:
    headers = response.headers
    length = headers.get("Content-Length", "")
    # Of an encoded body the length is that of the encoding, not of the file.
    size = int(length) if length.isdecimal() and "Content-Encoding" not in headers else None
    return FileInfo(size, _time_of(headers.get("Last-Modified")), headers.get("ETag"))


def _time_of(header: str | None) -> datetime | None:
    if header is None:
        return None
    try:
        found = parsedate_to_datetime(header)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
