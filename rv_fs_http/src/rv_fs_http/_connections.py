"""Connections that come about in time, to addresses that are allowed."""

from __future__ import annotations

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
from rv_fs_http._responses import Response
from rv_fs_http._urls import Origin

if TYPE_CHECKING:
    from urllib3.util.connection import _TYPE_SOCKET_OPTIONS

_HOSTS_KEPT: Final = 32
_KEPT_TO_A_HOST: Final = 256
"""As many as anybody uses at once: of each that is too many, urllib3 warns."""


class UnconnectedError(Exception):
    """No connection came about. ``passing``: whether another try may help; ``refused``: whether it
    was we who did not want it."""

    def __init__(self, why: str, *, passing: bool = True, refused: bool = False) -> None:
        super().__init__(why)
        self.passing = passing
        self.refused = refused


class Connections:
    """The connections of a process, kept for the next request, directly or by proxies. Of requests
    it is what knows the kinds of proxies; requests are sent by urllib3. May be used from several
    threads at once."""

    def __init__(self, refuse_private: bool) -> None:
        self._kinds = _PUBLIC_POOLS if refuse_private else _POOLS
        self._by_proxy = HTTPAdapter(_HOSTS_KEPT, _KEPT_TO_A_HOST)
        self._pools: dict[tuple[Origin, str | None, str], HTTPConnectionPool] = {}
        self._lock = threading.Lock()

    def pool(self, place: Origin, proxy: str | None, bundle: str) -> HTTPConnectionPool:
        """Those to a place. ``bundle``: a file, or a folder, of certificates to trust. Raises what
        urllib3 and requests do for a proxy that cannot be used."""
        key = place, proxy, bundle
        found = self._pools.get(key)
        if found is None:
            with self._lock:
                found = self._pools.setdefault(key, self._made(place, proxy, bundle))
                if len(self._pools) > _HOSTS_KEPT:  # what is in use is not closed by that
                    del self._pools[next(iter(self._pools))]
        return found

    def _made(self, place: Origin, proxy: str | None, bundle: str) -> HTTPConnectionPool:
        trust = {} if place.scheme == "http" else _trusting(bundle)
        if proxy is None:
            kind: type[HTTPConnectionPool] = self._kinds[place.scheme]
            return kind(place.host, place.port, maxsize=_KEPT_TO_A_HOST, **trust)
        url = proxy if "://" in proxy else f"http://{proxy}"
        manager: PoolManager = self._by_proxy.proxy_manager_for(url)
        if not url.lower().startswith("socks"):
            # The proxy itself may well have a private address.
            manager.pool_classes_by_scheme = _POOLS
        return manager.connection_from_host(place.host, place.port, place.scheme, trust)


def _trusting(bundle: str) -> dict[str, Any]:
    kind = "ca_cert_dir" if os.path.isdir(bundle) else "ca_certs"  # noqa: PTH112
    return {"cert_reqs": "CERT_REQUIRED", kind: bundle}


class _Connecting(HTTPConnection):
    """Resolves the name once, within the connect timeout, and connects to what was found then."""

    response_class = Response
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
