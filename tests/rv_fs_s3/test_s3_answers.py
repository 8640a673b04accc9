"""What the answers of servers are taken for, odd ones too."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import rv_fs_s3._events as events
from rv_core.testing import Before, Drip, DripHead, FaultProxy, Status
from rv_core.transfers import Retries

from rv_core import AccessDeniedError, StorageError, TransferError
from rv_fs_s3 import S3FileSystem

MIB = 1 << 20
MakeFS = Callable[..., S3FileSystem]


@pytest.mark.parametrize("code", [204, 304])
def test_an_answer_without_a_body_may_tell_a_length(
    faulty: S3FileSystem,
    s3: S3FileSystem,
    proxy: FaultProxy,
    folder: str,
    tmp_path: Path,
    code: int,
) -> None:
    """Of a 304 it is the object's: https://www.rfc-editor.org/rfc/rfc9110#section-8.6"""
    s3.write_bytes(f"{folder}/x", b"12345")
    known = faulty.copy_if_changed(f"{folder}/x", tmp_path / "x", None)
    proxy.fail(Status(code, {"Content-Length": "5"}), times=None)
    if code == 304:
        assert faulty.copy_if_changed(f"{folder}/x", tmp_path / "x", known) is None
    else:
        faulty.delete(f"{folder}/x")


def test_a_server_that_never_has_the_range_is_asked_twice(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    proxy.fail(Status(416), times=None)
    with pytest.raises(StorageError, match="416"):
        faulty.copy_from(f"{folder}/x", tmp_path / "x")
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("code", [500, 502, 522])
def test_what_ails_a_server_may_pass(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, code: int
) -> None:
    s3.write_bytes(f"{folder}/x", b"x")
    proxy.fail(Status(code))
    assert faulty.read_bytes(f"{folder}/x") == b"x"


@pytest.mark.parametrize("code", [501, 505, 507])
def test_what_a_server_cannot_do_is_not_asked_for_again(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, code: int
) -> None:
    proxy.fail(Status(code), times=None)
    with pytest.raises(StorageError, match=str(code)) as caught:
        faulty.write_bytes(f"{folder}/x", b"x")
    assert not isinstance(caught.value, TransferError)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("ask", ["read", "write"])
def test_a_server_that_is_slow_to_say_that_it_is_overloaded_costs_patience(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, ask: str
) -> None:
    """Six times as long would be too long."""
    faulty._client.retries = Retries(max_wait=0.1, patience=1.0)
    proxy.fail(Before(lambda: time.sleep(0.5)), times=None)
    proxy.fail(Status(503), times=None)
    with pytest.raises(TransferError):
        if ask == "read":
            faulty.read_bytes(f"{folder}/x")
        else:
            faulty.write_bytes(f"{folder}/x", b"x")
    assert len(proxy.requests) <= 4


@pytest.mark.parametrize("ask", ["list", "write"])
def test_an_answer_that_drips_is_an_error_in_time(
    faulty: S3FileSystem,
    proxy: FaultProxy,
    folder: str,
    ask: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A byte a second passes every timeout."""
    monkeypatch.setattr(events, "_ANSWER_SECONDS", 0.5)
    faulty._client.retries = Retries(attempts=1)
    proxy.fail(Status(200, body=b"<ListBucketResult>" + bytes(1000)), times=None)
    proxy.fail(Drip(1), times=None)
    began = time.monotonic()
    with pytest.raises(TransferError, match="stalled"):
        if ask == "list":
            list(faulty.list_paths(folder))
        else:
            faulty.write_bytes(f"{folder}/x", b"x")
    assert time.monotonic() - began < 100


@pytest.mark.parametrize("ask", ["read", "list", "write", "write much"])
def test_headers_that_drip_are_an_error_in_time(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, ask: str
) -> None:
    fs = make_fs(endpoint_url=proxy.url, read_timeout=1.0)
    fs._client.retries = Retries(attempts=1)
    proxy.fail(DripHead(5), times=None)
    with pytest.raises(TransferError, match="the server fell silent"):
        if ask == "read":
            fs.read_bytes(f"{folder}/x")
        elif ask == "list":
            list(fs.list_paths(folder))
        else:
            fs.write_bytes(f"{folder}/x", b"x" * (2 * MIB if "much" in ask else 1))


LEAVE = b"HTTP/1.1 100 Continue\r\n"


@pytest.mark.parametrize(
    ("pieces", "every"),
    [
        ([LEAVE[:9], *(b"x" for _ in range(100))], 0.3),
        ([LEAVE, *(b"x" for _ in range(100))], 0.3),
        ([LEAVE], 0.0),
        ([LEAVE[:9]], 0.0),
        ([b"220 ftp.example.com\r\n"], 0.0),
    ],
    ids=["drips", "its headers drip", "ends", "ends at once", "is none"],
)
def test_leave_to_send_that_is_not_given_in_time_is_an_error(
    make_fs: MakeFS, folder: str, pieces: list[bytes], every: float
) -> None:
    """As a byte now and then, or by hanging up in the middle."""

    def talk() -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(1 << 16)
            for piece in pieces:
                client.sendall(piece)
                time.sleep(every)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=talk, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        fs = make_fs(endpoint_url=url, read_timeout=1.0, connect_timeout=1.0)
        fs._client.retries = Retries(attempts=1)
        with pytest.raises(TransferError):
            fs.write_bytes(f"{folder}/x", b"x" * 2 * MIB)


@pytest.mark.parametrize("code", [403, 503])
def test_leave_to_send_may_be_refused(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, code: int
) -> None:
    faulty._client.retries = Retries(attempts=1)
    proxy.fail(Status(code, {"X-Amz-Request-Id": "1"}), times=None)
    with pytest.raises(StorageError, match=f"the server answers {code}"):
        faulty.write_bytes(f"{folder}/x", b"x" * 2 * MIB)


@pytest.mark.parametrize("ask", ["list", "delete"])
def test_a_refusal_in_an_answer_200_is_a_refusal(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, ask: str
) -> None:
    denied = b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>"
    proxy.fail(Status(200, body=denied), times=None)
    with pytest.raises(AccessDeniedError):
        if ask == "list":
            list(faulty.list_paths(folder))
        else:
            faulty.delete_files([f"{folder}/x"])
    assert len(proxy.requests) == 1, "it was asked again"


def test_dots_in_a_key_go_through_a_proxy(make_fs: MakeFS, proxy: FaultProxy) -> None:
    """Left as they are, they would make another key of it on the way."""
    proxy.fail(Status(200), times=None)
    fs = make_fs(proxies={"http": proxy.url}, endpoint_url="http://s3.example.com")
    for key in ("a/../b", "./a", "a/.", "../..", "a/..b/.c/d..", "a?/../b"):
        fs.info(f"s3://imagery/{key}")
    assert [request.path for request in proxy.requests] == [
        "/imagery/a/%2E%2E/b",
        "/imagery/%2E/a",
        "/imagery/a/%2E",
        "/imagery/%2E%2E/%2E%2E",
        "/imagery/a/..b/.c/d..",
        "/imagery/a%3F/%2E%2E/b",
    ]
