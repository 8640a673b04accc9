"""Whom a server is told we are: what belongs to a host is sent to that host, and to no other."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from rv_core import ConfigError
from rv_fs_http._netrc import Netrc
from rv_fs_http._urls import Origin, host_of

_FIELDS: Final = ("username", "password", "token")


class Credentials:
    """The value of ``Authorization`` for a request. Its `repr` shows nothing of them."""

    def __init__(self, hosts: Mapping[str, Mapping[str, str]], use_netrc: bool) -> None:
        self._hosts = dict(_checked(key, entry) for key, entry in hosts.items())
        self._netrc = Netrc() if use_netrc else None

    def header(self, place: Origin, asked: Origin, of_url: str | None) -> str | None:
        """What to send along to a place; ``None``: nothing.

        ``asked``: where the URL that the user named leads, ``of_url``: what it holds itself, which
        goes nowhere else. To a place that a redirect leads to goes only what the settings or netrc
        name for that very place, and only encrypted.
        """
        if place == asked and of_url is not None:
            return of_url
        if place != asked and place.scheme != "https":
            return None
        if found := self._hosts.get((place.host, place.port)):
            return found
        if place.has_default_port and (found := self._hosts.get((place.host, None))):
            return found
        # A netrc file knows no ports: the user's word is good for any of them, a server's is not.
        if self._netrc is not None and (place == asked or place.has_default_port):
            login = self._netrc.login(place.host)
            return None if login is None else basic(*login)
        return None


def basic(username: str, password: str) -> str:
    """RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def take_from(uri: str) -> tuple[str, str | None]:
    """The URL without user, password and fragment, and what to send for the first two.
    Raises `ValueError` for what is not a URL."""
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=host, fragment=""))
    if not at or not user.strip(":"):
        return url, None
    name, _, password = user.partition(":")
    return url, basic(unquote(name), unquote(password))


def _checked(key: str, entry: Mapping[str, str]) -> tuple[tuple[str, int | None], str]:
    """A host as it is looked up, and its header; messages never show what was given for it."""
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"http.hosts.{key} must be a mapping",
            hint="with username and password, or with token",
        )
    for name, value in entry.items():
        if name not in _FIELDS:
            close = get_close_matches(str(name), _FIELDS, n=1)
            raise ConfigError(
                f"http.hosts.{key} has no {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(_FIELDS)}",
            )
        if not isinstance(value, str):
            raise ConfigError(f"http.hosts.{key}.{name} must be text")
    try:
        parts = urlsplit(f"//{key}")
        host, port = host_of(parts), parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            f"http.hosts has {key!r}, which is no host", hint='such as "example.com:8443"'
        )
    token = entry.get("token", "").strip()  # files and variables often end in a line break
    user, password = entry.get("username", ""), entry.get("password", "")
    if bool(token) == bool(user) or (token and password):
        raise ConfigError(f"http.hosts.{key} needs either a username and its password, or a token")
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"http.hosts.{key}.token holds characters that no token has")
    return (host, port), f"Bearer {token}" if token else basic(user, password)
