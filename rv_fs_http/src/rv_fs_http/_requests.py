"""Asking a server once, wherever it sends us on to, and saying what came of it in RV's terms."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urljoin, urlsplit

import attrs
import requests
import urllib3
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import get_environ_proxies, select_proxy, should_bypass_proxies

from rv_core import AccessDeniedError, RVError, StorageError, TransferError, without_secrets
from rv_fs_http._addresses import is_public
from rv_fs_http._body import Body
from rv_fs_http._connections import Adapter, UnconnectedError
from rv_fs_http._credentials import Credentials, take_from
from rv_fs_http._quiet_logs import quiet
from rv_fs_http._settings import HttpSettings
from rv_fs_http._urls import Origin, unusable

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_COOKIES_KEPT: Final = 50
_HEADERS: Final = {
    "Accept": "*/*",
    # The bytes of the file itself: of a compressed body the length would say nothing about it.
    "Accept-Encoding": "identity",
}


@attrs.frozen
class Answer:
    """An answer, its body unread, and the URL it came from in the end."""

    response: requests.Response
    url: str

    @property
    def status(self) -> int:
        return int(self.response.status_code)

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    def close(self) -> None:
        self.response.close()

    def done(self) -> None:
        """Give the connection back if little is left of the body, hang up otherwise."""
        Body(self.response, "").drain()


class _NoAuth(AuthBase):
    """Keeps requests from looking for credentials by itself."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Requester:
    """GET requests, each made once. May be used from several threads at once; a forked process
    does not go on with its parent's connections."""

    def __init__(self, settings: HttpSettings) -> None:
        from importlib.metadata import version

        self._settings = settings
        self._credentials = Credentials(settings.hosts, settings.netrc)
        self._user_agent = f"rv-fs-http/{version('rv-fs-http')}"
        self._adapter_of: tuple[int, Adapter] | None = None
        self._cookies: dict[Origin, RequestsCookieJar] = {}
        self._cookies_lock = threading.Lock()

    def get(
        self, uri: str, headers: Mapping[str, str] | None = None, *, at: str | None = None
    ) -> Answer:
        """The answer to a GET, whatever its status; the caller closes it.

        ``at``: where an earlier answer for this URI came from, asked instead of it. At most five
        redirects are followed, to http and https, never from https to http. Raises
        `TransferError` where another try may help, and `StorageError` for anything else.
        """
        shown = without_secrets(uri)
        try:
            url, of_url = take_from(uri)
        except ValueError:
            raise unusable(shown) from None
        asked: Origin | None = None
        if at is not None:
            asked, url = Origin.of(self._prepared(url, {}, shown).url or ""), at
        for _ in range(MAX_REDIRECTS + 1):
            request = self._prepared(url, headers or {}, shown)
            url = request.url or ""
            place = Origin.of(url)
            asked = asked or place
            authorization = self._credentials.header(url, asked, of_url)
            if authorization is not None:
                request.headers["Authorization"] = authorization
            response = self._send(request, place, shown)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or location is None:
                return Answer(response, url)
            try:
                url = _next(url, location, shown)
            finally:
                Answer(response, url).done()
        raise StorageError(
            f"cannot read {shown}: the server redirects more than {MAX_REDIRECTS} times",
            hint="it may send us in circles; ask its owner, or name the last address itself",
        )

    def _prepared(
        self, url: str, headers: Mapping[str, str], shown: str
    ) -> requests.PreparedRequest:
        every = {"User-Agent": self._user_agent, **_HEADERS, **headers}
        try:
            return requests.Request("GET", url, headers=every, auth=_NoAuth()).prepare()
        except (requests.RequestException, ValueError):
            pass  # the error is raised below, without this one, which spells out the URL
        raise unusable(shown)

    def _send(
        self, request: requests.PreparedRequest, place: Origin, shown: str
    ) -> requests.Response:
        settings = self._settings
        url = request.url or ""
        proxies = self._proxies(url)
        self._check_proxied(place, url, proxies, shown)
        jar = self._jar(place)
        cookies = get_cookie_header(jar, request)  # type: ignore[no-untyped-call]
        if cookies:
            request.headers["Cookie"] = cookies
        bundle = settings.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE")
        bundle = bundle or os.environ.get("CURL_CA_BUNDLE")
        began = time.monotonic()
        failure: RVError
        try:
            with quiet():
                response = self._adapter().send(
                    request,
                    stream=True,
                    timeout=(settings.connect_timeout, settings.read_timeout),
                    verify=bundle or True,
                    proxies=proxies,
                )
        except UnconnectedError as error:
            failure = _unconnected(error, shown, time.monotonic() - began)
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
        ) as error:
            failure = self._failure(error, shown, time.monotonic() - began)
        else:
            extract_cookies_to_jar(jar, request, response.raw)  # type: ignore[no-untyped-call]
            if len(jar) > _COOKIES_KEPT:
                jar.clear()
            return response
        # Outside, so that the error is not chained to one that spells out the URL.
        raise failure

    def _adapter(self) -> Adapter:
        pid = os.getpid()
        if self._adapter_of is None or self._adapter_of[0] != pid:
            settings = self._settings
            self._adapter_of = pid, Adapter(settings.connections, settings.refuse_private)
        return self._adapter_of[1]

    def _jar(self, place: Origin) -> RequestsCookieJar:
        """Cookies of one scheme, host and port: those of a portal that logs in by redirects."""
        with self._cookies_lock:
            return self._cookies.setdefault(place, RequestsCookieJar())

    def _proxies(self, url: str) -> dict[str, str]:
        settings = self._settings
        if settings.proxy is None:
            return dict(get_environ_proxies(url, no_proxy=settings.no_proxy))
        if should_bypass_proxies(url, no_proxy=settings.no_proxy):
            return {}
        return {"all": settings.proxy}

    def _check_proxied(self, place: Origin, url: str, proxies: dict[str, str], shown: str) -> None:
        """Refuse what can be told to be private where it is the proxy that connects."""
        if not self._settings.refuse_private or not select_proxy(url, proxies):
            return
        try:
            public = is_public(place.host)
        except ValueError:  # a name, which the proxy resolves
            public = place.host != "localhost" and not place.host.endswith(".localhost")
        if not public:
            raise _private(shown, f"{place.host} is not on the public network")

    def _failure(self, error: Exception, shown: str, seconds: float) -> RVError:
        text = str(error)
        if isinstance(error, requests.exceptions.SSLError):
            if "CERTIFICATE_VERIFY_FAILED" in text:
                return StorageError(
                    f"cannot reach {shown}: the server's certificate is not trusted",
                    hint="certificates of your own can be named: [http] ca_bundle, or the "
                    "variable REQUESTS_CA_BUNDLE",
                )
            return _unreachable(shown, "the encrypted connection does not come about", seconds)
        if isinstance(error, requests.exceptions.ProxyError):
            if "407" in text:
                return AccessDeniedError(
                    f"cannot reach {shown}: the proxy wants credentials",
                    hint="they are part of its URL: http://user:password@proxy:3128",
                )
            return _unreachable(shown, "the proxy does not let us through", seconds)
        if isinstance(error, requests.exceptions.ReadTimeout):
            why = f"no answer within {self._settings.read_timeout:g} s"
            return _unreachable(shown, why, seconds)
        if isinstance(error, requests.exceptions.ConnectTimeout):  # of a handshake
            why = f"no connection within {self._settings.connect_timeout:g} s"
            return _unreachable(shown, why, seconds)
        if isinstance(error, requests.exceptions.InvalidHeader | urllib3.exceptions.InvalidHeader):
            return StorageError(f"cannot read {shown}: the server's answer makes no sense")
        if isinstance(error, ValueError):  # invalid URLs too are ValueErrors in requests
            return unusable(shown)
        if type(error) is OSError and error.errno is None:  # requests', of a path that is missing
            return StorageError(
                f"cannot reach {shown}: the file of trusted certificates cannot be read",
                hint="look at REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
            )
        return _unreachable(shown, "the server refuses or breaks the connection", seconds)


def _next(url: str, location: str, shown: str) -> str:
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
    return target


def _unconnected(error: UnconnectedError, shown: str, seconds: float) -> RVError:
    if error.refused:
        return _private(shown, str(error))
    if error.passing:
        return _unreachable(shown, str(error), seconds)
    return StorageError(f"cannot reach {shown}: {error}", hint="check the address")


def _private(shown: str, why: str) -> StorageError:
    return AccessDeniedError(
        f"cannot read {shown}: {why}", hint="[http] refuse_private is what forbids it"
    )


def _unreachable(shown: str, why: str, seconds: float) -> TransferError:
    return TransferError(
        f"cannot reach {shown}: {why}",
        hint="check the address and the network, then try again",
        stalled=seconds,
    )
