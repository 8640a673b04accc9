"""Storage at every URI that fsspec knows, and the way back: RV's storage for users of fsspec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_fs_fsspec._filesystem import FsspecFileSystem
    from rv_fs_fsspec._rv import RVFileSystem

__version__ = "0.1.0"

__all__ = ["FsspecFileSystem", "RVFileSystem", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "FsspecFileSystem":
        from rv_fs_fsspec._filesystem import FsspecFileSystem

        return FsspecFileSystem
    if name == "RVFileSystem":
        from rv_fs_fsspec._rv import RVFileSystem

        return RVFileSystem
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
