"""Whom we are is told to whom it concerns, and where we are sent is looked at first."""

from __future__ import annotations

import itertools
import logging
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from rv_core.testing import FaultProxy, Status
from rv_fs_http._addresses import is_public

from rv_core import AccessDeniedError, Kernel, StorageError, TransferError
from rv_fs_http import HttpFileSystem

BODY = b"the file" * 1000
SECRETS = "?sig=HUSH"
MakeHttp = Callable[..., HttpFileSystem]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return str(tmp_path / "authority.pem")


@pytest.fixture
def secure(start: Callable[..., Any], authority: trustme.CA) -> Any:
    """A server that encrypts, known as localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = start(context)
    server.put("file.bin", BODY)
    return server


@pytest.fixture
def other(start: Callable[..., Any]) -> Any:
    server = start()
    server.put("file.bin", BODY)
    return server


@pytest.fixture
def moved(server: Any, proxy: FaultProxy) -> Callable[[str], str]:
    """A URL that leads to another."""

    numbers = itertools.count()

    def move(to: str) -> str:
        path = f"/moved{next(numbers)}"
        proxy.fail(Status(302, {"Location": to}), times=None, path=path)
        return f"{proxy.url}{path}{SECRETS}"

    return move


@pytest.fixture
def netrc(tmp_path: Path) -> Callable[[str], None]:
    """Writes the user's netrc file."""
    return lambda text: (tmp_path / "netrc").write_text(text) and None


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


