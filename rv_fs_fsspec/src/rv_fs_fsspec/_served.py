"""The systems of one kernel: one for each scheme, made when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rv_core import scheme_of
from rv_fs_fsspec._archives import ArchiveFileSystem, Archives
from rv_fs_fsspec._filesystem import FsspecFileSystem
from rv_fs_fsspec._implementations import ARCHIVES, aliases, implementation, is_served

if TYPE_CHECKING:
    from rv_core import FileSystem, Kernel


class Served:
    """What is kept for a kernel; it holds no reference to it, so that the kernel can go."""

    def __init__(self) -> None:
        self._found: dict[str, FsspecFileSystem] = {}
        self._archives = Archives()

    def filesystem(self, uri: str, kernel: Kernel) -> FileSystem | None:
        """The system of a URI; ``None`` for a scheme that fsspec does not know."""
        scheme = scheme_of(uri)
        if not is_served(scheme):
            return None
        if scheme in ARCHIVES:
            options = _options(kernel, scheme)
            archive = ArchiveFileSystem(scheme, kernel, self._archives, options)
            archive.cache = kernel.cache
            return archive
        found = self._found.get(scheme)
        if found is None:
            # Without a lock, which a fork could find taken: of two that are made, one stays.
            found = FsspecFileSystem(scheme, _options(kernel, scheme))
            found.cache = kernel.cache
            found = self._found.setdefault(scheme, found)
        return found


def _options(kernel: Kernel, scheme: str) -> Mapping[str, Any]:
    """``[fsspec.<scheme>]``, above those of the implementation's other schemes."""
    names = [name for name in aliases(implementation(scheme)) if name != scheme]
    options: dict[str, Any] = {}
    for name in (*names, scheme):
        options |= kernel.config.get("fsspec", name, {}, dict)
    return options
