"""Connections that come about in time, to addresses that are allowed, and answer in time."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection

from rv_fs_http._addresses import is_public
from rv_fs_http._urls import Origin

if TYPE_CHECKING:
    from urllib3.util.connection import _TYPE_SOCKET_OPTIONS

_HOSTS_KEPT: Final = 32
_KEPT_TO_A_HOST: Final = 256
"""As many as anybody uses at once: of each that is too many, urllib3 warns."""


_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")


def may_have_proxies() -> bool:
    """Whether this environment may want a proxy to be used: to ask it in full takes as long as a
    small request."""
    if sys.platform in ("win32", "darwin"):
        return True  # they have settings of the system, too
    return any(name in os.environ or name.upper() in os.environ for name in _PROXY_VARIABLES)


class UnconnectedError(Exception):
    """No connection came about. ``passing``: whether another try may help; ``refused``: whether it
    was we who did not want it."""

    def __init__(self, why: str, *, passing: bool = True, refused: bool = False) -> None:
        super().__init__(why)
        self.passing = passing
        self.refused = refused


class Connections(HTTPAdapter):
    """The connections of a process, kept for the next request, directly or by proxies. Of requests
    it is what knows the kinds of proxies; requests are sent by urllib3. May be used from several
    threads at once."""

    def __init__(self, refuse_private: bool) -> None:
        self._kinds = _PUBLIC_POOLS if refuse_private else _POOLS
        super().__init__(_HOSTS_KEPT, _KEPT_TO_A_HOST)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = self._kinds

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **named)
        if not proxy.lower().startswith("socks"):
            # The proxy itself may well have a private address.
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def pool(self, place: Origin, proxy: str | None, bundle: str) -> HTTPConnectionPool:
        """Those to a place. ``bundle``: a file, or a folder, of certificates to trust."""
        manager: PoolManager = self.poolmanager
        if proxy is not None:
            manager = self.proxy_manager_for(proxy if "://" in proxy else f"http://{proxy}")
        trust = {} if place.scheme == "http" else _trusting(bundle)
        return manager.connection_from_host(place.host, place.port, place.scheme, trust)


def _trusting(bundle: str) -> dict[str, str]:
    kind = "ca_cert_dir" if os.path.isdir(bundle) else "ca_certs"  # noqa: PTH112  of each request
    return {"cert_reqs": "CERT_REQUIRED", kind: bundle}


class _HurriedResponse(http.client.HTTPResponse):
    """One whose headers are there within the read timeout: that starts anew with every byte."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        self._patience = sock.gettimeout()
        super().__init__(sock, *arguments, **named)

    def begin(self) -> None:
        stream: Any = self.fp
        if self._patience is None or _is_all_there(stream.peek(1)):
            super().begin()
            return
        hurried: Any = _HurriedLines(stream, self._patience)
        self.fp = hurried
        try:
            super().begin()
        finally:
            if self.fp is hurried:
                self.fp = stream


def _is_all_there(start: bytes) -> bool:
    """Whether an answer's headers came in one piece, as most do: then there is nothing to hurry.
    Those of a 1xx answer do not count, which is followed by another."""
    return b"\r\n\r\n" in start and start[:7] == b"HTTP/1." and start[8:10] != b" 1"


class _HurriedLines:
    """The lines of a stream, as long as they come in time."""

    def __init__(self, stream: Any, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def readline(self, limit: int = -1) -> bytes:
        line = bytearray()
        while limit < 0 or len(line) < limit:
            ready = self._stream.peek(1)
            if time.monotonic() > self._end:
                raise TimeoutError(f"no whole answer within {self._seconds:g} s")
            wanted = len(ready) if limit < 0 else min(len(ready), limit - len(line))
            end = ready.find(b"\n", 0, wanted) + 1
            line += self._stream.read(end or wanted)
            if end or not ready:
                break
        return bytes(line)

    def close(self) -> None:
        self._stream.close()


class _Connecting(HTTPConnection):
    """Resolves the name once, within the connect timeout, and connects to what was found then."""

    response_class = _HurriedResponse
    refuses_private: ClassVar[bool] = False

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        found = _connect(
            self._dns_host,  # with the dot that ends a full name
            self.port,
            seconds,
            self.source_address,
            self.socket_options,
            self.refuses_private,
        )
        sys.audit("http.client.connect", self, self.host, self.port)
        return found


class _Http(_Connecting):
    pass


class _Https(_Connecting, HTTPSConnection):
    pass


class _PublicHttp(_Http):
    refuses_private = True


class _PublicHttps(_Https):
    refuses_private = True


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _PublicHttpPool(HTTPConnectionPool):
    ConnectionCls = _PublicHttp


class _PublicHttpsPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHttps


_POOLS: Final[Any] = {"http": _HttpPool, "https": _HttpsPool}
_PUBLIC_POOLS: Final[Any] = {"http": _PublicHttpPool, "https": _PublicHttpsPool}


def _connect(
    host: str,
    port: int,
    seconds: float | None,
    source_address: tuple[str, int] | None,
    options: _TYPE_SOCKET_OPTIONS | None,
    refuse_private: bool,
) -> socket.socket:
    """A connection to one of a host's addresses, all tries together within ``seconds``.

    Nothing resolves the name again between looking at an address and connecting to it: a name
    that changes meanwhile gains nothing by it.
    """
    began = time.monotonic()
    name = host.strip("[]")
    addresses = _look_up(name, port, seconds)
    if refuse_private and not all(map(is_public, addresses)):
        why = f"{name} is not on the public network"
        raise UnconnectedError(why, passing=False, refused=True)
    why = "there is no address"
    for n, address in enumerate(addresses):
        left = None
        if seconds is not None:
            left = (began + seconds - time.monotonic()) / (len(addresses) - n)
            if left <= 0:
                break
        try:
            found = create_connection((address, port), left, source_address, options)
        except TimeoutError:
            why = f"no connection within {seconds:g} s"
        except OSError as error:
            why = f"the connection fails: {(error.strerror or 'no reason given').lower()}"
        else:
            found.settimeout(seconds)
            return found
    raise UnconnectedError(f"{name}, port {port}: {why}")


def _look_up(name: str, port: int, seconds: float | None) -> list[str]:
    """A host's addresses in the order to try them. Without a network it can take the system half
    a minute to give up, which no timeout of its own covers."""
    found: list[str] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            every = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed.append(error)
        else:
            found.extend(dict.fromkeys(str(address[0]) for *_, address in every))

    thread = threading.Thread(target=ask, daemon=True, name=f"look up {name}")
    thread.start()
    thread.join(seconds)
    if failed:
        passing = getattr(failed[0], "errno", None) == socket.EAI_AGAIN
        raise UnconnectedError(f"no address of {name} can be found", passing=passing)
    if not found:
        raise UnconnectedError(f"no address of {name} within {seconds:g} s")
    return list(found)
