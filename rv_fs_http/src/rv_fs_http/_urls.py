"""URLs taken apart and put together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit, urlunsplit

import attrs
from requests import PreparedRequest, RequestException
from rv_core.local_files import quote

from rv_core import StorageError, without_secrets

# Most URLs need no more than a look: scheme, host, port, and path with query.
_NORMAL: Final = re.compile(
    r"(https?)://([a-z0-9.-]*[a-z0-9])(?::([1-9]\d{0,3}|[1-5]\d{4}))?"
    r"(/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?)\Z"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """What has to be the same for credentials to be sent: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Raises `ValueError` for what is not a URL."""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return cls(scheme, host_of(parts), parts.port or _DEFAULT_PORTS.get(scheme, 0))

    @property
    def has_default_port(self) -> bool:
        return self.port == _DEFAULT_PORTS.get(self.scheme)


def host_of(parts: SplitResult) -> str:
    """A host as it goes over the network: in lower case, in ASCII, without the final dot."""
    host = (parts.hostname or "").rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def split(uri: str) -> SplitResult:
    """The parts of a URI; raises `StorageError` for what is none."""
    try:
        return urlsplit(uri)
    except ValueError:
        pass
    raise unusable(uri)


def unusable(uri: str) -> StorageError:
    return StorageError(
        f"{without_secrets(uri)!r} is not a usable URL", hint="it needs a host and a path"
    )


@attrs.frozen
class Address:
    """A URL as it is sent: host and path in ASCII, without dot segments, user and fragment.

    ``place``: whom it is sent to. ``target``: its path and query, as a request names them.
    """

    url: str
    place: Origin
    target: str

    @classmethod
    def of(cls, url: str, shown: str) -> Address:
        """Raises `StorageError` for what cannot be sent; ``shown``: what to call it then."""
        if found := cls.of_normal(url):
            return found
        request = PreparedRequest()
        try:
            request.prepare_url(url, None)
            url = request.url or ""
            parts, place = urlsplit(url), Origin.of(url)  # a port may be none
        except (RequestException, ValueError):
            url = ""
        if not url:
            raise unusable(shown)
        path = parts.path or "/"
        return cls(url, place, f"{path}?{parts.query}" if parts.query else path)

    @classmethod
    def of_normal(cls, url: str) -> Address | None:
        """Of a URL that can be sent as it is, in which there is nothing to hide but a query."""
        found = _NORMAL.match(url)
        if found is None or "/." in url:
            return None
        scheme, host, port, target = found.groups()
        place = Origin(scheme, host, int(port) if port else _DEFAULT_PORTS[scheme])
        return cls(url, place, target)


def names_folder(uri: str) -> bool:
    """Whether a URI ends in a slash, its query aside."""
    return split(uri).path.endswith("/")


def as_folder(uri: str) -> str:
    """The URI with exactly one slash at the end of its path."""
    return _with_path(uri, lambda path: path.rstrip("/") + "/")


def uri_below(folder: str, name: str) -> str:
    """The URI of a file below a folder; a query of the folder's goes along."""
    return _with_path(folder, lambda path: f"{path.rstrip('/')}/{quote(name)}")


def entry_below(folder: str, below: str, name: str) -> str:
    """As `uri_below`, of ``below`` and ``name`` together; a slash in ``name`` is part of it."""
    quoted = quote(below) + quote(name).replace("/", "%2F")
    return _with_path(folder, lambda path: f"{path.rstrip('/')}/{quoted}")


def name_below(folder: str, uri: str) -> str:
    """The inverse of `uri_below`; for the URI of the folder itself, its last part."""
    root, path = split(as_folder(folder)).path, split(uri).path
    return unquoted(path[len(root) :] if path.startswith(root) else path.rpartition("/")[2])


def unquoted(path: str) -> str:
    """A path, or a part of one, decoded: the inverse of `rv_core.local_files.quote`."""
    return os.fsdecode(unquote_to_bytes(path))


def _with_path(uri: str, change: Callable[[str], str]) -> str:
    parts = split(uri)
    return urlunsplit(parts._replace(path=change(parts.path)))
