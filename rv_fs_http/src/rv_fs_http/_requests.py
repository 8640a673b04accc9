"""Asking a server once, and saying what came of it in RV's terms."""

from __future__ import annotations

import os
import socket
import threading
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy

from rv_core import (
    AccessDeniedError,
    NotFoundError,
    RVError,
    StorageError,
    TransferError,
    without_secrets,
)

_USER_AGENT: Final = "rv-fs-http/0.1"
_MISSING: Final = (404, 410)
_DENIED: Final = (401, 403, 407)
_MAY_PASS: Final = (408, 425, 429)
_HEADERS: Final = {
    "User-Agent": _USER_AGENT,
    "Accept": "*/*",
    # The bytes of the file itself: of a compressed body the length would say nothing about it.
    "Accept-Encoding": "identity",
}


class Requester:
    """GET requests, each made once; one session for each thread and process."""

    def __init__(self, connect_timeout: float, read_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._local = threading.local()
        self._resolved: set[str] = set()

    def get(self, uri: str) -> requests.Response:
        """The answer to a GET, its body unread; the caller closes it.

        Raises `NotFoundError`, `AccessDeniedError`, `TransferError` where another try may help,
        and `StorageError` for anything else that is not the file.
        """
        shown = without_secrets(uri)
        session = self._session()
        self._resolve(session, uri, shown)
        try:
            response = session.get(
                uri, stream=True, timeout=(self._connect_timeout, self._read_timeout)
            )
        except (requests.RequestException, OSError, ValueError) as error:
            # Without the cause: it spells out the URL, signature and all.
            raise self._failure(error, shown) from None
        if response.status_code in (200, 203):
            return response
        response.close()
        raise _refusal(response, shown)

    def _session(self) -> requests.Session:
        """One for this thread; a forked process must not go on with its parent's connections."""
        pid, session = getattr(self._local, "session", (None, None))
        if session is None or pid != os.getpid():
            session = requests.Session()
            session.headers.clear()
            session.headers.update(_HEADERS)
            self._local.session = os.getpid(), session
        return session

    def _resolve(self, session: requests.Session, uri: str, shown: str) -> None:
        """Look the host's name up within the connect timeout, which does not cover that: without
        a network it can take the system half a minute to give up."""
        try:
            host = urlsplit(uri).hostname
        except ValueError:
            return  # the request says what is wrong with it
        settings = session.merge_environment_settings(uri, {}, True, None, None)
        if not host or host in self._resolved or select_proxy(uri, settings["proxies"]):
            return
        done: list[BaseException | None] = []

        def look_up() -> None:
            try:
                socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                done.append(error)
            else:
                done.append(None)

        thread = threading.Thread(target=look_up, daemon=True, name=f"look up {host}")
        thread.start()
        thread.join(self._connect_timeout)
        if not done:
            raise _unreachable(shown, f"no address of {host} within {self._connect_timeout:g} s")
        if done[0] is not None:
            raise _unreachable(shown, f"no address of {host} can be found")
        self._resolved.add(host)

    def _failure(self, error: Exception, shown: str) -> RVError:
        if isinstance(error, requests.exceptions.SSLError):
            return StorageError(
                f"cannot reach {shown}: the server's certificate is not trusted",
                hint="a company's own certificates can be named in REQUESTS_CA_BUNDLE",
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return _unreachable(shown, "the proxy does not let us through")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return _unreachable(shown, f"no connection within {self._connect_timeout:g} s")
        if isinstance(error, requests.exceptions.ReadTimeout):
            return _unreachable(shown, f"no answer within {self._read_timeout:g} s")
        if isinstance(error, requests.exceptions.TooManyRedirects):
            return StorageError(f"cannot read {shown}: the server sends us in circles")
        if isinstance(error, requests.exceptions.InvalidSchema):
            return StorageError(f"cannot read {shown}: the server sends us away from http")
        if isinstance(error, ValueError):  # invalid URLs too are ValueErrors in requests
            return StorageError(f"{shown!r} is not a usable URL", hint="it needs a host and a path")
        return _unreachable(shown, "the server refuses or breaks the connection")


def _unreachable(shown: str, why: str) -> TransferError:
    return TransferError(
        f"cannot reach {shown}: {why}", hint="check the address and the network, then try again"
    )


def _refusal(response: requests.Response, shown: str) -> StorageError:
    code = response.status_code
    said = f"the server answers {code} {response.reason or ''}".rstrip()
    if code in _MISSING:
        return NotFoundError(f"cannot read {shown}: {said}", hint="check the address")
    if code in _DENIED:
        return AccessDeniedError(
            f"cannot read {shown}: {said}",
            hint="it needs credentials, or the URL's signature has expired",
        )
    if code >= 500 or code in _MAY_PASS:
        return TransferError(f"cannot read {shown}: {said}", hint="try again later")
    return StorageError(f"cannot read {shown}: {said}, not with the file")
