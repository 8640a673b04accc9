"""From a URI to what fsspec asks for, with every character of a name kept, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs
from fsspec import AbstractFileSystem

from rv_core import StorageError, without_secrets

_PROBE: Final = "p/q"
_CHAINED: Final = re.compile(r"::[A-Za-z][A-Za-z0-9+.\-]*://")
_FROM_URL: Final = ("username", "user", "password")


@attrs.frozen
class Address:
    """A place in storage: the URI it was made of, what the constructor of the implementation
    gets from it, and the ``path`` in there (no slash at its end, ``""`` or ``"/"`` for all).

    ``is_folder``: the URI ends in a slash or names no path, so that it cannot be a file's.
    """

    uri: str = attrs.field(repr=False)
    connection: Mapping[str, Any] = attrs.field(repr=False)
    path: str
    is_folder: bool

    @property
    def shown(self) -> str:
        return shown(self.uri)

    def name_of(self, path: str) -> str | None:
        """The name below this folder of a path that a listing gave; ``None`` for others."""
        root = self.path.strip("/")
        root = root + "/" if root else ""
        # Implementations are not agreed on whether a path begins with a slash.
        found = path.removeprefix("/")
        return found[len(root) :] or None if found.startswith(root) else None

    def is_at(self, path: str) -> bool:
        """Whether a path that a listing gave is this very place."""
        return path.strip("/") == self.path.strip("/")


@attrs.frozen
class Addresses:
    """Reads the URIs of a scheme.

    fsspec's own way takes ``?``, ``#`` and ``::`` in names for parts of a URL, so it is asked
    once for a harmless name at each host or bucket, and the names themselves are taken as they
    stand. What the implementation would change after that is refused: it is another file.
    """

    scheme: str
    cls: type[AbstractFileSystem]
    refused: re.Pattern[str] | None = None
    _hosts: dict[str, tuple[Mapping[str, Any], str]] = attrs.field(
        init=False, factory=dict, repr=False
    )

    def parse(self, uri: str) -> Address:
        """Raises `StorageError` for a URI that cannot be used."""
        if _CHAINED.search(uri):
            raise StorageError(
                f"{shown(uri)} cannot be used: {self.scheme}:// stands on no other URL",
                hint="zip://, tar:// and libarchive:// do: zip://name::s3://bucket/archive.zip",
            )
        host, _, tail = uri[len(self.scheme) + 3 :].partition("/")
        if host not in self._hosts:
            self._hosts[host] = self._ask(host, uri)
        connection, prefix = self._hosts[host]
        path = (prefix + tail).rstrip("/") or prefix
        self._check(path, uri)
        return Address(uri, connection, path, uri.endswith("/") or not path.strip("/"))

    def _ask(self, host: str, uri: str) -> tuple[Mapping[str, Any], str]:
        """What the part of a URI before its path stands for: constructor arguments, and what
        paths begin with."""
        place = f"{self.scheme}://{host}"
        stripped = _quietly(lambda: self.cls._strip_protocol(f"{place}/{_PROBE}"))
        found = _quietly(lambda: self.cls._get_kwargs_from_urls(place))
        if found is None or not isinstance(stripped, str) or not stripped.endswith(_PROBE):
            raise StorageError(
                f"{shown(uri)} is no usable address of {self.scheme}://",
                hint="look at its part before the path",
            )
        connection = {
            key: unquote(value) if key in _FROM_URL and isinstance(value, str) else value
            for key, value in found.items()
            if key not in ("path", "protocol")
        }
        return connection, stripped.removesuffix(_PROBE)

    def _check(self, path: str, uri: str) -> None:
        kept = _quietly(lambda: self.cls._strip_protocol(path))
        mark = self.refused.search(path) if self.refused else None
        if mark or (path.strip("/") and kept != path):
            what = f"{mark[0]!r} in its name" if mark else "its name"
            raise StorageError(
                f"{shown(uri)} cannot be reached: {self.scheme}:// would take {what} for something "
                "else, and reach another file",
                hint="rename it, or use another program for this one",
            )


def shown(uri: str) -> str:
    """A URI as it may be shown, on one line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in without_secrets(uri))


def _quietly(ask: Callable[[], Any]) -> Any:
    """The answer, or ``None`` where a name is one that cannot be read at all."""
    try:
        return ask()
    except (ValueError, TypeError, KeyError, IndexError):
        return None
