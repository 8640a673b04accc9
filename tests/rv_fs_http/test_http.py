"""Files behind web servers: read whole or not at all, never written, and no secret told."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import (
    Chunked,
    FaultProxy,
    Gzip,
    NoLength,
    SetHeaders,
    Stall,
    Status,
)

from rv_core import (
    AccessDeniedError,
    ConfigError,
    Kernel,
    NotWritableError,
    Progress,
    StorageError,
)
from rv_fs_http import HttpFileSystem, HttpSettings

BODY = bytes(range(256)) * 4096
SECRETS = "?sig=HUSH&token=HUSH"
MakeHttp = Callable[..., HttpFileSystem]


@pytest.fixture
def url(server: Any, proxy: FaultProxy) -> str:
    """A file of a megabyte, by way of the proxy."""
    server.put("folder/file.bin", BODY)
    return f"{proxy.url}/plain/folder/file.bin"


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


@pytest.mark.parametrize("fault", [Chunked(), NoLength(), Gzip()], ids=str)
def test_a_body_whose_length_is_not_told_is_read_whole(
    http: HttpFileSystem, proxy: FaultProxy, url: str, fault: Any
) -> None:
    proxy.fail(fault, times=None)
    url = url.replace("plain", "whole")
    assert http.read_bytes(url) == BODY
    assert http.info(url).size is None
    with http.open(url) as stream:
        assert stream.read(300) == BODY[:300]
        assert stream.read(10) == BODY[300:310]
        assert stream.read() == BODY[310:]
        assert stream.read() == b""


def test_info_is_what_the_headers_say_and_no_head_request(
    http: HttpFileSystem, server: Any, url: str
) -> None:
    info = http.info(url)
    assert info.size == len(BODY)
    assert info.last_modified is not None
    assert info.last_modified.timestamp() == (server.files / "folder/file.bin").stat().st_mtime
    assert info.etag == server.tags["folder/file.bin"]
    ((method, _, headers),) = server.requests
    assert method == "GET"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Range"] == "bytes=0-0"
    assert headers["User-Agent"].startswith("rv-fs-http/0.")
    assert "python" not in headers["User-Agent"]


def test_info_does_not_wait_for_the_body(make_http: MakeHttp, proxy: FaultProxy, url: str) -> None:
    proxy.fail(Stall(1, 3600), times=None)
    http = make_http(read_timeout=120.0)
    started = time.monotonic()
    assert http.info(url.replace("plain", "whole")).size == len(BODY)
    assert time.monotonic() - started < 100


def test_what_the_server_does_not_say_is_none(
    http: HttpFileSystem, proxy: FaultProxy, url: str
) -> None:
    bare = url.replace("plain", "bare")
    assert http.info(bare).etag is http.info(bare).last_modified is None
    proxy.fail(SetHeaders({"Last-Modified": "yesterday"}))
    assert http.info(url).last_modified is None


def test_existence_is_not_guessed(http: HttpFileSystem, proxy: FaultProxy, url: str) -> None:
    assert http.file_exists(url)
    assert not http.file_exists(f"{url}.other")
    proxy.fail(Status(403), times=None)
    with pytest.raises(AccessDeniedError):
        http.file_exists(url)


def test_no_secret_is_logged(
    http: HttpFileSystem, proxy: FaultProxy, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        proxy.fail(Status(302, {"Location": f"/plain/folder/file.bin{SECRETS}"}), path="moved")
        http.read_bytes(f"{proxy.url}/moved{SECRETS}")
        proxy.fail(Status(500), times=None)
        failure_of(lambda: http.open(f"{url}{SECRETS}"))
    assert "/plain/folder/file.bin" in caplog.text
    assert "HUSH" not in caplog.text


def test_what_others_log_of_their_requests_stays_as_it_is(
    http: HttpFileSystem, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    import requests

    http.read_bytes(url)
    with caplog.at_level(logging.DEBUG):
        requests.get(f"{url}?page=2", timeout=60)
    assert "?page=2" in caplog.text


def test_writing_is_refused_before_anything_is_sent(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    url += SECRETS
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
    assert proxy.requests == []


def test_downloading_reports_progress_and_asks_once(
    http: HttpFileSystem, server: Any, url: str, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    old = os.umask(0o027)
    try:
        http.copy_from(url, tmp_path / "new" / "a.bin", seen.append)
    finally:
        os.umask(old)
    assert (tmp_path / "new/a.bin").read_bytes() == BODY
    assert (tmp_path / "new/a.bin").stat().st_mode & 0o777 == 0o640
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (len(BODY), len(BODY), "B")
    assert len(server.requests) == 1


def test_a_target_that_cannot_be_written_is_named(
    http: HttpFileSystem, url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    found = failure_of(lambda: http.copy_from(url, tmp_path / "file" / "a"))
    assert str(tmp_path / "file") in str(found)


@pytest.mark.parametrize("way", ["plain", "dated", "weak"])
def test_the_cache_asks_one_question(server: Any, way: str) -> None:
    server.put("file.bin", BODY)
    uri = f"{server.url}/{way}/file.bin"
    files = Kernel().files
    first = files.local_path(uri)
    assert first.read_bytes() == BODY
    assert [code for code in server.codes if code != 304] == [200]
    assert files.local_path(uri) == first
    assert server.codes == [200, 304]
    server.put("file.bin", BODY[::-1])
    assert files.local_path(uri).read_bytes() == BODY[::-1]
    assert server.codes == [200, 304, 200]
    assert str(first).startswith(os.environ["RV_CACHE_DIR"])


def test_a_file_changed_within_the_second_is_not_taken_for_the_old_one(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    """The server has no etags, and its clock ticks once a second."""
    server.put("file.txt", b"one")
    now = time.time()
    os.utime(server.files / "file.txt", (now, now))
    uri = f"{server.url}/dated/file.txt"
    known = http.copy_if_changed(uri, tmp_path / "a", None)
    (server.files / "file.txt").write_bytes(b"two")
    os.utime(server.files / "file.txt", (now, now))
    assert http.copy_if_changed(uri, tmp_path / "a", known) is not None
    assert (tmp_path / "a").read_bytes() == b"two"


def test_the_kernel_asks_one_object_for_all_urls(server: Any) -> None:
    kernel = Kernel()
    first = kernel.filesystem(f"{server.url}/a")
    assert kernel.filesystem("https://host/b") is first
    assert Kernel().filesystem(f"{server.url}/a") is not first


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"refuse_privat": True}, "did you mean 'refuse_private'"),
        ({"connect_timeout": 0}, "more than 0"),
        ({"ca_bundle": "/no/such/file"}, "/no/such/file"),
        ({"hosts": {"example.com": "HUSH"}}, "mapping"),
        ({"hosts": {"example.com": {"pasword": "HUSH"}}}, "did you mean 'password'"),
        ({"hosts": {"example.com": {"password": "HUSH"}}}, "username"),
        ({"hosts": {"example.com": {"token": "HUSH", "username": "HUSH"}}}, "either"),
        ({"hosts": {"example.com": {"token": "HU\nSH"}}}, "characters"),
        ({"hosts": {"https://example.com/": {"token": "HUSH"}}}, "no host"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    kernel = Kernel(config={"http": settings})
    with pytest.raises(ConfigError) as caught:
        kernel.files.read_bytes("http://127.0.0.1:9/x")
    assert said in f"{caught.value} {caught.value.hint}"
    assert "HUSH" not in "".join(traceback.format_exception(caught.value))


def test_a_setting_shows_no_secret() -> None:
    settings = HttpSettings(
        proxy="http://me:HUSH@proxy:3128", hosts={"example.com": {"token": "HUSH"}}
    )
    assert "HUSH" not in repr(settings)
    assert "HUSH" not in repr(HttpFileSystem(settings))


def test_many_threads_share_the_connections(http: HttpFileSystem, server: Any) -> None:
    server.put("file.bin", BODY)
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(http.read_bytes, [f"{server.url}/plain/file.bin"] * 64))
    assert all(body == BODY for body in bodies)
    assert server.connections <= 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(http: HttpFileSystem, server: Any) -> None:
    server.put("file.bin", BODY)
    uri = f"{server.url}/plain/file.bin"
    with http.open(uri) as stream:  # a connection in use, and one that waits
        assert stream.read(1000) == BODY[:1000]
        assert http.read_bytes(uri) == BODY

        def child() -> None:
            os._exit(0 if http.read_bytes(uri) == BODY else 1)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert stream.read() == BODY[1000:]
    assert http.read_bytes(uri) == BODY


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_the_file(server: Any, tmp_path: Path) -> None:
    (server.files / "huge").touch()
    os.truncate(server.files / "huge", 100 * 2**20)
    code = """
        import re, sys
        from pathlib import Path
        from rv_fs_http import HttpFileSystem
        def peak():  # what resource tells begins with the peak of the process that started this one
            return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
        fs = HttpFileSystem()
        fs.info(sys.argv[1])
        before = peak()
        fs.copy_from(sys.argv[1], sys.argv[2])
        print((peak() - before) // 1024)
    """
    done = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(code)),
            *(f"{server.url}/plain/huge", str(tmp_path / "huge")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "huge").stat().st_size == 100 * 2**20
    assert int(done.stdout) < 20  # MB, of a file of 100


def test_a_little_that_unpacks_to_much_is_read_in_constant_memory(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    import tracemalloc

    (server.files / "huge").touch()
    os.truncate(server.files / "huge", 50 * 2**20)
    proxy.fail(Gzip(), times=None)
    tracemalloc.start()
    try:
        with http.open(f"{proxy.url}/plain/huge") as stream:
            assert sum(map(len, iter(lambda: stream.read(1 << 20), b""))) == 50 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_importing_the_plugin_imports_no_requests() -> None:
    code = "import sys, rv_fs_http, rv_fs_http.plugin; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_date_that_is_told_in_any_zone_is_the_same_time(
    http: HttpFileSystem, proxy: FaultProxy, url: str
) -> None:
    proxy.fail(SetHeaders({"Last-Modified": "Wed, 21 Oct 2015 09:28:00 +0200"}))
    assert http.info(url).last_modified == datetime(2015, 10, 21, 7, 28, tzinfo=UTC)
