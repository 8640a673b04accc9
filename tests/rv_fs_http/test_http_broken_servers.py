"""Servers and networks that fail, each in its own way: an error that says so, and soon."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import (
    Before,
    FaultProxy,
    Gzip,
    NoLength,
    Reset,
    SetHeaders,
    Stall,
    Status,
    Truncate,
)
from rv_core.transfers import Retries

from rv_core import (
    AccessDeniedError,
    IntegrityError,
    Kernel,
    NotFoundError,
    StorageError,
    TransferError,
)
from rv_fs_http import HttpFileSystem, HttpSettings

BODY = bytes(range(256)) * 4096
SECRETS = "?sig=HUSH&token=HUSH"
OK = b"HTTP/1.1 200 OK\r\n"
MakeHttp = Callable[..., HttpFileSystem]


@pytest.fixture
def url(server: Any, proxy: FaultProxy) -> str:
    """A file of a megabyte, by way of the proxy."""
    server.put("folder/file.bin", BODY)
    return f"{proxy.url}/plain/folder/file.bin"


@pytest.fixture
def silent() -> Iterator[Callable[..., str]]:
    """Servers that send what they are told to, a piece a time, and then nothing for ever, unless
    they are to hang up."""
    done = threading.Event()
    sockets = []

    def start(*pieces: bytes, every: float = 0.02, hangs_up: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def talk(client: socket.socket) -> None:
            try:
                client.recv(1 << 16)
                for piece in pieces:
                    client.sendall(piece)
                    if done.wait(every):
                        return
                if not hangs_up:
                    done.wait()
            except OSError:
                pass  # the client has had enough
            finally:
                client.close()

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    done.set()
    for one in sockets:
        one.close()


def failure_of(ask: Any) -> StorageError:
    """The error, having made sure that neither it nor its traceback tells a secret."""
    with pytest.raises(StorageError) as caught:
        ask()
    told = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert "HUSH" not in told
    link: BaseException | None = caught.value
    while link is not None:
        assert "HUSH" not in str(link)
        link = link.__cause__ or link.__context__
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("code", "error", "times"),
    [
        (404, NotFoundError, 1),
        (410, NotFoundError, 1),
        (401, AccessDeniedError, 1),
        (403, AccessDeniedError, 1),
        (408, TransferError, 6),
        (425, TransferError, 6),
        (429, TransferError, 6),
        (500, TransferError, 6),
        (503, TransferError, 6),
        (501, StorageError, 1),
        (505, StorageError, 1),
        (400, StorageError, 1),
        (204, StorageError, 1),
        (300, StorageError, 1),
        (304, StorageError, 1),
        (416, StorageError, 1),
        (418, StorageError, 1),
    ],
)
def test_what_passes_is_asked_for_again_and_what_stays_is_told(
    http: HttpFileSystem,
    proxy: FaultProxy,
    url: str,
    tmp_path: Path,
    code: int,
    error: type[StorageError],
    times: int,
) -> None:
    proxy.fail(Status(code, {"X-Echo": SECRETS}), times=None)
    for ask in (http.open, http.read_bytes, lambda u: http.copy_from(u, tmp_path / "x")):
        proxy.requests.clear()
        found = failure_of(lambda ask=ask: ask(url + SECRETS))
        assert type(found) is error
        assert "/folder/file.bin" in str(found)
        assert str(code) in str(found)
        assert len(proxy.requests) == times
    proxy.requests.clear()
    assert type(failure_of(lambda: http.info(url + SECRETS))) is error
    assert len(proxy.requests) == (2 if code == 416 else times)
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Truncate(70_000), "after 70000 of 1048576 bytes"),
        (Reset(70_000), "after 70000 of 1048576 bytes"),
        (Stall(70_000, 3600), "stopped sending after 70000 of"),
    ],
    ids=str,
)
def test_a_body_that_always_ends_badly_is_an_error_and_leaves_the_old_file(
    proxy: FaultProxy, url: str, tmp_path: Path, fault: Any, said: str
) -> None:
    silence = 1.0 if isinstance(fault, Stall) else 60.0
    http = HttpFileSystem(HttpSettings(read_timeout=silence), Retries(attempts=2, max_wait=0.1))
    proxy.fail(fault, times=None)
    # Ranges would bring a piece with every attempt, and so the file in the end.
    url = url.replace("plain", "whole") + SECRETS
    target = tmp_path / "here" / "a"
    target.parent.mkdir()
    target.write_text("old")
    for ask in (lambda: http.read_bytes(url), lambda: http.copy_from(url, target)):
        found = failure_of(ask)
        assert type(found) is TransferError
        assert said in str(found)
    assert [p.read_text() for p in target.parent.iterdir()] == ["old"]


@pytest.mark.parametrize("encoding", ["identity", "binary", "UTF-8"])
def test_an_encoding_that_is_none_changes_nothing(
    http: HttpFileSystem, proxy: FaultProxy, url: str, encoding: str
) -> None:
    proxy.fail(SetHeaders({"Content-Encoding": encoding}), times=None)
    assert http.read_bytes(url) == BODY
    assert http.info(url).size == len(BODY)


@pytest.mark.parametrize(
    ("encoding", "error", "said"),
    [("gzip", IntegrityError, "not encoded"), ("br", StorageError, "'br'")],
)
def test_a_body_that_cannot_be_decoded_is_an_error(
    http: HttpFileSystem,
    proxy: FaultProxy,
    url: str,
    encoding: str,
    error: type[StorageError],
    said: str,
) -> None:
    proxy.fail(SetHeaders({"Content-Encoding": encoding}), times=None)
    found = failure_of(lambda: http.read_bytes(url + SECRETS))
    assert type(found) is error
    assert said in str(found)


def test_a_compressed_body_that_ends_early_is_not_taken_for_a_whole_one(
    http: HttpFileSystem, proxy: FaultProxy, url: str
) -> None:
    """Nothing but the compression itself tells that there should be more."""
    proxy.fail(Gzip(), times=None)
    proxy.fail(NoLength(), times=None)
    proxy.fail(Truncate(3000), times=None)
    assert type(failure_of(lambda: http.read_bytes(url))) is TransferError


def test_a_compressed_body_that_ends_before_it_begins_is_not_an_empty_file(
    http: HttpFileSystem, proxy: FaultProxy, url: str
) -> None:
    for fault in (Gzip(), NoLength(), Truncate(0)):
        proxy.fail(fault, times=None)
    assert type(failure_of(lambda: http.read_bytes(url))) is TransferError


PACKED = OK + b"Content-Encoding: gzip\r\n\r\n"
UNNAMED = gzip.compress(b"")[:3] + b"\x08" + gzip.compress(b"")[4:10]  # a name is to follow


def test_packaging_without_contents_is_an_error(
    http: HttpFileSystem, silent: Callable[..., str]
) -> None:
    url = silent(PACKED, *[gzip.compress(b"") * 3000] * 10**4, every=0)
    assert type(failure_of(lambda: http.read_bytes(f"{url}/x{SECRETS}"))) is IntegrityError


@pytest.mark.slow
def test_a_server_that_drips_a_compressed_body_is_asleep(silent: Callable[..., str]) -> None:
    """Before it unpacks to anything, there is nothing to see of it."""
    http = HttpFileSystem(retries=Retries(attempts=1))
    url = silent(PACKED + UNNAMED, *[b"x"] * 10**6)  # which takes hours
    assert "stalled" in str(failure_of(lambda: http.read_bytes(f"{url}/x{SECRETS}")))


def test_a_server_of_another_protocol_is_an_error(
    http: HttpFileSystem, silent: Callable[..., str]
) -> None:
    url = silent(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert "does not speak HTTP" in str(failure_of(lambda: http.read_bytes(f"{url}/x{SECRETS}")))


def test_a_server_that_says_nothing_is_an_error(
    make_http: MakeHttp, silent: Callable[..., str]
) -> None:
    http = make_http(read_timeout=0.1)
    found = failure_of(lambda: http.info(f"{silent()}/x{SECRETS}"))
    assert type(found) is TransferError
    assert "no answer within 0.1 s" in str(found)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"H"] * 10**6,
        [OK, *[b"X-More: and more\r\n"] * 10**6],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 10**6,
        [CHUNKED, *[b";and more"] * 10**6],
        [CHUNKED + b"\r\nhello\r\n0\r\n", *[b"X-More: and more\r\n"] * 10**6],
    ],
    ids=["status line", "headers", "continue", "chunk", "trailers"],
)
def test_lines_that_never_end_are_an_error(
    make_http: MakeHttp, silent: Callable[..., str], pieces: list[bytes]
) -> None:
    """Each byte comes in time; what is waited for does not in hours."""
    http = make_http(read_timeout=0.1)
    found = failure_of(lambda: http.read_bytes(f"{silent(*pieces)}/x{SECRETS}"))
    assert type(found) is TransferError


def test_a_body_of_a_refusal_that_never_comes_is_not_waited_for(silent: Callable[..., str]) -> None:
    http = HttpFileSystem(HttpSettings(read_timeout=120.0), Retries(attempts=2))
    busy = silent(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n")
    started = time.monotonic()
    assert "answers 503" in str(failure_of(lambda: http.read_bytes(f"{busy}/x{SECRETS}")))
    assert time.monotonic() - started < 100


@pytest.mark.parametrize("code", [429, 503])
def test_who_asks_too_much_of_a_server_hears_how_to_ask_less(
    http: HttpFileSystem, proxy: FaultProxy, url: str, code: int
) -> None:
    proxy.fail(Status(code), times=None)
    assert "[http] connections" in str(failure_of(lambda: http.read_bytes(url)).hint)


def test_what_is_waited_for_a_refusal_is_lost_time_too(proxy: FaultProxy, url: str) -> None:
    """A gateway that answers 504 when it has waited itself: six times that is too long."""
    http = HttpFileSystem(retries=Retries(min_wait=0.01, max_wait=0.02, patience=0.5))
    proxy.fail(Before(lambda: time.sleep(0.4)), times=None)
    proxy.fail(Status(504), times=None)
    assert type(failure_of(lambda: http.read_bytes(url))) is TransferError
    assert len(proxy.requests) <= 2


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"\0" * 70_000,
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-0/" + b"9" * 5000 + b"\r\n\r\nh",
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(
    make_http: MakeHttp, silent: Callable[..., str], answer: bytes
) -> None:
    http = make_http(read_timeout=0.1)
    for ask in (http.read_bytes, http.info):
        failure_of(lambda ask=ask: ask(f"{silent(answer)}/x{SECRETS}"))


@pytest.mark.parametrize(
    "headers",
    [
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked ",
        b"no header\r\nTransfer-Encoding: chunked",
        b"Content-Length : 500",
    ],
)
def test_an_answer_of_which_it_is_unclear_where_it_ends_is_no_file(
    http: HttpFileSystem, silent: Callable[..., str], headers: bytes
) -> None:
    """The marks of chunks would become part of the file, or the end of it would not be missed."""
    url = silent(OK + headers + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", hangs_up=True)
    found = failure_of(lambda: http.read_bytes(f"{url}/x{SECRETS}"))
    assert "makes no sense" in str(found)


def test_a_length_that_no_file_has_is_not_believed(
    http: HttpFileSystem, silent: Callable[..., str]
) -> None:
    url = silent(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")
    assert http.info(f"{url}/x").size is None


def test_a_server_that_is_not_there_is_an_error(http: HttpFileSystem) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x{SECRETS}"
        assert type(failure_of(lambda: http.open(url))) is TransferError
    found = failure_of(lambda: http.open(f"https://no-such-host.invalid/x{SECRETS}"))
    assert "no address of no-such-host.invalid" in str(found)


@pytest.mark.slow
def test_a_connection_nobody_accepts_times_out(make_http: MakeHttp) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # fill the backlog, so that the next one waits for ever
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        http = make_http(connect_timeout=0.3)
        found = failure_of(lambda: http.open(f"http://127.0.0.1:{port}/x{SECRETS}"))
        assert type(found) is TransferError
        assert "no connection within 0.3 s" in str(found)
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http://[", "https:///x", "http://a b/x", "http://:80/", "http://a:b/"),
        *("http://a:99999/", "http://[::1", "http://a/\0:99999999999999999999/"),
    ],
)
def test_an_unusable_url_is_named(http: HttpFileSystem, url: str) -> None:
    for ask in (http.open, http.info, http.read_bytes, http.file_exists):
        assert url.rstrip("/") in str(failure_of(lambda ask=ask: ask(url)))


@pytest.mark.slow
def test_the_settings_are_the_kernel_s(
    server: Any, silent: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RV_HTTP_READ_TIMEOUT", "0.2")
    monkeypatch.setenv("RV_HTTP_CONNECTIONS", "5")
    kernel = Kernel()
    assert kernel.filesystem(f"{server.url}/a").transfers_at_once == 5
    with pytest.raises(TransferError, match=r"within 0\.2 s"):
        kernel.files.info(f"{silent()}/x")
