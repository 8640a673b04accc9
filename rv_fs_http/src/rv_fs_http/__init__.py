"""Read-only storage behind ``http://`` and ``https://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_fs_http._filesystem import HttpFileSystem
    from rv_fs_http._settings import HttpSettings

__version__ = "0.1.0"

__all__ = ["HttpFileSystem", "HttpSettings", "__version__"]

_MODULES = {"HttpFileSystem": "_filesystem", "HttpSettings": "_settings"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
