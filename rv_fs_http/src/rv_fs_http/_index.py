"""The pages by which web servers list a folder: which files and folders they name.

Known are nginx's (HTML and JSON), Apache's and that of Python's http.server.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import attrs

from rv_fs_http._answers import time_of
from rv_fs_http._urls import Origin, unquoted

_TITLE: Final = re.compile(r"\s*(index of|directory listing for)\b", re.IGNORECASE)
# What nginx writes behind a link: a date to the minute, in whatever time zone, and the size, which
# is exact where it has no unit (https://nginx.org/en/docs/http/ngx_http_autoindex_module.html).
_NGINX_SIZE: Final = re.compile(r"\s+\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d\s+(\d+)\s*\Z")
_JSON_TYPES: Final = {"file": False, "directory": True}


@attrs.frozen
class Entry:
    """A file or folder of an index. ``name``: decoded, without a folder's slash; it may hold
    anything. ``size`` and ``last_modified``: only where the index tells them exactly."""

    name: str
    is_folder: bool
    size: int | None = None
    last_modified: datetime | None = None


def may_be_index(start: bytes) -> bool:
    """Whether a page that begins so may be one: a file of any size is sent by servers that do not
    mind a slash behind its name."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"", b"<", b"[")


def entries_of(page: bytes, url: str) -> list[Entry] | None:
    """What an index names directly in its folder, ``url``; ``None`` for a page that is no index.

    Links to elsewhere are left out: to the folder above, to other hosts, to the page itself in
    another order.
    """
    text = page.decode("utf-8", "surrogateescape")
    if text.lstrip()[:1] == "[":
        return _of_json(text)
    parser = _Index()
    parser.feed(text)
    parser.close()
    if not parser.is_index:
        return None
    found = (_entry(url, href, tail) for href, tail in parser.links)
    return list(dict.fromkeys(entry for entry in found if entry is not None))


def _of_json(text: str) -> list[Entry] | None:
    """nginx's ``autoindex_format json``: its times are UTC, to the second, as in its headers."""
    try:
        listed = json.loads(text)
        return list(_entries(listed))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _entries(listed: list[dict[str, Any]]) -> Iterator[Entry]:
    for each in listed:
        name, kind = each["name"], each["type"]
        if not isinstance(name, str) or not isinstance(kind, str):
            raise TypeError(name)
        if kind in _JSON_TYPES and name not in ("", ".", ".."):
            is_folder = _JSON_TYPES[kind]
            size, changed = (None, None) if is_folder else (each.get("size"), each.get("mtime"))
            yield Entry(
                name,
                is_folder,
                size if isinstance(size, int) and size >= 0 else None,
                time_of(changed) if isinstance(changed, str) else None,
            )


class _Index(HTMLParser):
    """Collects a page's links, each with the text up to the next, and looks at its title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[tuple[str, str]] = []
        self.is_index = False
        self._in_link = False
        self._in_title = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.extend((value, "") for name, value in attributes if name == "href" and value)
            self._in_link = True
        self._in_title = tag in ("title", "h1")

    def handle_endtag(self, tag: str) -> None:
        self._in_link = self._in_link and tag != "a"
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.is_index = self.is_index or _TITLE.match(data) is not None
        elif self.links and not self._in_link:
            href, tail = self.links[-1]
            self.links[-1] = href, tail + data


def _entry(url: str, href: str, tail: str) -> Entry | None:
    """What a link names, if that lies directly in the folder."""
    try:
        target = urljoin(url, href)
        parts = urlsplit(target)
        if Origin.of(target) != Origin.of(url):
            return None
    except ValueError:
        return None
    path = parts.path.rstrip("/")
    above, _, last = path.rpartition("/")
    name = unquoted(last)
    elsewhere = unquote_to_bytes(f"{above}/") != unquote_to_bytes(urlsplit(url).path or "/")
    if elsewhere or parts.query or parts.fragment or name in ("", ".", ".."):
        return None
    size = _NGINX_SIZE.match(tail)
    is_folder = parts.path.endswith("/")
    return Entry(name, is_folder, int(size[1]) if size and not is_folder else None)
