"""Where a server sends us is looked at first, and so is whom we connect to."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from rv_core.testing import FaultProxy, Stall, Status
from rv_fs_http._addresses import is_public

from rv_core import AccessDeniedError, StorageError, TransferError
from rv_fs_http import HttpFileSystem

BODY = b"the file" * 1000
SECRETS = "?sig=HUSH"
MakeHttp = Callable[..., HttpFileSystem]


def failure_of(ask: Any) -> StorageError:
    with pytest.raises(StorageError) as caught:
        ask()
    told = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert "HUSH" not in told
    return caught.value


def sent_to(server: Any, name: str) -> list[str | None]:
    return [headers[name] for _, _, headers in server.requests]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, code: int
) -> None:
    server.put("a b/file.bin", BODY)
    proxy.fail(Status(code, {"Location": "/two"}), path="/one")
    proxy.fail(Status(code, {"Location": f"{proxy.url}/plain/a b/file.bin"}), path="/two")
    assert http.read_bytes(f"{proxy.url}/one") == BODY


@pytest.mark.parametrize(("count", "passes"), [(5, True), (6, False)])
def test_five_redirects_are_enough(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, count: int, passes: bool
) -> None:
    server.put("file.bin", BODY)
    for n in range(count):
        to = f"/hop{n + 1}{SECRETS}" if n + 1 < count else "/plain/file.bin"
        proxy.fail(Status(302, {"Location": to}), path=f"/hop{n}")
    if passes:
        assert http.read_bytes(f"{proxy.url}/hop0") == BODY
    else:
        failure_of(lambda: http.read_bytes(f"{proxy.url}/hop0"))
        assert len(proxy.requests) == 6


def test_circles_end(http: HttpFileSystem, moved: Callable[[str], str], proxy: FaultProxy) -> None:
    url = moved("/moved0?sig=HUSH")
    found = failure_of(lambda: http.read_bytes(url))
    assert "more than 5 times" in str(found)
    assert not isinstance(found, TransferError)
    assert len(proxy.requests) == 6


@pytest.mark.parametrize(
    "to",
    ["file:///etc/passwd?HUSH", "ftp://host/HUSH", "gopher:HUSH", "data:,HUSH"],
)
def test_no_redirect_leads_away_from_http(
    http: HttpFileSystem, moved: Callable[[str], str], to: str
) -> None:
    url = moved(to)
    assert "away from http" in str(failure_of(lambda: http.read_bytes(url)))


@pytest.mark.parametrize("length", [100, 10**12])
def test_a_body_of_a_redirect_that_never_comes_is_not_waited_for(
    make_http: MakeHttp, server: Any, proxy: FaultProxy, length: int
) -> None:
    http = make_http(read_timeout=120.0)
    server.put("file.bin", BODY)
    headers = {"Location": "/plain/file.bin", "Content-Length": str(length)}
    proxy.fail(Status(302, headers, bytes(50)), path="/moved", times=None)
    proxy.fail(Stall(10, 3600), path="/moved", times=None)
    started = time.monotonic()
    assert http.read_bytes(f"{proxy.url}/moved") == BODY
    assert time.monotonic() - started < 100


def test_https_is_read_where_the_certificate_is_trusted(
    make_http: MakeHttp, secure: Any, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{secure.url}/plain/file.bin"
    assert make_http(ca_bundle=bundle).read_bytes(url) == BODY
    found = failure_of(lambda: make_http().read_bytes(url + SECRETS))
    assert "not trusted" in str(found)
    assert "ca_bundle" in str(found.hint)
    assert not isinstance(found, TransferError)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    assert make_http().read_bytes(url) == BODY
    # The certificate is localhost's, whose address it does not name.
    url = url.replace("localhost", "127.0.0.1")
    assert "not trusted" in str(failure_of(lambda: make_http().read_bytes(url)))


def test_a_server_that_does_not_encrypt_is_an_error(http: HttpFileSystem, server: Any) -> None:
    url = f"{server.url}/x{SECRETS}".replace("http:", "https:")
    found = failure_of(lambda: http.read_bytes(url))
    assert "does not encrypt" in str(found)
    assert not isinstance(found, TransferError)
    assert server.requests == []


def test_a_missing_bundle_is_named(
    http: HttpFileSystem, secure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    found = failure_of(lambda: http.read_bytes(f"{secure.url}/plain/file.bin"))
    assert "REQUESTS_CA_BUNDLE" in str(found.hint)
    assert not isinstance(found, TransferError)


def test_a_redirect_to_https_is_followed_and_one_back_is_not(
    make_http: MakeHttp, secure: Any, other: Any, moved: Callable[[str], str], bundle: str
) -> None:
    http = make_http(ca_bundle=bundle)
    assert http.read_bytes(moved(f"{secure.url}/plain/file.bin")) == BODY
    secure.redirects["/down"] = f"{other.url}/plain/file.bin?sig=HUSH"
    found = failure_of(lambda: http.read_bytes(f"{secure.url}/down"))
    assert "from https to http" in str(found)
    assert other.requests == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3"),
        *("192.0.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("168.63.129.16", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1"),
        *("fd12:3456::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "::127.0.0.1"),
    ],
)
def test_addresses_that_are_not_the_public_network_s(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]", "0"]
)
def test_private_addresses_are_refused_on_request(
    make_http: MakeHttp, server: Any, host: str
) -> None:
    http = make_http(refuse_private=True)
    found = failure_of(lambda: http.read_bytes(f"http://{host}:{server.port}/x{SECRETS}"))
    if "no address" not in str(found):  # not every system knows every spelling
        assert isinstance(found, AccessDeniedError)
        assert "refuse_private" in str(found.hint)
    assert server.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]])
def test_a_name_that_leads_to_a_private_address_is_refused(
    make_http: MakeHttp, server: Any, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    asked = []

    def resolve(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        asked.append(host)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    http = make_http(refuse_private=True)
    url = f"http://innocent.example:{server.port}/x{SECRETS}"
    assert isinstance(failure_of(lambda: http.read_bytes(url)), AccessDeniedError)
    assert server.connections == 0
    assert asked == ["innocent.example"], "who asks again may be told something else"


def test_a_redirect_to_a_private_address_is_refused(
    make_http: MakeHttp, server: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on the public network, of which loopback plays the part."""
    leads_to = {"public.example": "8.8.8.8", "8.8.8.8": "127.0.0.1", "127.0.0.1": "127.0.0.1"}

    def resolve(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server.put("file.bin", BODY)
    public, http = f"http://public.example:{proxy.port}", make_http(refuse_private=True)
    assert http.read_bytes(f"{public}/plain/file.bin") == BODY
    private = f"{server.url}/plain/file.bin{SECRETS}"
    proxy.fail(Status(302, {"Location": private}), path="/moved")
    found = failure_of(lambda: http.read_bytes(f"{public}/moved"))
    assert isinstance(found, AccessDeniedError)
    assert "127.0.0.1 is not on the public network" in str(found)
    assert len(server.requests) == 1


def test_without_that_setting_private_addresses_are_fine(http: HttpFileSystem, server: Any) -> None:
    server.put("file.bin", BODY)
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY


def test_private_addresses_are_not_asked_of_a_proxy_either(
    make_http: MakeHttp, server: Any, proxy: FaultProxy
) -> None:
    server.put("file.bin", BODY)
    http = make_http(refuse_private=True, proxy=proxy.url)
    assert http.read_bytes("http://public.example/plain/file.bin") == BODY
    proxy.requests.clear()
    other_spellings = ("2852039166", "0xa9fea9fe", "127.1", "0177.0.0.1")
    for host in ("169.254.169.254", "[::1]", "localhost", "a.localhost", *other_spellings):
        found = failure_of(lambda host=host: http.read_bytes(f"http://{host}/x{SECRETS}"))
        assert isinstance(found, AccessDeniedError)
    assert proxy.requests == []
    proxy.fail(Status(302, {"Location": "http://169.254.169.254/latest?HUSH"}), path="/moved")
    failure_of(lambda: http.read_bytes("http://public.example/moved"))
    assert len(proxy.requests) == 1


@pytest.fixture
def by_proxy(
    make_http: MakeHttp, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], HttpFileSystem]]:
    def make(way: str) -> HttpFileSystem:
        url = proxy.url.replace("://", "://me:HUSH@")
        if way == "settings":
            return make_http(proxy=url, no_proxy="direct.invalid,127.0.0.1")
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "direct.invalid,127.0.0.1")
        return make_http()

    yield make


