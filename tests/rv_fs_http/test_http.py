"""Files behind web servers: read whole or not at all, never written, and no secret told."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rv_core import (
    AccessDeniedError,
    IntegrityError,
    Kernel,
    NotFoundError,
    NotWritableError,
    Progress,
    StorageError,
    TransferError,
)
from rv_fs_http import HttpFileSystem

BODY = bytes(range(256)) * 4096
SECRETS = "?sig=HUSH&token=HUSH"


def failure_of(ask: Any) -> StorageError:
    """The error, having made sure that neither it nor its traceback tells a secret."""
    with pytest.raises(StorageError) as caught:
        ask()
    told = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert "HUSH" not in told
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    return caught.value


@pytest.mark.parametrize("name", ["file.bin", "chunked", "redirect", "gzip"])
def test_reading_gives_the_file(http: HttpFileSystem, server: Any, name: str) -> None:
    url = f"{server.url}/{name}"
    assert http.read_bytes(url) == BODY
    with http.open(url) as stream:
        assert stream.read(300) == BODY[:300]
        assert stream.read(10) == BODY[300:310]
        assert stream.read() == BODY[310:]
        assert stream.read() == b""


def test_an_empty_file_is_a_file(http: HttpFileSystem, server: Any) -> None:
    assert http.read_bytes(f"{server.url}/empty") == b""
    assert http.info(f"{server.url}/empty").size == 0


def test_info_is_what_the_headers_say_and_no_head_request(
    http: HttpFileSystem, server: Any
) -> None:
    info = http.info(f"{server.url}/file.bin")
    assert info.size == len(BODY)
    assert info.last_modified == datetime(2015, 10, 21, 7, 28, tzinfo=UTC)
    assert info.etag == '"v1"'
    assert [command for command, _, _ in server.requests] == ["GET"]
    assert server.requests[0][2]["Accept-Encoding"] == "identity"


def test_info_does_not_read_the_body(http: HttpFileSystem, server: Any) -> None:
    started = time.monotonic()
    assert http.info(f"{server.url}/huge").size == 200 * 2**20
    assert http.info(f"{server.url}/stall").size == len(BODY)
    assert time.monotonic() - started < 0.4


def test_what_the_server_does_not_say_is_none(http: HttpFileSystem, server: Any) -> None:
    for name in ("chunked", "gzip"):
        info = http.info(f"{server.url}/{name}")
        assert (info.size, info.last_modified, info.etag) == (None, None, None)
    assert http.info(f"{server.url}/odd").last_modified is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (429, TransferError),
        (500, TransferError),
        (503, TransferError),
        (400, StorageError),
        (204, StorageError),
        (206, StorageError),
    ],
)
def test_the_server_s_answer_is_told_once_asked(
    http: HttpFileSystem, server: Any, tmp_path: Path, code: int, error: type[StorageError]
) -> None:
    url = f"{server.url}/status.{code}{SECRETS}"
    for ask in (http.open, http.info, lambda u: http.copy_from(u, tmp_path / "x")):
        found = failure_of(lambda ask=ask: ask(url))
        assert type(found) is error
        assert f"/status.{code}" in str(found)
        assert str(code) in str(found)
    assert len(server.requests) == 3  # each asked once
    assert list(tmp_path.iterdir()) == []


def test_existence_is_not_guessed(http: HttpFileSystem, server: Any) -> None:
    assert http.file_exists(f"{server.url}/file.bin")
    assert not http.file_exists(f"{server.url}/status.404")
    with pytest.raises(AccessDeniedError):
        http.file_exists(f"{server.url}/status.403")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("short", TransferError, "after 700000 of 1048576 bytes"),
        ("chunkedshort", TransferError, "failed"),
        ("stall", TransferError, "stopped sending"),
        ("notgzip", IntegrityError, "not encoded"),
    ],
)
def test_a_body_that_ends_badly_is_an_error_and_leaves_the_old_file(
    http: HttpFileSystem, server: Any, tmp_path: Path, name: str, error: type[Exception], said: str
) -> None:
    url = f"{server.url}/{name}{SECRETS}"
    (tmp_path / "a").write_text("old")
    for ask in (lambda: http.read_bytes(url), lambda: http.copy_from(url, tmp_path / "a")):
        found = failure_of(ask)
        assert type(found) is error
        assert said in str(found)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("silent", TransferError),
        ("rude", TransferError),
        ("circle", StorageError),
        ("away", StorageError),
    ],
)
def test_a_server_that_does_not_answer_is_an_error(
    http: HttpFileSystem, server: Any, name: str, error: type[Exception]
) -> None:
    found = failure_of(lambda: http.info(f"{server.url}/{name}{SECRETS}"))
    assert isinstance(found, error)
    assert "the server" in str(found) or "no answer" in str(found)


def test_a_server_that_is_not_there_is_an_error_soon(http: HttpFileSystem) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x{SECRETS}"
        assert type(failure_of(lambda: http.open(url))) is TransferError
    started = time.monotonic()
    found = failure_of(lambda: http.open(f"https://no-such-host.invalid/x{SECRETS}"))
    assert type(found) is TransferError
    assert "no-such-host.invalid" in str(found)
    assert time.monotonic() - started < 3


def test_a_connection_nobody_accepts_times_out(http: HttpFileSystem) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # fill the backlog, so that the next one waits for ever
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        started = time.monotonic()
        assert type(failure_of(lambda: http.open(f"http://127.0.0.1:{port}/x"))) is TransferError
        assert 0.4 < time.monotonic() - started < 3
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "https:///x", "http://a b/x", "http://:80/"]
)
def test_an_unusable_url_is_named(http: HttpFileSystem, url: str) -> None:
    assert url.rstrip("/") in str(failure_of(lambda: http.open(url)))


def test_passwords_in_urls_are_sent_and_not_told(http: HttpFileSystem, server: Any) -> None:
    url = server.url.replace("://", "://me:HUSH@")
    assert http.read_bytes(f"{url}/file.bin") == BODY
    assert server.requests[0][2]["Authorization"].startswith("Basic ")
    failure_of(lambda: http.open(f"{url}/status.403"))


def test_no_secret_is_logged(
    http: HttpFileSystem, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        http.read_bytes(f"{server.url}/redirect{SECRETS}")
        failure_of(lambda: http.open(f"{server.url}/status.500{SECRETS}"))
    assert "HUSH" not in caplog.text


def test_writing_is_refused_before_anything_is_sent(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    url = f"{server.url}/x{SECRETS}"
    for ask in (
        lambda: http.open(url, "wb"),
        lambda: http.open(url, "xb"),
        lambda: http.write_str(url, "x"),
        lambda: http.delete(url),
        lambda: http.copy_to(tmp_path / "not there", url),
        lambda: http.sync_to_dir(tmp_path, url, delete=True),
    ):
        assert type(failure_of(ask)) is NotWritableError
    with pytest.raises(NotWritableError):
        Kernel().files.write_str(url, "x")
    assert server.requests == []


def test_listing_says_that_servers_do_not(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    url = f"{server.url}/folder/{SECRETS}"
    for ask in (lambda: http.list_paths(url), lambda: http.sync_from_dir(url, tmp_path)):
        assert "does not list" in str(failure_of(ask))


def test_downloading_reports_progress_and_asks_once(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    old = os.umask(0o027)
    try:
        http.copy_from(f"{server.url}/file.bin", tmp_path / "new" / "a.bin", seen.append)
    finally:
        os.umask(old)
    assert (tmp_path / "new/a.bin").read_bytes() == BODY
    assert (tmp_path / "new/a.bin").stat().st_mode & 0o777 == 0o640
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (len(BODY), len(BODY), "B")
    assert len(server.requests) == 1


def test_a_target_that_cannot_be_written_is_named(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    found = failure_of(lambda: http.copy_from(f"{server.url}/file.bin", tmp_path / "file" / "a"))
    assert str(tmp_path / "file") in str(found)


def test_the_local_path_comes_through_the_cache(server: Any) -> None:
    kernel = Kernel()
    first = kernel.files.local_path(f"{server.url}/file.bin")
    asked = len(server.requests)
    assert first.read_bytes() == BODY
    assert kernel.files.local_path(f"{server.url}/file.bin") == first
    assert len(server.requests) == asked + 1  # whether it is still current, and no more
    assert str(first).startswith(os.environ["RV_CACHE_DIR"])


def test_the_kernel_asks_one_object_for_all_urls(server: Any) -> None:
    kernel = Kernel()
    first = kernel.filesystem(f"{server.url}/a")
    assert kernel.filesystem("https://host/b") is first
    assert Kernel().filesystem(f"{server.url}/a") is not first


def test_the_timeouts_are_settings(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RV_HTTP_READ_TIMEOUT", "0.2")
    started = time.monotonic()
    with pytest.raises(TransferError, match=r"within 0\.2 s"):
        Kernel().files.info(f"{server.url}/silent")
    assert time.monotonic() - started < 2


def test_many_threads_read_at_once(http: HttpFileSystem, server: Any) -> None:
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(http.read_bytes, [f"{server.url}/file.bin"] * 64))
    assert all(body == BODY for body in bodies)


def test_memory_does_not_grow_with_the_file(server: Any, tmp_path: Path) -> None:
    code = """
        import resource, sys
        from rv_fs_http import HttpFileSystem
        fs = HttpFileSystem()
        fs.read_bytes(sys.argv[1] + "/file.bin")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fs.copy_from(sys.argv[1] + "/huge", sys.argv[2])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), server.url, str(tmp_path / "huge")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "huge").stat().st_size == 200 * 2**20
    assert int(done.stdout) < 20  # MB, of a file of 200


def test_importing_the_plugin_imports_no_requests() -> None:
    code = "import sys, rv_fs_http, rv_fs_http.plugin; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
