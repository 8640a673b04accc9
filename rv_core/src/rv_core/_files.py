"""The operations of storage on any URI, each resolved through the kernel's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rv_core._filesystem import FileInfo, OpenMode, check_size, copy_stream
from rv_core._progress import OnProgress, ignore_progress
from rv_core._scheme import LOCAL_SCHEME, scheme_of

if TYPE_CHECKING:
    from rv_core._kernel import Kernel


class Files:
    """`FileSystem` for every URI at once: each call finds the system, and asks it.

    Errors are those of `Kernel.filesystem` and of the `FileSystem` that serves the URI.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A binary stream; see `FileSystem.open` for what the modes promise."""
        return self._kernel.filesystem(uri, "r" if mode == "rb" else "w").open(uri, mode)

    def info(self, uri: str) -> FileInfo:
        return self._kernel.filesystem(uri).info(uri)

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        return self._kernel.filesystem(uri).file_exists(uri, include_dir)

    def last_modified(self, uri: str) -> datetime | None:
        return self._kernel.filesystem(uri).last_modified(uri)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        return self._kernel.filesystem(uri).list_paths(uri, ext)

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
        """Copy one file between any two systems, streaming."""
        source, target = self._kernel.filesystem(src_uri), self._kernel.filesystem(dst_uri, "w")
        if scheme_of(src_uri) == LOCAL_SCHEME:
            target.copy_to(source.local_path(src_uri), dst_uri, on_progress)
        else:
            size = source.info(src_uri).size
            with source.open(src_uri) as reader, target.open(dst_uri, "wb") as writer:
                check_size(src_uri, copy_stream(reader, writer, size, on_progress), size)

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
