"""Asking a server once, wherever it sends us on to, and saying what came of it in RV's terms."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import BadStatusLine, RemoteDisconnected
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies_environment

import attrs
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from rv_core import AccessDeniedError, StorageError, TransferError, without_secrets
from rv_fs_http._addresses import is_public
from rv_fs_http._answers import PROXY_CREDENTIALS
from rv_fs_http._body import drain
from rv_fs_http._connections import Connections, UnconnectedError
from rv_fs_http._cookies import Cookies
from rv_fs_http._credentials import Credentials, take_from
from rv_fs_http._proxies import Proxies
from rv_fs_http._quiet_logs import QUIET, keep_queries_out
from rv_fs_http._settings import HttpSettings
from rv_fs_http._urls import Address, Origin, unusable

MAX_REDIRECTS: Final = 5
PARTIAL: Final = 206
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# OpenSSL's words for an answer in the clear, which differ by its version.
_NOT_ENCRYPTED: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_NO_RETRIES: Final = urllib3.Retry(False, redirect=False)
_HEADERS: Final = {
    "Accept": "*/*",
    # The bytes of the file itself: of a compressed body the length would say nothing about it.
    "Accept-Encoding": "identity",
}


@attrs.frozen
class Asked:
    """A URI, taken apart once for all requests that are made for it.

    ``shown``: as messages may show it. ``authorization``: what the URI itself says of who we are.
    """

    address: Address
    shown: str
    authorization: str | None = attrs.field(repr=False)

    @classmethod
    def of(cls, uri: str) -> Asked:
        """Raises `StorageError` for what is no URL."""
        if found := Address.of_normal(uri):
            return cls(found, uri.partition("?")[0], None)
        shown = without_secrets(uri)
        try:
            url, authorization = take_from(uri)
        except ValueError:
            url, authorization = "", None
        return cls(Address.of(url, shown), shown, authorization)


@attrs.frozen
class Answer:
    """An answer, its body unread, the URL it came from in the end, the seconds it took, and whether
    the server was told who we are."""

    response: urllib3.BaseHTTPResponse
    url: str
    seconds: float
    was_authorized: bool
    was_redirected: bool = False

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    def done(self) -> None:
        """Give the connection back if little is left of the body, hang up otherwise."""
        drain(self.response)


@attrs.frozen
class Way:
    """How a request gets to a server: the URL it is sent to, the value of ``Authorization``, the
    proxy and the certificates that are trusted. It shows nothing of them, which may be secret."""

    url: str = attrs.field(repr=False)
    authorization: str | None = attrs.field(repr=False)
    proxy: str | None = attrs.field(repr=False)
    bundle: str = attrs.field(repr=False)


class Requester:
    """GET requests, each made once. May be used from several threads at once; a forked process
    does not go on with its parent's connections."""

    def __init__(self, settings: HttpSettings) -> None:
        from importlib.metadata import version

        self._settings = settings
        self._credentials = Credentials(settings.hosts, settings.netrc)
        self._headers = {"User-Agent": f"rv-fs-http/{version('rv-fs-http')}", **_HEADERS}
        self._timeout = urllib3.Timeout(
            connect=settings.connect_timeout, read=settings.read_timeout
        )
        self._proxies = Proxies(settings.proxy, settings.no_proxy)
        self._connections_of: tuple[int, Connections] | None = None
        self._cookies = Cookies()
        keep_queries_out()

    def get(
        self, asked: Asked, headers: Mapping[str, str] | None = None, *, at: str | None = None
    ) -> Answer:
        """The answer to a GET, whatever its status; the caller closes it.

        ``at``: where an earlier answer for this URI came from, asked instead of it. At most five
        redirects are followed, to http and https, never from https to http. Raises
        `TransferError` where another try may help, and `StorageError` for anything else.
        """
        address = asked.address if at is None else Address.of(at, asked.shown)
        began = time.monotonic()
        for hops in range(MAX_REDIRECTS + 1):
            every = {**self._headers, **headers} if headers else self._headers.copy()
            authorization = self._credentials.header(
                address.place, asked.address.place, asked.authorization
            )
            if authorization is not None:
                every["Authorization"] = authorization
            response = self._send(address, every, asked.shown, began)
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                seconds, authorized = time.monotonic() - began, authorization is not None
                return Answer(response, address.url, seconds, authorized, hops > 0)
            try:
                address = _next(address.url, response.headers["Location"], asked.shown)
            finally:
                drain(response)
        raise StorageError(
            f"cannot read {asked.shown}: the server redirects more than {MAX_REDIRECTS} times",
            hint="it may send us in circles; ask its owner, or name the last address itself",
        )

    @property
    def settings(self) -> HttpSettings:
        return self._settings

    def way_of(self, uri: str, condition: Mapping[str, str]) -> Way | None:
        """How another program gets at ranges of a file, which must fulfil a condition; ``None``
        where it could not do so as we do. Asks the server for a byte, and raises as `get` does."""
        settings = self._settings
        if settings.refuse_private:
            return None
        asked = Asked.of(uri)
        url, place = asked.address.url, asked.address.place
        proxy = self._proxies.find(url, place)
        if proxy is None and getproxies_environment():
            return None  # it would use one all the same
        authorization = self._credentials.header(place, place, asked.authorization)
        if self._cookies.header(url, place, authorization):
            return None
        answer = self.get(asked, {"Range": "bytes=0-0", **condition})
        answer.done()
        if answer.was_redirected or answer.status != PARTIAL:
            return None
        return Way(url, authorization, proxy, self._bundle(place, asked.shown))

    def _send(
        self, address: Address, headers: dict[str, str], shown: str, began: float
    ) -> urllib3.BaseHTTPResponse:
        settings, url, place = self._settings, address.url, address.place
        proxy = self._proxies.find(url, place)
        if proxy is not None and settings.refuse_private and not _may_be_public(place.host):
            raise _private(shown, f"{place.host} is not on the public network")
        bundle = self._bundle(place, shown)
        known = headers.get("Authorization")
        if cookie := self._cookies.header(url, place, known):
            headers["Cookie"] = cookie
        # A proxy is told the whole URL, a server its path.
        target = url if proxy is not None and place.scheme == "http" else address.target
        pool = None
        QUIET.asking = True
        try:
            pool = self._connections().pool(place, proxy, bundle)
            response = pool.urlopen(
                "GET",
                target,
                headers=headers,
                timeout=self._timeout,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except UnconnectedError as error:
            failure = _unconnected(error, shown, time.monotonic() - began)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if pool is None:
                failure = _useless_proxy(shown)
            else:
                failure = self._failure(error, shown, time.monotonic() - began)
        else:
            self._cookies.keep(url, place, known, response)
            return response
        finally:
            QUIET.asking = False
        # Outside, so that the error is not chained to one that spells out the URL.
        raise failure

    def _connections(self) -> Connections:
        pid = os.getpid()
        if self._connections_of is None or self._connections_of[0] != pid:
            self._connections_of = pid, Connections(self._settings.refuse_private)
        return self._connections_of[1]

    def _bundle(self, place: Origin, shown: str) -> str:
        """The certificates to trust; none where nothing is encrypted."""
        if place.scheme == "http":
            return ""
        if self._settings.ca_bundle is not None:
            return str(Path(self._settings.ca_bundle).expanduser())
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if named := os.environ.get(variable):
                if not Path(named).exists():
                    raise StorageError(
                        f"cannot reach {shown}: there are no certificates to trust at {named}",
                        hint=f"the variable {variable} names that path",
                    )
                return named
        return str(DEFAULT_CA_BUNDLE_PATH)

    def _failure(self, error: Exception, shown: str, seconds: float) -> StorageError:
        known = urllib3.exceptions
        if isinstance(error, known.ProxyError):
            if "failed: 407" in str(error.original_error):
                return AccessDeniedError(
                    f"cannot reach {shown}: the proxy wants credentials", hint=PROXY_CREDENTIALS
                )
            return _unreachable(shown, "the proxy does not let us through", seconds)
        if isinstance(error, known.SSLError):
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return StorageError(
                    f"cannot reach {shown}: the server's certificate is not trusted",
                    hint="certificates of your own can be named: [http] ca_bundle, or the "
                    "variable REQUESTS_CA_BUNDLE",
                )
            if any(name in str(error) for name in _NOT_ENCRYPTED):
                return StorageError(
                    f"cannot reach {shown}: the server does not encrypt",
                    hint="check the scheme and the port: it may be http://",
                )
            return _unreachable(shown, "the encrypted connection does not come about", seconds)
        if isinstance(error, known.ReadTimeoutError):
            why = f"no answer within {self._settings.read_timeout:g} s"
            return _unreachable(shown, why, seconds)
        if type(error) is known.ConnectTimeoutError:  # of a handshake
            why = f"no connection within {self._settings.connect_timeout:g} s"
            return _unreachable(shown, why, seconds)
        if isinstance(error, known.InvalidHeader):
            return StorageError(f"cannot read {shown}: the server's answer makes no sense")
        if isinstance(error, ValueError):  # what urllib3 finds wrong with a URL is one, too
            return unusable(shown)
        cause = error.args[-1] if error.args else None
        if isinstance(cause, BadStatusLine) and not isinstance(cause, RemoteDisconnected):
            return _unreachable(shown, "what answers there does not speak HTTP", seconds)
        return _unreachable(shown, "the server refuses or breaks the connection", seconds)


def _next(url: str, location: str, shown: str) -> Address:
    """Where a redirect leads; whom it wants us to be there is not listened to."""
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    try:
        target, _ = take_from(urljoin(url, location))
        scheme, host = urlsplit(target).scheme.lower(), urlsplit(target).hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https") or not host:
        raise StorageError(f"cannot read {shown}: the server sends us away from http")
    if scheme == "http" and url.lower().startswith("https:"):
        raise StorageError(
            f"cannot read {shown}: the server sends us from https to http",
            hint="what comes from there could be anybody's; ask the server's owner",
        )
    return Address.of(target, shown)


def _may_be_public(host: str) -> bool:
    """Whether a host that a proxy connects to is not known to be a private one."""
    with suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))  # 127.1 and 2130706433 are 127.0.0.1
    try:
        return is_public(host)
    except ValueError:  # a name, which the proxy resolves
        return host != "localhost" and not host.endswith(".localhost")


def _unconnected(error: UnconnectedError, shown: str, seconds: float) -> StorageError:
    if error.refused:
        return _private(shown, str(error))
    if error.passing:
        return _unreachable(shown, str(error), seconds)
    return StorageError(f"cannot reach {shown}: {error}", hint="check the address")


def _private(shown: str, why: str) -> StorageError:
    return AccessDeniedError(
        f"cannot read {shown}: {why}", hint="[http] refuse_private is what forbids it"
    )


def _useless_proxy(shown: str) -> StorageError:
    return StorageError(
        f"cannot reach {shown}: the proxy that is set cannot be used",
        hint="[http] proxy or the variables http_proxy, https_proxy and all_proxy name it, such as "
        "http://proxy:3128; socks5:// needs requests[socks]",
    )


def _unreachable(shown: str, why: str, seconds: float) -> TransferError:
    return TransferError(
        f"cannot reach {shown}: {why}",
        hint="check the address and the network, then try again",
        stalled=seconds,
    )
