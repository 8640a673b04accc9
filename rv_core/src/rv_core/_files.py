"""The operations of storage on any URI, each resolved through the kernel's hooks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rv_core._filesystem import FileInfo, ListedFile, OpenMode, copy_whole
from rv_core._progress import OnProgress, ignore_progress

if TYPE_CHECKING:
    from rv_core._kernel import Kernel


class Files:
    """`FileSystem` for every URI at once: each call finds the system, and asks it.

    Errors are those of `Kernel.filesystem` and of the `FileSystem` that serves the URI.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A binary stream; see `FileSystem.open` for what the modes promise. For reading it is
        seekable where the storage can read from the middle of a file."""
        return self._kernel.filesystem(uri, "r" if mode == "rb" else "w").open(uri, mode)

    def info(self, uri: str) -> FileInfo:
        return self._kernel.filesystem(uri).info(uri)

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        return self._kernel.filesystem(uri).file_exists(uri, include_dir)

    def last_modified(self, uri: str) -> datetime | None:
        return self._kernel.filesystem(uri).last_modified(uri)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        return self._kernel.filesystem(uri).list_paths(uri, ext)

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        """As `list_paths`, with each file's name below the folder, its size, time and etag."""
        return self._kernel.filesystem(uri).list_files(uri, ext)

    def delete(self, uri: str) -> None:
        self._kernel.filesystem(uri, "w").delete(uri)

    def read_bytes(self, uri: str) -> bytes:
        return self._kernel.filesystem(uri).read_bytes(uri)

    def read_str(self, uri: str) -> str:
        return self._kernel.filesystem(uri).read_str(uri)

    def write_bytes(self, uri: str, data: bytes) -> None:
        self._kernel.filesystem(uri, "w").write_bytes(uri, data)

    def write_str(self, uri: str, text: str) -> None:
        self._kernel.filesystem(uri, "w").write_str(uri, text)

    def local_path(self, uri: str) -> Path:
        """A local file with the content of the URI; remote ones come through the cache."""
        return self._kernel.filesystem(uri).local_path(uri)

    def copy(self, src_uri: str, dst_uri: str, on_progress: OnProgress = ignore_progress) -> None:
        """Copy one file between any two systems, in constant memory.

        At ``dst_uri`` there is the whole file afterwards, or what was there before.
        """
        source, target = self._kernel.filesystem(src_uri), self._kernel.filesystem(dst_uri, "w")
        if source.is_local:
            target.copy_to(source.local_path(src_uri), dst_uri, on_progress)
        elif target.is_local and (path := _file_of(dst_uri)) is not None:
            source.copy_from(src_uri, path, on_progress)
        else:
            sink = partial(target.open, dst_uri, "wb")
            copy_whole(source, src_uri, source.info(src_uri), sink, on_progress)

    def sync(
        self,
        src_uri: str,
        dst_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        """Make the folder ``dst_uri`` hold what the folder ``src_uri`` holds, in any two systems.

        As `FileSystem.sync_from_dir` and `sync_to_dir` do between storage and a local folder.
        Raises `NotFoundError` where nothing is below ``src_uri``, and `StorageError` where one
        folder lies in the other.
        """
        from rv_core._sync import sync
        from rv_core._sync_sides import side_of

        sync(
            side_of(self._kernel.filesystem(src_uri), src_uri, required=True),
            side_of(self._kernel.filesystem(dst_uri, "w"), dst_uri),
            delete=delete,
            allow_empty=allow_empty,
            on_progress=on_progress,
            cache=self._kernel.cache,
        )

    def sync_from_dir(
        self,
        src_uri: str,
        dest_dir: str | Path,
        delete: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        fs = self._kernel.filesystem(src_uri)
        fs.sync_from_dir(src_uri, dest_dir, delete, on_progress)

    def sync_to_dir(
        self,
        src_dir: str | Path,
        dest_uri: str,
        delete: bool = False,
        allow_empty: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        fs = self._kernel.filesystem(dest_uri, "w")
        fs.sync_to_dir(src_dir, dest_uri, delete, allow_empty, on_progress)


def _file_of(uri: str) -> Path | None:
    """The path that a download takes to a local URI: a symbolic link stays, and what it leads to
    is replaced, as local storage does. ``None`` for a device or a pipe, which is written."""
    from rv_core.local_files import failures, is_folder, path_of

    name = path_of(uri)
    if name.endswith(("/", os.sep)):
        raise is_folder("write", uri)
    path = Path(name)
    with failures("write", uri):
        with suppress(FileNotFoundError):
            kind = path.stat().st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
                return None
        return Path(os.path.realpath(path)) if path.is_symlink() else path
