"""What rv-plugins announces: storage behind plain paths and ``file:`` URIs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rv_core import hookimpl

if TYPE_CHECKING:
    from rv_core import FileSystem, Kernel

    from rv_plugins.local import LocalFileSystem


@hookimpl
def rv_filesystem(uri: str, mode: str, kernel: Kernel) -> FileSystem | None:
    storage = _local(kernel.config.get("local", "fsync", True))
    return storage if storage.matches_uri(uri) else None


@cache
def _local(fsync: bool) -> LocalFileSystem:
    """One object for all kernels of this setting: it has no state."""
    from rv_plugins.local import LocalFileSystem

    return LocalFileSystem(fsync=fsync)
