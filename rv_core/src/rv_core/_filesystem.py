"""The storage contract: what a FileSystem plugin provides for the URIs of its schemes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Final, Literal

import attrs

from rv_core._errors import IntegrityError, NotFoundError, NotWritableError
from rv_core._progress import OnProgress, Progress, ignore_progress
from rv_core._scheme import without_secrets

if TYPE_CHECKING:
    from rv_core._gdal_access import GdalAccess
    from rv_core.cache import Cache

Mode = Literal["r", "w"]
OpenMode = Literal["rb", "wb", "xb"]
CHUNK_BYTES: Final = 1 << 20
ATTEMPTS: Final = 3
"""How often a file is copied that keeps being replaced meanwhile."""


@attrs.frozen
class FileInfo:
    """What is known of a file without reading it.

    ``size``: bytes, ``None`` where the server does not say. ``last_modified``: timezone-aware.
    ``etag``: changes when the content does; ``None`` where there is none.
    """

    size: int | None
    last_modified: datetime | None = None
    etag: str | None = None


@attrs.frozen
class ListedFile:
    """A file as a listing shows it: its full ``uri``; its ``name`` below the folder that was
    listed, ``/`` between, decoded where URIs of its kind are percent-encoded; what is known."""

    uri: str
    name: str
    info: FileInfo


class FileSystem(ABC):
    """Storage behind a URI scheme.

    The primitives are `open`, `info`, `list_paths` and `delete`; the rest is derived from them,
    and a plugin overrides what it can do faster. Read-only systems set ``writable = False`` and
    raise `NotWritableError` from `open` (for writing) and `delete`, before any I/O.

    All methods raise `NotFoundError`, `AccessDeniedError`, `NotWritableError`, `TransferError`
    or another `StorageError`; no credential or signed query is ever part of a message. They are
    called from several threads at once.
    """

    writable: ClassVar[bool] = True
    is_local: ClassVar[bool] = False
    """Whether its files are this machine's, so that whoever copies may go by their paths."""
    transfers_at_once: ClassVar[int] = 16
    """How many small files a sync moves at the same time."""
    cache: Cache | None = None

    @abstractmethod
    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A binary stream. ``"wb"`` publishes the file when the stream is closed, and drops it
        when its ``with`` block is left by an exception, or it is forgotten unclosed; ``"xb"`` does
        the same but raises `AlreadyExistsError` where a file is there already."""

    @abstractmethod
    def info(self, uri: str) -> FileInfo:
        """What is known of the file; raises `NotFoundError` where there is none."""

    @abstractmethod
    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        """The full URIs of all files below a folder, recursively, whose names end with ``ext``;
        none where the folder does not exist. A file's own URI lists that file."""

    @abstractmethod
    def delete(self, uri: str) -> None:
        """Delete a file, or a folder with all below it; raises `NotFoundError` where neither is."""

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        """What `list_paths` gives, with name and info: override it where a listing tells both."""
        for path in self.list_paths(uri, ext):
            yield ListedFile(path, self.name_below(uri, path), self.info(path))

    def delete_files(self, uris: Iterable[str]) -> None:
        """Delete files (no folders); one that is gone already is no error."""
        for uri in uris:
            with suppress(NotFoundError):
                self.delete(uri)

    def uri_below(self, folder: str, name: str) -> str:
        """The URI of the file that is called ``name`` (``/`` between) below a folder; for an empty
        name that of the folder itself, such as may be listed."""
        return folder_of(folder) + name

    def name_below(self, folder: str, uri: str) -> str:
        """The inverse of `uri_below`; for the URI of the folder itself, its last part."""
        root = folder_of(folder)
        return uri[len(root) :] if uri.startswith(root) else uri.rpartition("/")[2]

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        """Whether this system can read (``"r"``) or write (``"w"``) the URI."""
        return mode == "r" or self.writable

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        """Whether a file, or with ``include_dir`` a folder that holds one, is there.

        A refusal (`AccessDeniedError`) is raised: it never means "no".
        """
        try:
            self.info(uri)
        except NotFoundError:
            return include_dir and next(iter(self.list_paths(uri)), None) is not None
        return True

    def last_modified(self, uri: str) -> datetime | None:
        """When the file last changed, timezone-aware; ``None`` where the system does not say."""
        return self.info(uri).last_modified

    def read_bytes(self, uri: str) -> bytes:
        with self.open(uri) as stream:
            return stream.read()

    def read_str(self, uri: str) -> str:
        """The file as UTF-8 text."""
        return self.read_bytes(uri).decode("utf-8")

    def write_bytes(self, uri: str, data: bytes) -> None:
        with self.open(uri, "wb") as stream:
            stream.write(data)

    def write_str(self, uri: str, text: str) -> None:
        """Write text as UTF-8."""
        self.write_bytes(uri, text.encode("utf-8"))

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> FileInfo | None:
        """Download to a local path, which holds the whole file or is left as it was; a symbolic
        link there is replaced.

        May return what is known of the version that was downloaded. Raises `IntegrityError` where
        another number of bytes arrives than `info` promises.
        """
        from rv_core.local_files import open_for_writing

        target = os.fspath(path)
        sink = partial(open_for_writing, target, target, follow=False, durable=False)
        return copy_whole(self, uri, self.info(uri), sink, on_progress)

    def copy_listed(
        self,
        uri: str,
        path: str | Path,
        listed: FileInfo,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        """As `copy_from`, of a file that a listing has just told of, as a sync does it: override
        it where knowing its size spares a request. It may be another version by now."""
        return self.copy_from(uri, path, on_progress)

    def copy_if_changed(
        self,
        uri: str,
        path: str | Path,
        known: FileInfo | None,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        """Download as `copy_from` does, unless the file is still the version ``known``.

        Returns what is known of the version that was downloaded, ``None`` where nothing was.
        Override it where one request can ask and answer.
        """
        found = self.info(uri)
        if known is not None and same_version(found, known):
            return None
        return self.copy_from(uri, path, on_progress) or found

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> FileInfo | None:
        """Upload a local file. May return what is known of it where it is now, with an ``etag``
        such as listings tell: a sync then need not list again to know it."""
        from rv_core.local_files import failures, open_for_reading

        with ExitStack() as opened:
            with failures("read", os.fspath(path)):
                source = opened.enter_context(open_for_reading(os.fspath(path)))
            size = os.fstat(source.fileno()).st_size
            copy_stream(source, opened.enter_context(self.open(uri, "wb")), size, on_progress)
        return None

    def sync_from_dir(
        self,
        src_uri: str,
        dest_dir: str | Path,
        delete: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Make a local folder hold what lies below ``src_uri``; what is unchanged is left alone.

        With ``delete``, local files that are not there are removed, unless nothing is there.
        Unchanged: size and time are the same, and etag and local time are what they were after
        the last sync of the two, of which a record is kept in the cache's folder. One file's
        failure does not stop the others; at the end a `StorageError` names those that failed, or
        that would have left the folder, and then nothing is deleted.
        """
        from rv_core._sync import sync
        from rv_core._sync_sides import Folder, side_of

        sync(side_of(self, src_uri), Folder(dest_dir), delete=delete, on_progress=on_progress)

    def sync_to_dir(
        self,
        src_dir: str | Path,
        dest_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Make the files below ``dest_uri`` those of a local folder; what is unchanged is left
        alone, and symbolic links are left out.

        With ``delete``, files that are not in the folder are removed; an empty folder deletes
        nothing unless ``allow_empty``. Otherwise as `sync_from_dir`; without a record of an
        earlier sync, unchanged means: of the same size, and not older than the local file.
        """
        if not self.writable:  # before both folders are listed
            raise NotWritableError(
                f"{without_secrets(dest_uri)} cannot be written: this storage is read-only"
            )
        from rv_core._sync import sync
        from rv_core._sync_sides import Folder, side_of

        sync(
            Folder(src_dir),
            side_of(self, dest_uri),
            delete=delete,
            allow_empty=allow_empty,
            on_progress=on_progress,
        )

    def local_path(self, uri: str) -> Path:
        """A local file with the content of the URI, from the cache where it is still current.
        The caller reads it only."""
        from rv_core.cache import Cache

        return (self.cache or Cache()).fetch(self, uri)

    def gdal_access(self, uri: str, version: FileInfo) -> GdalAccess | None:
        """How GDAL reads this file where it lies, with the same credentials, addresses and retries;
        ``None``: it has no way to this storage or to this file, and a copy is to be read.

        ``version``: what `info` told of the file. Reading fails where it is another one by then:
        an override has the server compare, and answers ``None`` where that cannot be done.
        """
        return None


def folder_of(uri: str) -> str:
    """The URI of a folder, ending in exactly one slash, so that `bus` does not match `bush/`."""
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return uri.rstrip("/") + "/"
    return f"{scheme}://{rest.rstrip('/')}/" if rest else uri


def same_version(one: FileInfo, other: FileInfo) -> bool:
    """Whether two answers are certain to describe the same content: by their etags, else by size
    and time."""
    if one.etag is not None or other.etag is not None:
        return one.etag == other.etag
    if one.last_modified is None or one.size is None:
        return False
    return (one.size, one.last_modified) == (other.size, other.last_modified)


def copy_whole(
    fs: FileSystem,
    uri: str,
    found: FileInfo,
    open_sink: Callable[[], BinaryIO],
    on_progress: OnProgress = ignore_progress,
) -> FileInfo:
    """Copy a file into a stream that is published when it is closed, in constant memory.

    ``found``: what is known of the file. Where it is replaced meanwhile, so that its size is
    another, it is copied anew. Returns what is known of the version that was copied; raises
    `IntegrityError` where another number of bytes arrives than is promised.
    """
    attempts = 1
    while True:
        try:
            with fs.open(uri) as source, open_sink() as sink:
                check_size(uri, copy_stream(source, sink, found.size, on_progress), found.size)
            return found
        except IntegrityError:
            now = fs.info(uri)
            if now == found or attempts == ATTEMPTS:
                raise
            found, attempts = now, attempts + 1


def copy_stream(
    source: BinaryIO, sink: BinaryIO, size: int | None, on_progress: OnProgress = ignore_progress
) -> int:
    """Copy in constant memory, reporting bytes done; returns how many there were."""
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        sink.write(chunk)
        done += len(chunk)
        on_progress(Progress("copy", done, size, "B"))
    return done


def check_size(uri: str, found: int, promised: int | None) -> None:
    """Raise `IntegrityError` where a transfer brought another number of bytes than promised."""
    if promised is not None and found != promised:
        raise IntegrityError(
            f"{without_secrets(uri)} should have {promised} bytes, {found} arrived",
            hint="it changed on the way or the connection broke: try again",
        )
