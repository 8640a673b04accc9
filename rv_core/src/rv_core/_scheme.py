"""Which storage a URI asks for."""

from __future__ import annotations

import os
import re
from typing import Final

LOCAL_SCHEME: Final = "file"

# Two characters at least: the one of C:\ or C:/ is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://|(file):", re.IGNORECASE)
_SIGNED = re.compile(r"[?#].*", re.DOTALL)
_USERINFO = re.compile(r"(?<=://)[^/]*@")


def scheme_of(uri: str | os.PathLike[str]) -> str:
    """The scheme of a URI in lower case; a plain path, ``C:\\`` too, is ``file``."""
    match = _SCHEME.match(os.fspath(uri))
    return match[match.lastindex or 1].lower() if match else LOCAL_SCHEME


def without_secrets(uri: str) -> str:
    """A URI as it may be shown: without user, password, query and fragment.

    A local path is returned as it is, since ``?`` and ``#`` may be part of its name.
    """
    if scheme_of(uri) == LOCAL_SCHEME:
        return uri
    return _USERINFO.sub("", _SIGNED.sub("", uri))


def join(uri: str, *parts: str) -> str:
    """A URI below another: parts joined by single slashes; an absolute part is not special."""
    joined = uri
    for part in parts:
        joined = f"{joined.rstrip('/')}/{part.lstrip('/')}"
    return joined
