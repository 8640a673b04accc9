"""The storage contract: what a FileSystem plugin provides for the URIs of its schemes."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

import attrs

from rv_core import _sync
from rv_core._errors import IntegrityError, NotFoundError, StorageError
from rv_core._progress import OnProgress, Progress, ignore_progress
from rv_core._scheme import join, without_secrets

if TYPE_CHECKING:
    from rv_core.cache import Cache

Mode = Literal["r", "w"]
OpenMode = Literal["rb", "wb", "xb"]
CHUNK_BYTES = 1 << 20


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
    or another `StorageError`; no credential or signed query is ever part of a message.
    """

    writable: ClassVar[bool] = True
    transfers_at_once: ClassVar[int] = 16
    """How many small files a sync moves at the same time."""
    cache: Cache | None = None

    @abstractmethod
    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A binary stream. ``"wb"`` publishes the file when the stream is closed, and drops it
        when its ``with`` block is left by an exception; ``"xb"`` does the same but raises
        `AlreadyExistsError` where a file is there already."""

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
        """The URI of the file that is called ``name`` (``/`` between) below a folder."""
        return join(folder, name)

    def name_below(self, folder: str, uri: str) -> str:
        """The inverse of `uri_below`; for the URI of the folder itself, its last part."""
        root = folder.rstrip("/") + "/"
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
    ) -> None:
        """Download to a local path, which holds the whole file or is left as it was.

        Raises `IntegrityError` where another number of bytes arrives than `info` promises.
        """
        target = Path(path)
        size = self.info(uri).size
        # As storage names its unfinished files everywhere: hidden, and short on any file system.
        part = target.parent / f".rv-{secrets.token_hex(8)}.part"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as sink, self.open(uri) as source:
                check_size(uri, copy_stream(source, sink, size, on_progress), size)
            part.replace(target)
        except OSError as error:
            why = error.strerror or error
            raise StorageError(
                f"{without_secrets(uri)} cannot be copied to {target}: {why}"
            ) from error
        finally:
            with suppress(OSError):
                part.unlink()

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
        self.copy_from(uri, path, on_progress)
        return found

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Upload a local file."""
        with Path(path).open("rb") as source, self.open(uri, "wb") as sink:
            copy_stream(source, sink, os.fstat(source.fileno()).st_size, on_progress)

    def sync_from_dir(
        self,
        src_uri: str,
        dest_dir: str | Path,
        delete: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Make a local folder hold what lies below ``src_uri``; what is unchanged is left alone.
        With ``delete``, local files that are not there are removed, unless nothing is there."""
        _sync.from_dir(self, src_uri, Path(dest_dir), delete, on_progress)

    def sync_to_dir(
        self,
        src_dir: str | Path,
        dest_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Make the files below ``dest_uri`` those of a local folder; what is unchanged is left
        alone. With ``delete``, files that are not in the folder are removed; an empty folder
        deletes nothing unless ``allow_empty``."""
        _sync.to_dir(self, Path(src_dir), dest_uri, delete, allow_empty, on_progress)

    def local_path(self, uri: str) -> Path:
        """A local file with the content of the URI, from the cache where it is still current.
        The caller reads it only."""
        from rv_core.cache import Cache

        return (self.cache or Cache()).fetch(self, uri)


def same_version(one: FileInfo, other: FileInfo) -> bool:
    """Whether two answers are certain to describe the same content: by their etags, else by size
    and time."""
    if one.etag is not None or other.etag is not None:
        return one.etag == other.etag
    if one.last_modified is None or one.size is None:
        return False
    return (one.size, one.last_modified) == (other.size, other.last_modified)


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
