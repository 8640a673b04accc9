"""Whom we are is told to whom it concerns, and to nobody else."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import FaultProxy, Status

from rv_core import AccessDeniedError, Kernel, StorageError
from rv_fs_http import HttpFileSystem

BODY = b"the file" * 1000
SECRETS = "?sig=HUSH"
MakeHttp = Callable[..., HttpFileSystem]


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
    http: HttpFileSystem,
    make_http: MakeHttp,
    server: Any,
    proxy: FaultProxy,
    netrc: Callable[[str], None],
) -> None:
    server.put("file.bin", BODY)
    netrc("machine elsewhere login me password HUSH\ndefault login me password HUSH\n")
    assert http.read_bytes(f"{server.url}/plain/file.bin") == BODY
    assert make_http(proxy=proxy.url).read_bytes("http://default/plain/file.bin") == BODY
    assert sent_to(server, "Authorization") == [None, None]


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


def test_one_system_goes_to_other_processes_with_its_credentials(
    make_http: MakeHttp, server: Any
) -> None:
    server.put("file.bin", BODY)
    http = make_http(hosts={f"127.0.0.1:{server.port}": {"token": server.token}})
    url = f"{server.url}/secret/file.bin"
    assert http.read_bytes(url) == pickle.loads(pickle.dumps(http)).read_bytes(url) == BODY


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


def test_a_user_does_not_go_on_with_another_user_s_session(
    http: HttpFileSystem, server: Any
) -> None:
    server.put("file.bin", BODY)
    for user in ("one", "another"):
        url = server.url.replace("://", f"://{user}:HUSH@")
        assert http.read_bytes(f"{url}/login/file.bin") == BODY
    assert server.codes == [302, 302, 200] * 2


def test_who_is_refused_hears_whether_credentials_are_missing_or_wrong(
    http: HttpFileSystem, server: Any
) -> None:
    server.put("file.bin", BODY)
    url = f"{server.url}/secret/file.bin"
    assert '[http.hosts."<host>"]' in str(failure_of(lambda: http.read_bytes(url)).hint)
    url = url.replace("://", "://me:HUSH@")
    assert "that it was sent are wrong" in str(failure_of(lambda: http.read_bytes(url)).hint)
