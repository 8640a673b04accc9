"""Which storage a URI asks for."""

from __future__ import annotations

import os
import re
from typing import Final

LOCAL_SCHEME: Final = "file"

# Two characters at least: the one of C:\ or C:/ is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://|(file):", re.IGNORECASE)
_QUERY = re.compile(r"[?#].*", re.DOTALL)
# Elsewhere "?" and "#" may be part of a name; what reads as a parameter may be a signature still.
_PARAMETERS = re.compile(r"\?[^/?#]*=.*", re.DOTALL)
# A password may hold a slash by mistake; what follows a colon is a port where it is a
# number, and another URL after a second colon.
_USERINFO = re.compile(r"(?<=://)(?:[^/]*@|[^/@:\[]+:(?!:|\d*(?:[/?#]|\Z))[^@]*@)")


# The same in any text, such as a message, or a URL behind "::". A token may be a user of http.
_PASSWORD = re.compile(
    r"(https?|[a-z][\w+.\-]+)://([^/@:\s\[]*):"
    r"(?!:|\d*(?:[/?#\s]|\Z))(?:[^/\s]*@|[^@\s]*@)",
    re.IGNORECASE,
)


def scheme_of(uri: str | os.PathLike[str]) -> str:
    """The scheme of a URI in lower case; a plain path, ``C:\\`` too, is ``file``."""
    match = _SCHEME.match(os.fspath(uri))
    return match[match.lastindex or 1].lower() if match else LOCAL_SCHEME


def without_secrets(uri: str) -> str:
    """A URI as it may be shown: without user, password, and what may be a signature.

    Of ``http`` and ``https`` query and fragment are left out, of other schemes what follows a ``?``
    as parameters do (``?name=value``); a local path is returned as it is.
    """
    scheme = scheme_of(uri)
    if scheme == LOCAL_SCHEME:
        return uri
    secrets = _QUERY if scheme in ("http", "https") else _PARAMETERS
    # The user first: a password may hold a question mark.
    return secrets.sub("", _USERINFO.sub("", uri))


def without_password(text: str) -> str:
    """A URI, or a text that holds some, without their passwords.

    The user stays, who may name a place (``abfs://container@account``), so that the URI can be used
    wherever the settings know the password; but for ``http`` and ``https``, whose settings name it.
    """
    return _PASSWORD.sub(_user_only, text)


def _user_only(match: re.Match[str]) -> str:
    scheme, user = match.groups()
    keeps_user = user and scheme.lower() not in ("http", "https")
    return f"{scheme}://{user}@" if keeps_user else f"{scheme}://"


def join(uri: str, *parts: str) -> str:
    """A URI below another: parts joined by single slashes; an absolute part is not special."""
    joined = uri
    for part in parts:
        joined = f"{joined.rstrip('/')}/{part.lstrip('/')}"
    return joined
