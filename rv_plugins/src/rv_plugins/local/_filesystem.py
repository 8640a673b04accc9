"""Plain paths and ``file:`` URIs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from rv_core import FileInfo, FileSystem, ListedFile, Mode, NotFoundError, OnProgress, OpenMode
from rv_core import ignore_progress as _ignore
from rv_core.local_files import (
    copy_into,
    failures,
    is_file_uri,
    is_folder,
    is_local,
    open_for_reading,
    open_for_writing,
    path_of,
    quote,
    unquote,
)

from rv_plugins.local._folders import files_below, refuse_precious, remove_tree


class LocalFileSystem(FileSystem):
    """The disks of this machine.

    Writing goes to a hidden file in the same folder that is flushed to the disk (but with
    ``fsync=False``) and then moved into place. A new file has the permissions that the umask
    leaves, one that is overwritten keeps its own. Folders are made as needed.
    """

    is_local = True
    transfers_at_once = 8

    def __init__(self, *, fsync: bool = True) -> None:
        self._fsync = fsync

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return is_local(uri)

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        path = path_of(uri)
        if mode in ("wb", "xb"):
            return open_for_writing(path, uri, exclusive=mode == "xb", durable=self._fsync)
        if mode != "rb":
            raise ValueError(f"mode must be 'rb', 'wb' or 'xb', got {mode!r}")
        with failures("read", uri):
            return open_for_reading(path)

    def info(self, uri: str) -> FileInfo:
        """Size, time of the last change, and an etag made of time, size and inode."""
        with failures("read", uri):
            found = os.stat(path_of(uri))
        if stat.S_ISDIR(found.st_mode):
            raise is_folder("read", uri)
        return _info_of(found)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        """The files below a folder, in the order of their names; each begins as ``uri`` does.

        A symbolic link is listed where it leads to a file in the same folder; one that leads out
        of it, or to a folder, is not followed. Files that are still being written are not there,
        nor are pipes and devices.
        """
        path = path_of(uri)
        kind = _kind_of(path, uri)
        if kind is not None and stat.S_ISDIR(kind):
            for name, _ in files_below(path, uri, ext):
                yield self.uri_below(uri, name)
        elif kind is not None and path.endswith(ext):
            yield uri

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        """The same, with what is known of each: one look at the disk per file."""
        path = path_of(uri)
        kind = _kind_of(path, uri)
        if kind is None or not stat.S_ISDIR(kind):
            yield from super().list_files(uri, ext)
            return
        for name, entry in files_below(path, uri, ext):
            try:
                with failures("list", uri):
                    found = entry.stat()
            except NotFoundError:  # gone since its folder was read
                continue
            yield ListedFile(self.uri_below(uri, name), name, _info_of(found))

    def uri_below(self, folder: str, name: str) -> str:
        return _with_slash(folder) + (quote(name) if is_file_uri(folder) else name)

    def name_below(self, folder: str, uri: str) -> str:
        if os.name == "nt":
            folder, uri = folder.replace("\\", "/"), uri.replace("\\", "/")
        root = _with_slash(folder)
        name = uri[len(root) :] if uri.startswith(root) else uri.rpartition("/")[2]
        return unquote(name) if is_file_uri(uri) else name

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

    def copy_from(self, uri: str, path: str | Path, on_progress: OnProgress = _ignore) -> FileInfo:
        """Copy to a path, in place of what is there: a symbolic link too is replaced."""
        target = os.fspath(path)
        with open_for_writing(target, target, follow=False, durable=self._fsync) as sink:
            return _info_of(copy_into(path_of(uri), uri, sink, on_progress))

    def copy_to(self, path: str | Path, uri: str, on_progress: OnProgress = _ignore) -> None:
        name = os.fspath(path)
        with self.open(uri, "wb") as sink:
            copy_into(name, name, sink, on_progress)

    def local_path(self, uri: str) -> Path:
        """The path itself; raises `NotFoundError` where no file is there."""
        self.info(uri)
        return Path(path_of(uri))


def _kind_of(path: str, uri: str) -> int | None:
    """What is at a path, as `stat` tells; ``None`` for nothing."""
    with failures("list", uri):
        try:
            return os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _info_of(found: os.stat_result) -> FileInfo:
    changed = None
    with suppress(ValueError, OverflowError, OSError):  # a clock gone wrong: no year of ours
        changed = datetime.fromtimestamp(found.st_mtime, UTC)
    return FileInfo(
        size=found.st_size if stat.S_ISREG(found.st_mode) else None,
        last_modified=changed,
        etag=f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}",
    )
