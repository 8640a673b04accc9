"""GET requests as a FileSystem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import attrs
from rv_core.transfers import (
    ChangedError,
    Piece,
    Retries,
    SpeedGuard,
    download,
    open_reader,
    run_parallel,
)

from rv_core import (
    AccessDeniedError,
    FileInfo,
    FileSystem,
    GdalAccess,
    ListedFile,
    Mode,
    NotFoundError,
    NotWritableError,
    OnProgress,
    OpenMode,
    StorageError,
    TransferError,
    ignore_progress,
    scheme_of,
    without_secrets,
)
from rv_fs_http._answers import MISSING, WHOLE, refusal
from rv_fs_http._index import Entry, entries_of, may_be_index
from rv_fs_http._listing import NoIndexError, files_below
from rv_fs_http._requests import Asked, Requester
from rv_fs_http._settings import HttpSettings
from rv_fs_http._source import HttpSource, UnchangedError
from rv_fs_http._urls import as_folder, name_below, names_folder, uri_below

_READ_BYTES: Final = 1 << 18
_START_BYTES: Final = 1024
_RANGES_AT_ONCE: Final = 8


class HttpFileSystem(FileSystem):
    """Web servers, read-only. May be used from several threads at once, and after a fork.

    What fails for a moment is tried again, as ``retries`` says. Folders are listed where the
    server shows an index of them.
    """

    writable = False

    def __init__(
        self, settings: HttpSettings | None = None, retries: Retries | None = None
    ) -> None:
        settings = settings or HttpSettings()
        self.transfers_at_once = settings.connections  # type: ignore[misc]
        self._requester = Requester(settings)
        self._ranges_at_once = min(_RANGES_AT_ONCE, settings.connections)
        self._retries = retries or Retries()

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process go the settings, not the connections."""
        return type(self), (self._requester.settings, self._retries), {"cache": self.cache}

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return mode == "r" and scheme_of(uri) in ("http", "https")

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A stream of one version of the file, which goes on after a break and can be sought
        where the server keeps to ranges and tells versions apart."""
        if mode != "rb":
            _refuse(uri)
        return open_reader(self._source(uri), uri, retries=self._retries)

    def info(self, uri: str) -> FileInfo:
        """What the headers say; ``size`` is ``None`` where they do not tell it."""
        return self._retries(self._source(uri).info)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        """By the indexes that the server shows of its folders. Raises `StorageError` where it does
        not list."""
        return (found.uri for found in self._found(uri, ext))

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        """By the indexes that the server shows of its folders. nginx's in JSON tell sizes and
        times; of others each file is asked for, several at once.

        Raises `StorageError` where the server does not list.
        """

        def ask(file: ListedFile, check: Callable[[], None]) -> ListedFile:
            check()
            if file.info.last_modified is not None:
                return file
            try:
                return attrs.evolve(file, info=self.info(file.uri))
            except StorageError:  # whoever reads the file will hear of it
                return file

        found = self._found(uri, ext)
        with closing(run_parallel(ask, found, self.transfers_at_once)) as answers:
            for _, answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer

    def _found(self, uri: str, ext: str) -> Iterator[ListedFile]:
        folder = as_folder(uri)
        entries: list[Entry] | None = None
        try:
            entries = self._index(folder)
        except StorageError as error:
            # Some servers show the same page for whatever they do not have.
            if isinstance(error, TransferError) or folder == uri or not self._is_file(uri):
                raise
        if entries is not None:
            for found in files_below(self._index, folder, entries):
                if found.name.endswith(ext):
                    yield found
        elif folder != uri and self._is_file(uri):
            name = self.name_below(uri, uri)
            if name.endswith(ext):
                yield ListedFile(uri, name, self.info(uri))

    def uri_below(self, folder: str, name: str) -> str:
        return uri_below(folder, name)

    def name_below(self, folder: str, uri: str) -> str:
        return name_below(folder, uri)

    def delete(self, uri: str) -> None:
        """Raises `NotWritableError`."""
        _refuse(uri)

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        """Whether a file, or with ``include_dir`` a folder that the server lists, is there."""
        if not (include_dir and names_folder(uri)) and self._is_file(uri):
            return True
        if not include_dir:
            return False
        try:
            entries = self._index(as_folder(uri))
        except NoIndexError:
            return names_folder(uri)  # the server's page of it is there, whatever it shows
        return next(files_below(self._index, uri, entries or []), None) is not None

    def read_bytes(self, uri: str) -> bytes:
        """The file, by one request unless that breaks."""
        source = self._source(uri)
        held = bytearray()
        info: FileInfo | None = None

        def attempt() -> None:
            nonlocal info
            try:
                piece = source.read_range(len(held), None, info if held else None)
            except ChangedError:
                piece = source.read_range(0, None, None)
            if piece.start == 0:
                held.clear()
            info = piece.info
            _read_all(piece, held, without_secrets(uri))

        self._retries(attempt)
        return bytes(held)

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Download, by one request unless that is slow or breaks, to a path that holds the whole
        file or is left as it was."""
        self._download(self._source(uri), uri, path, on_progress)

    def copy_if_changed(
        self,
        uri: str,
        path: str | Path,
        known: FileInfo | None,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        """See `FileSystem`; one conditional request asks and answers.

        Of a file that tells its versions apart by their time alone, and was changed just now, the
        time is left out of what is returned: it might be changed again within that second.
        """
        source = self._source(uri, known)
        try:
            info = self._download(source, uri, path, on_progress)
        except UnchangedError:
            return None
        return info if source.is_settled(info) else attrs.evolve(info, last_modified=None)

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

    def gdal_access(self, uri: str, version: FileInfo) -> GdalAccess | None:
        """By ``/vsicurl/``, where the server keeps to ranges and answers for one version."""
        from rv_fs_http._gdal import access_to

        return access_to(self._requester, self._retries, uri, version)

    def _source(self, uri: str, known: FileInfo | None = None) -> HttpSource:
        return HttpSource(self._requester, uri, known)

    def _is_file(self, uri: str) -> bool:
        try:
            self.info(uri)
        except NotFoundError:
            return False
        return True

    def _download(
        self, source: HttpSource, uri: str, path: str | Path, on_progress: OnProgress
    ) -> FileInfo:
        def begin(at_once: int) -> FileInfo:
            return download(
                source,
                uri,
                path,
                retries=self._retries,
                connections=at_once,
                split=source.worth_splitting if at_once > 1 else None,
                on_progress=on_progress,
            )

        try:
            return begin(self._ranges_at_once)
        except (AccessDeniedError, TransferError):
            # There are servers that allow but one connection at a time.
            if not source.refused:
                raise
        return begin(1)

    def _index(self, folder: str) -> list[Entry] | None:
        """The entries of a folder's index; ``None`` where there is no such folder."""

        def attempt() -> tuple[bytes, str] | None:
            answer = self._requester.get(asked)
            try:
                if answer.status in MISSING:
                    return None
                if answer.status not in WHOLE:
                    raise refusal(answer, asked.shown, "list")
                piece = HttpSource(self._requester, folder).whole(answer)
            except BaseException:
                answer.done()
                raise
            held = bytearray()
            _read_all(piece, held, asked.shown, may_be_index)
            return bytes(held), answer.url

        asked = Asked.of(folder)
        found = self._retries(attempt)
        if found is None:
            return None
        entries = entries_of(*found)
        if entries is None:
            raise NoIndexError(
                f"cannot list {asked.shown}: this server does not list its files",
                hint="name each file, or use storage that lists, such as s3://",
            )
        return entries


def _read_all(
    piece: Piece,
    held: bytearray,
    shown: str,
    goes_on: Callable[[bytes], bool] | None = None,
) -> None:
    """Read a body, as long as ``goes_on`` of its first bytes."""
    guard = SpeedGuard(f"reading {shown}")
    try:
        while True:
            asked = time.monotonic()
            data = piece.body.read1(_READ_BYTES)
            if not data:
                return
            guard.saw(len(data), time.monotonic() - asked)
            held += data
            if goes_on is not None and not goes_on(bytes(held[:_START_BYTES])):
                return
    finally:
        piece.body.close()


def _refuse(uri: str) -> NoReturn:
    raise NotWritableError(
        f"{without_secrets(uri)} cannot be written: {scheme_of(uri)}:// is read-only here",
        hint="write to another place, such as a local path",
    )
