"""Read-only storage behind ``http://`` and ``https://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_fs_http._filesystem import HttpFileSystem

__version__ = "0.1.0"

__all__ = ["HttpFileSystem", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "HttpFileSystem":
        from rv_fs_http._filesystem import HttpFileSystem

        return HttpFileSystem
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
