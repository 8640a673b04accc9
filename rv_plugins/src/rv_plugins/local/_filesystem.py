"""Plain paths and ``file:`` URIs."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from rv_core import FileInfo, FileSystem, Mode, OnProgress, OpenMode, Progress, StorageError
from rv_core import ignore_progress as _ignore
from rv_core.local_files import (
    failures,
    is_file_uri,
    is_folder,
    is_local,
    open_for_writing,
    path_of,
    quote,
)

from rv_plugins.local._folders import refuse_precious, remove_tree, walk

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 8 << 20


class LocalFileSystem(FileSystem):
    """The disks of this machine.

    Writing goes to a hidden file in the same folder that is flushed to the disk and then moved
    into place. A new file has the permissions that the umask leaves, one that is overwritten
    keeps its own. Folders are made as needed.
    """

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return is_local(uri)

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        path = path_of(uri)
        if mode in ("wb", "xb"):
            return open_for_writing(path, uri, exclusive=mode == "xb")
        if mode != "rb":
            raise ValueError(f"mode must be 'rb', 'wb' or 'xb', got {mode!r}")
        with failures("read", uri):
            return open(path, "rb")

    def info(self, uri: str) -> FileInfo:
        """Size, time of the last change, and an etag made of time, size and inode."""
        with failures("read", uri):
            found = os.stat(path_of(uri))
        if stat.S_ISDIR(found.st_mode):
            raise is_folder("read", uri)
        return FileInfo(
            size=found.st_size if stat.S_ISREG(found.st_mode) else None,
            last_modified=datetime.fromtimestamp(found.st_mtime, UTC),
            etag=f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}",
        )

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        """The files below a folder, in the order of their names; each begins as ``uri`` does.

        A symbolic link is listed where it leads to a file in the same folder; one that leads out
        of it, or to a folder, is not followed. Files that are still being written are not there.
        """
        path = path_of(uri)
        with failures("list", uri):
            try:
                kind = os.stat(path).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return
        if not stat.S_ISDIR(kind):
            if path.endswith(ext):
                yield uri
            return
        start = uri if uri.endswith("/") else uri + "/"
        left_out = 0
        for name in walk(path, uri):
            if name is None:
                left_out += 1
            elif name.endswith(ext):
                yield start + (quote(name) if is_file_uri(uri) else name)
        if left_out:
            logger.warning(
                "%s: left out %d symbolic link(s) that lead to a folder or elsewhere", uri, left_out
            )

    def delete(self, uri: str) -> None:
        """Delete a file, a folder with all below it, or a symbolic link (never what it leads to).

        Raises `StorageError` for the home folder, the working folder and all that hold them.
        """
        path = path_of(uri)
        path = path.rstrip("/" if os.name != "nt" else "/\\") or path[:1]
        if os.path.basename(path) in (os.curdir, os.pardir):
            path = os.path.realpath(path)
        with failures("delete", uri):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                refuse_precious(path, uri)
                remove_tree(path)
            else:
                os.unlink(path)

    def copy_from(self, uri: str, path: str | Path, on_progress: OnProgress = _ignore) -> None:
        """Copy to a path, in place of what is there: a symbolic link too is replaced."""
        target = os.fspath(path)
        with (
            _source(path_of(uri), uri) as source,
            open_for_writing(target, target, follow=False) as sink,
        ):
            _copy(source, sink, on_progress)

    def copy_to(self, path: str | Path, uri: str, on_progress: OnProgress = _ignore) -> None:
        name = os.fspath(path)
        with _source(name, name) as source, self.open(uri, "wb") as sink:
            _copy(source, sink, on_progress)

    def sync_from_dir(
        self,
        src_uri: str,
        dest_dir: str | Path,
        delete: bool = False,
        on_progress: OnProgress = _ignore,
    ) -> None:
        # As a path: names below a file: URI are percent-encoded, those in the folder are not.
        super().sync_from_dir(path_of(src_uri), dest_dir, delete, on_progress)

    def sync_to_dir(
        self,
        src_dir: str | Path,
        dest_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = _ignore,
    ) -> None:
        """Symbolic links in the target are replaced or refused, never written through."""
        root = path_of(dest_uri)
        FileSystem.sync_to_dir(_Below(root), src_dir, root, delete, allow_empty, on_progress)

    def local_path(self, uri: str) -> Path:
        """The path itself; raises `NotFoundError` where no file is there."""
        self.info(uri)
        return Path(path_of(uri))


class _Below(LocalFileSystem):
    """Local storage that writes nowhere but below ``root``, whatever links lie there."""

    def __init__(self, root: str) -> None:
        self._root = root

    def copy_to(self, path: str | Path, uri: str, on_progress: OnProgress = _ignore) -> None:
        folder = os.path.dirname(uri)
        inside = os.path.relpath(folder, self._root)
        expected = os.path.normpath(os.path.join(os.path.realpath(self._root), inside))
        if os.path.realpath(folder) != expected:
            raise StorageError(
                f"refusing to write {uri}: a symbolic link on the way leads out of {self._root}",
                hint="remove the link, or sync to the folder it leads to",
            )
        name = os.fspath(path)
        with _source(name, name) as source, open_for_writing(uri, uri, follow=False) as sink:
            _copy(source, sink, on_progress)


def _source(path: str, uri: str) -> io.FileIO:
    with failures("read", uri):
        return open(path, "rb", buffering=0)


def _copy(source: io.FileIO, sink: BinaryIO, on_progress: OnProgress) -> None:
    """Copy by the system's own means where it has them: shared extents, no way through memory."""
    size = os.fstat(source.fileno()).st_size
    done = 0
    while moved := _copy_range(source.fileno(), sink.fileno()):
        done += moved
        on_progress(Progress("copy", done, size, "B"))
    while chunk := source.read(_CHUNK_BYTES):
        sink.write(chunk)
        done += len(chunk)
        on_progress(Progress("copy", done, size, "B"))


def _copy_range(source: int, sink: int) -> int:
    """Move some bytes within the operating system; 0 at the end or where it cannot: whether that
    is a failure, and whose, the ordinary way of copying tells."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, sink, _CHUNK_BYTES)
    except OSError:
        return 0