@pytest.mark.parametrize("way", ["settings", "environment"])
def test_proxies_are_used_but_where_they_are_not_wanted(
    by_proxy: Callable[[str], HttpFileSystem], server: Any, proxy: FaultProxy, way: str
) -> None:
    server.put("file.bin", BODY)
    http = by_proxy(way)
    assert http.read_bytes("http://somewhere.invalid/plain/file.bin") == BODY
    assert [r.headers["Proxy-Authorization"] is not None for r in proxy.requests] == [True]
    assert sent_to(server, "Proxy-Authorization") == [None]
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY
    assert len(proxy.requests) == 1
    found = failure_of(lambda: http.read_bytes("http://direct.invalid/plain/file.bin"))
    assert "no address of direct.invalid" in str(found)
    proxy.fail(Status(407), times=None)
    found = failure_of(lambda: http.read_bytes("http://somewhere.invalid/plain/file.bin"))
    assert isinstance(found, AccessDeniedError)
    assert "the proxy wants credentials" in str(found)


def test_a_proxy_that_is_not_there_is_an_error(make_http: MakeHttp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        http = make_http(proxy=f"http://me:HUSH@127.0.0.1:{port}")
        for scheme in ("http", "https"):
            url = f"{scheme}://somewhere.invalid/x{SECRETS}"
            assert isinstance(failure_of(lambda url=url: http.read_bytes(url)), TransferError)


@pytest.mark.parametrize("url", ["ftp://me:HUSH@proxy", "http://me:HUSH@proxy:port"])
def test_a_proxy_that_cannot_be_used_is_what_is_named(make_http: MakeHttp, url: str) -> None:
    http = make_http(proxy=url)
    assert "proxy" in str(failure_of(lambda: http.read_bytes("http://somewhere.invalid/x")))


def test_hosts_that_need_no_proxy_are_nobody_else_s_business(
    make_http: MakeHttp, server: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes them into the environment, for a moment, shows them to all other threads."""
    server.put("file.bin", BODY)
    http = make_http(proxy=proxy.url, no_proxy="direct.invalid, .local, 127.0.0.0/8")

    def put(name: bytes, value: bytes) -> None:
        raise AssertionError(f"{name!r} is written into the environment")

    def by_proxy(host: str) -> bool:
        proxy.requests.clear()
        with suppress(StorageError):
            http.read_bytes(f"http://{host}/plain/file.bin")
        return len(proxy.requests) > 0

    with monkeypatch.context() as patch:
        patch.setattr(os, "putenv", put)
        assert by_proxy("somewhere.invalid")
        for host in ("direct.invalid", "a.direct.invalid", "a.local", f"127.0.0.1:{server.port}"):
            assert not by_proxy(host), host
    assert len(server.requests) == 2
