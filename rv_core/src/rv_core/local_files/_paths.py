"""From URIs to paths and back."""

from __future__ import annotations

import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rv_core._errors import StorageError

_FILE_SCHEME = re.compile(r"file:", re.IGNORECASE)
# Two characters at least: a single one is a Windows drive.
_OTHER_SCHEME = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.\-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"/?([A-Za-z])[:|](?=[/\\]|\Z)")
_SAFE = "/~!$&'()*+,;=:@"
"""What RFC 3986 lets a path hold unescaped, beside letters, digits and ``-._~``."""


def is_local(uri: str) -> bool:
    """Whether this is a plain path (``C:\\x`` too) or a ``file:`` URI."""
    return _OTHER_SCHEME.match(uri) is None


def is_file_uri(uri: str) -> bool:
    return _FILE_SCHEME.match(uri) is not None


def path_of(uri: str, *, windows: bool = os.name == "nt") -> str:
    """The path that a plain path or a ``file:`` URI names.

    A plain path may be relative, and ``~`` or ``~user`` at its start is expanded. In a ``file:``
    URI all that follows the host is the path, percent-decoded, ``?`` and ``#`` included.
    ``windows``: the rules of that system (``file:///C:/x`` is ``C:\\x``, a host is a share).
    Raises `StorageError` for a URI that cannot name a file of this machine.
    """
    path = _path_of_file_uri(uri, windows) if is_file_uri(uri) else os.path.expanduser(uri)
    if not path:
        raise StorageError("the path is empty", hint="name a file or a folder, '.' for this one")
    if "\0" in path:
        raise StorageError(f"{uri!r} holds a NUL character, which no path can")
    if not path.isascii():
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise StorageError(f"{uri!r} is not valid text, as a path must be") from None
    return path


def uri_of(path: str, *, windows: bool = os.name == "nt") -> str:
    """The ``file:`` URI of an absolute path; the inverse of `path_of`."""
    if not windows:
        return "file://" + quote(path)
    path = path.replace("\\", "/")
    if path.startswith("//"):
        return "file:" + quote(path, windows=True)
    return "file:///" + quote(path.removeprefix("/"), windows=True)


def quote(path: str, *, windows: bool = os.name == "nt") -> str:
    """A path, or a part of one, percent-encoded."""
    raw = path.encode("utf-8", "surrogatepass") if windows else os.fsencode(path)
    return quote_from_bytes(raw, _SAFE)


def unquote(part: str, *, windows: bool = os.name == "nt") -> str:
    """The inverse of `quote`."""
    raw = unquote_to_bytes(part)
    return raw.decode("utf-8", "surrogatepass") if windows else os.fsdecode(raw)


def _path_of_file_uri(uri: str, windows: bool) -> str:
    rest = uri[len("file:") :]
    host = ""
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        rest = slash + tail
    if windows and _DRIVE.fullmatch(host):  # file://C:/x, a slash short, but clear
        host, rest = "", f"/{host}{rest}"
    if host.lower() == "localhost":
        host = ""
    if host and not windows:
        raise StorageError(
            f"{uri!r} names the host {host!r}; local storage holds this machine's files only",
            hint=f"an absolute path has three slashes: file:///{host}{rest}",
        )
    path = unquote(rest, windows=windows)
    if not path.startswith("/"):
        raise StorageError(
            f"{uri!r} names no absolute path",
            hint="spell it file:///absolute/path, or give a relative path without 'file:'",
        )
    if not windows:
        return path
    if _DRIVE.match(path):
        path = _DRIVE.sub(r"\1:", path, count=1)
    return (f"//{host}{path}" if host else path).replace("/", "\\")
