"""The cookies of servers: of portals that log in by redirects, and remember us."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from rv_fs_http._urls import Origin

_MOST: Final = 50


class Cookies:
    """A jar for each scheme, host and port, and for each we are there: what one of them gave goes
    to that one only, whatever it says itself of where it should go."""

    def __init__(self) -> None:
        self._jars: dict[tuple[Origin, str | None], RequestsCookieJar] = {}
        self._lock = threading.Lock()

    def header(self, url: str, place: Origin, known: str | None) -> str | None:
        """The value of ``Cookie`` for a request; ``known``: its ``Authorization``."""
        jar = self._jars.get((place, known))
        if jar is None:
            return None
        request: Any = SimpleNamespace(url=url, headers={})
        found: str | None = get_cookie_header(jar, request)  # type: ignore[no-untyped-call,unused-ignore]
        return found

    def keep(self, url: str, place: Origin, known: str | None, response: BaseHTTPResponse) -> None:
        """Keep what a response gives us, if it does."""
        if "Set-Cookie" not in response.headers:
            return
        with self._lock:
            jar = self._jars.setdefault((place, known), RequestsCookieJar())
        request: Any = SimpleNamespace(url=url, headers={})
        extract_cookies_to_jar(jar, request, response)  # type: ignore[no-untyped-call,unused-ignore]
        if len(jar) > _MOST:
            jar.clear()