def test_a_body_of_a_redirect_that_never_ends_is_not_waited_for(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    server.put("file.bin", BODY)
    proxy.fail(
        Status(302, {"Location": "/plain/file.bin", "Content-Length": str(10**12)}, bytes(10**5)),
        path="/moved",
    )
    assert http.read_bytes(f"{proxy.url}/moved") == BODY


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
    failure_of(lambda: http.read_bytes(f"{server.url}/x".replace("http:", "https:")))
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


def test_a_user_in_the_url_is_told_to_its_server_only(
    http: HttpFileSystem, server: Any, other: Any, proxy: FaultProxy
) -> None:
    server.put("file.bin", BODY)
    there = proxy.url.replace("://", f"://{server.user}:HUSH%20word@")
    assert http.read_bytes(f"{there}/secret/file.bin") == BODY
    proxy.fail(Status(302, {"Location": "/secret/file.bin"}), path="/here")
    assert http.read_bytes(f"{there}/here") == BODY
    proxy.fail(Status(302, {"Location": f"{other.url}/plain/file.bin"}), path="/away")
    assert http.read_bytes(f"{there}/away{SECRETS}") == BODY
    assert sent_to(other, "Authorization") == [None]
    assert sent_to(other, "Referer") == sent_to(other, "Cookie") == [None]
    failure_of(lambda: http.read_bytes(f"{there}/nothing"))
    # What a server says of users is not listened to.
    away = other.url.replace("://", "://evil:HUSH@")
    proxy.fail(Status(302, {"Location": f"{away}/plain/file.bin"}), path="/as")
    assert http.read_bytes(f"{there}/as") == BODY
    assert sent_to(other, "Authorization") == [None, None]


@pytest.mark.parametrize("way", ["password", "token", "netrc"])
def test_credentials_of_a_host_go_to_that_host_only(
    make_http: MakeHttp,
    server: Any,
    other: Any,
    moved: Callable[[str], str],
    proxy: FaultProxy,
    netrc: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    way: str,
) -> None:
    server.put("file.bin", BODY)
    other.put("file.bin", BODY)
    hosts = {}
    if way == "password":
        hosts = {f"127.0.0.1:{proxy.port}": {"username": server.user, "password": server.password}}
    elif way == "token":
        hosts = {f"127.0.0.1:{proxy.port}": {"token": f"{server.token}\n"}}
    else:
        netrc(f'machine 127.0.0.1 login {server.user} password "{server.password}"\n')
    http = make_http(hosts=hosts)
    with caplog.at_level(logging.DEBUG):
        assert http.read_bytes(f"{proxy.url}/secret/file.bin") == BODY
        assert http.read_bytes(moved(f"{other.url}/plain/file.bin")) == BODY
    assert sent_to(other, "Authorization") == [None]
    assert "HUSH" not in caplog.text
    assert proxy.requests[-1].headers["Authorization"] is not None


def test_a_netrc_file_can_be_left_aside(
    make_http: MakeHttp, server: Any, netrc: Callable[[str], None]
) -> None:
    server.put("file.bin", BODY)
    netrc("machine 127.0.0.1 login me password HUSH\n")
    make_http(netrc=False).read_bytes(f"{server.url}/plain/file.bin")
    assert sent_to(server, "Authorization") == [None]


def test_the_default_of_a_netrc_file_is_sent_to_nobody(
    http: HttpFileSystem, server: Any, netrc: Callable[[str], None]
) -> None:
    server.put("file.bin", BODY)
    netrc("machine elsewhere login me password HUSH\ndefault login me password HUSH\n")
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY
    assert sent_to(server, "Authorization") == [None]


def test_a_netrc_file_that_is_not_understood_is_named_and_not_quoted(
    http: HttpFileSystem,
    server: Any,
    netrc: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.put("file.bin", BODY)
    netrc("machine 127.0.0.1 login me HUSH password\n")
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY
    assert "netrc is left aside: line 1" in caplog.text
    assert "HUSH" not in caplog.text
    netrc("machine 127.0.0.1 login me password HUSH\n")
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY
    assert sent_to(server, "Authorization")[-1] is not None, "the new file was not read"


def test_a_redirect_brings_out_credentials_for_its_own_host_only_when_encrypted(
    make_http: MakeHttp,
    server: Any,
    secure: Any,
    other: Any,
    moved: Callable[[str], str],
    bundle: str,
    netrc: Callable[[str], None],
) -> None:
    """As a portal that sends us to where the files are, with an account for each."""
    netrc("machine localhost login me password HUSH\nmachine 127.0.0.1 login me password HUSH\n")
    hosts = {
        f"localhost:{secure.port}": {"token": server.token},
        f"127.0.0.1:{other.port}": {"token": server.token},
    }
    http = make_http(ca_bundle=bundle, hosts=hosts)
    assert http.read_bytes(moved(f"{secure.url}/secret/file.bin")) == BODY
    secure.requests.clear()
    # The user's netrc file is good for any port of a host; a server's word is not.
    http = make_http(ca_bundle=bundle)
    assert http.read_bytes(moved(f"{secure.url}/plain/file.bin")) == BODY
    assert sent_to(secure, "Authorization") == [None]


def test_nothing_is_sent_in_the_clear_to_where_a_redirect_leads(
    make_http: MakeHttp, other: Any, moved: Callable[[str], str], server: Any
) -> None:
    http = make_http(hosts={f"127.0.0.1:{other.port}": {"token": server.token}})
    url = moved(f"{other.url}/plain/file.bin")
    assert http.read_bytes(url) == BODY
    assert sent_to(other, "Authorization") == [None]
    assert http.read_bytes(f"{other.url}/secret/file.bin") == BODY  # the user asked for it


def test_a_host_means_the_port_of_its_scheme(make_http: MakeHttp, server: Any) -> None:
    server.put("file.bin", BODY)
    http = make_http(hosts={"127.0.0.1": {"token": server.token}})
    found = failure_of(lambda: http.read_bytes(f"{server.url}/secret/file.bin"))
    assert isinstance(found, AccessDeniedError)
    assert sent_to(server, "Authorization") == [None]


def test_credentials_come_from_the_settings_by_reference(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("file.bin", BODY)
    monkeypatch.setenv("PORTAL_PASSWORD", server.password)
    entry = {"username": server.user, "password": {"env": "PORTAL_PASSWORD"}}
    kernel = Kernel(config={"http": {"hosts": {f"127.0.0.1:{server.port}": entry}}})
    assert kernel.files.read_bytes(f"{server.url}/secret/file.bin") == BODY
    shown = [str(setting.shown()) for setting in kernel.config.settings()]
    assert "HUSH" not in str(shown)
    again = Kernel.from_spec(kernel.spec())
    assert again.files.read_bytes(f"{server.url}/secret/file.bin") == BODY


def test_cookies_of_a_login_stay_with_their_server(
    http: HttpFileSystem, server: Any, other: Any
) -> None:
    """A portal that logs in by redirects, and remembers us by a cookie."""
    server.put("file.bin", BODY)
    assert http.read_bytes(f"{server.url}/login/file.bin") == BODY
    assert server.codes == [302, 302, 200]
    assert http.read_bytes(f"{server.url}/login/file.bin") == BODY
    assert server.codes == [302, 302, 200, 200]
    http.read_bytes(f"{other.url}/plain/file.bin")  # the same host, another port
    assert sent_to(other, "Cookie") == [None]


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
    for host in ("169.254.169.254", "[::1]", "localhost", "a.localhost"):
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


def test_a_proxy_that_is_not_there_is_an_error(make_http: MakeHttp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        http = make_http(proxy=f"http://me:HUSH@127.0.0.1:{port}")
        for scheme in ("http", "https"):
            url = f"{scheme}://somewhere.invalid/x{SECRETS}"
            assert isinstance(failure_of(lambda url=url: http.read_bytes(url)), TransferError)
