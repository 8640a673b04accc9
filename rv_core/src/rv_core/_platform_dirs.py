"""Where this platform keeps a user's configuration and caches."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

APP = "rv"


def user_config_dir(environ: Mapping[str, str]) -> Path:
    """The folder of config files: XDG on Unix, Application Support on macOS, APPDATA on Windows."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config", "Application Support", "APPDATA") / APP


def user_cache_dir(environ: Mapping[str, str]) -> Path:
    """The folder of caches: XDG on Unix, Library/Caches on macOS, LOCALAPPDATA on Windows."""
    return _folder(environ, "XDG_CACHE_HOME", ".cache", "Caches", "LOCALAPPDATA") / APP


def _folder(environ: Mapping[str, str], xdg: str, unix: str, mac: str, windows: str) -> Path:
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "win32":
        return Path(environ.get(windows) or home / "AppData")
    if sys.platform == "darwin":
        return home / "Library" / mac
    base = environ.get(xdg, "")
    return Path(base) if base.startswith("/") else home / unix
