"""Files in pieces: of one version, no more requests than needed, and never the wrong bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import (
    Before,
    DropHeaders,
    DropRequestHeaders,
    FaultProxy,
    Gzip,
    Request,
    Reset,
    SetHeaders,
    Status,
)

from rv_core import StorageError, TransferError
from rv_fs_http import HttpFileSystem

BODY = bytes(range(256)) * 4096
OTHER = BODY[::-1]
MakeHttp = Callable[..., HttpFileSystem]


@pytest.fixture
def url(server: Any, proxy: FaultProxy) -> str:
    server.put("file.bin", BODY)
    return f"{proxy.url}/plain/file.bin"


def ranged(request: Request) -> bool:
    return request.headers["Range"] is not None


def asked(proxy: FaultProxy, name: str) -> list[str | None]:
    return [request.headers[name] for request in proxy.requests]


def test_a_file_read_in_order_is_asked_for_once(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    assert http.read_bytes(url) == BODY
    with http.open(url) as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == BODY
    http.copy_from(url, tmp_path / "x")
    assert asked(proxy, "Range") == [None] * 3


def test_a_reader_who_jumps_gets_what_he_needs(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    """As those do who read the header of a raster, and one tile of it."""
    server.put("big.tif", BODY * 24)
    with http.open(f"{proxy.url}/plain/big.tif") as stream:
        assert stream.read(16) == BODY[:16]
        stream.seek(-300, os.SEEK_END)
        assert stream.read() == BODY[-300:]
        stream.seek(10 << 20)
        assert stream.read(100) == BODY[:100]
    assert len(proxy.requests) == 3
    assert asked(proxy, "Range")[0] is None
    assert set(asked(proxy, "If-Range")[1:]) == {server.tags["big.tif"]}


@pytest.mark.parametrize(
    ("way", "resumes"), [("plain", True), ("dated", True), ("weak", False), ("bare", False)]
)
def test_a_broken_download_goes_on_at_its_byte_where_versions_are_told_apart(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path, way: str, resumes: bool
) -> None:
    proxy.fail(Reset(500_000))
    http.copy_from(url.replace("plain", way), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    assert asked(proxy, "Range") == [None, "bytes=500000-1048575" if resumes else None]
    assert (asked(proxy, "If-Range")[1] is not None) == resumes


def test_a_time_too_young_to_tell_versions_apart_is_not_relied_on(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    now = time.time() - 2
    os.utime(server.files / "file.bin", (now, now))

    def replace() -> None:
        """Within the second, and of the same size."""
        (server.files / "file.bin").write_bytes(OTHER)
        os.utime(server.files / "file.bin", (now, now))

    proxy.fail(Reset(500_000))
    proxy.fail(Before(replace), after=1)
    http.copy_from(url.replace("plain", "dated"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OTHER


@pytest.mark.parametrize(
    "change",
    [
        [SetHeaders({"Content-Range": "bytes 500001-1048575/1048576"})],
        [SetHeaders({"Content-Range": "bytes 500000-1048574/1048576"})],
        [SetHeaders({"Content-Range": "bytes 500000-1048575/1048577"})],
        [SetHeaders({"Content-Range": "lines 5-6/7"})],
        [DropHeaders("Content-Range")],
        [SetHeaders({"ETag": '"another"'})],
        [DropHeaders("ETag")],
        [SetHeaders({"Content-Encoding": "gzip"})],
        [Gzip()],
        [Status(416, {"Content-Range": "bytes */1048576"})],
        [Status(416, {"Content-Range": "bytes */100"})],
        [Status(206, {"Content-Range": "bytes 500000-1048575/1048576", "ETag": '"v0"'}, b"short")],
    ],
    ids=str,
)
def test_a_range_that_is_not_the_one_asked_for_is_never_taken_for_it(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path, change: list[Any]
) -> None:
    target = tmp_path / "here" / "x"
    target.parent.mkdir()
    target.write_bytes(b"old")
    proxy.fail(Reset(500_000), times=None, when=lambda request: not ranged(request))
    for fault in change:
        proxy.fail(fault, times=None, when=ranged)
    with pytest.raises(StorageError):
        http.copy_from(url, target)
    assert [path.read_bytes() for path in target.parent.iterdir()] == [b"old"]


def test_a_server_that_sends_ranges_of_whatever_it_has_is_found_out(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    """It looks at Range, and not at If-Range."""
    proxy.fail(DropRequestHeaders("If-Range"), times=None)
    proxy.fail(Reset(500_000))
    proxy.fail(Before(lambda: server.put("file.bin", OTHER)), after=1)
    http.copy_from(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OTHER


def test_a_range_of_a_file_whose_size_is_not_told_is_good_for_going_on(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    proxy.fail(Reset(500_000))
    proxy.fail(SetHeaders({"Content-Range": "bytes 500000-1048575/*"}), when=ranged)
    http.copy_from(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    assert asked(proxy, "Range") == [None, "bytes=500000-1048575"]


def test_the_length_of_a_part_is_not_taken_for_the_size(
    http: HttpFileSystem, proxy: FaultProxy, url: str
) -> None:
    proxy.fail(SetHeaders({"Content-Range": "bytes 0-0/*"}), when=ranged)
    assert http.info(url).size == len(BODY)


def test_a_stream_never_mixes_versions(http: HttpFileSystem, server: Any, url: str) -> None:
    server.put("file.bin", BODY * 4)
    with http.open(url) as stream:
        assert stream.read(100) == BODY[:100]
        server.put("file.bin", OTHER * 4)
        stream.seek(3 << 20)
        with pytest.raises(StorageError, match="replaced"):
            stream.read(100)


def test_an_empty_file_is_a_file(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, tmp_path: Path
) -> None:
    server.put("empty", b"")
    for way in ("plain", "dated", "bare", "whole"):
        url = f"{proxy.url}/{way}/empty"
        assert http.info(url).size == 0
        assert http.read_bytes(url) == b""
        with http.open(url) as stream:
            assert stream.read() == b""
        http.copy_from(url, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == b""
    proxy.fail(Status(416, {"Content-Range": "bytes */0"}))
    assert http.info(f"{proxy.url}/plain/empty").size == 0
    proxy.fail(Status(416))
    assert http.info(f"{proxy.url}/plain/empty").size == 0


def large(server: Any, megabytes: int = 66) -> bytes:
    data = b"".join(n.to_bytes(4, "big") * (1 << 18) for n in range(megabytes))
    server.put("large.bin", data)
    return data


@pytest.mark.slow
def test_a_large_file_over_slow_connections_comes_by_several(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    data = large(server)
    http.copy_from(f"{server.url}/slow/large.bin", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == data
    assert 2 < server.connections <= 8
    first, *others = server.requests
    assert first[2]["Range"] is None
    assert {headers["If-Range"] for _, _, headers in others} == {server.tags["large.bin"]}


def test_a_large_file_over_a_fast_connection_comes_by_one(
    http: HttpFileSystem, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rv_fs_http._source.SPLIT_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("rv_fs_http._source.SPLIT_IF_SECONDS_LEFT", 0.0)
    # A machine that is busy may not reach the real one.
    monkeypatch.setattr("rv_fs_http._source.SPLIT_BELOW_BYTES_PER_SECOND", 1e4)
    data = large(server)
    http.copy_from(f"{server.url}/plain/large.bin", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == data
    assert len(server.requests) == 1


@pytest.mark.slow
def test_a_server_that_allows_one_connection_gives_the_file_over_one(
    http: HttpFileSystem, server: Any, tmp_path: Path
) -> None:
    data = large(server)
    http.copy_from(f"{server.url}/single/large.bin", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == data
    assert 503 in server.codes


@pytest.mark.slow
def test_a_large_file_that_is_replaced_while_several_read_it_is_of_one_version(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = large(server)
    new = data[::-1]
    proxy.fail(Before(lambda: server.put("large.bin", new)), after=3)
    http.copy_from(f"{proxy.url}/slow/large.bin", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == new


@pytest.mark.slow
def test_connections_can_be_restricted(make_http: MakeHttp, server: Any, tmp_path: Path) -> None:
    data = large(server)
    make_http(connections=1).copy_from(f"{server.url}/slow/large.bin", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == data
    assert len(server.requests) == 1


def test_a_download_that_was_redirected_goes_on_where_it_was(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    """One of several mirrors was chosen, whose versions may differ for a while."""
    proxy.fail(Status(302, {"Location": "/plain/file.bin?sig=1"}), times=None, path="/moved")
    proxy.fail(Reset(500_000), path="/plain")
    http.copy_from(f"{proxy.url}/moved", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    paths = [request.path for request in proxy.requests]
    assert paths == ["/moved", "/plain/file.bin?sig=1", "/plain/file.bin?sig=1"]


def test_a_signature_that_expires_meanwhile_is_had_anew(
    http: HttpFileSystem, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    proxy.fail(Status(302, {"Location": "/plain/file.bin?sig=1"}), path="/moved")
    proxy.fail(Status(302, {"Location": "/plain/file.bin?sig=2"}), path="/moved", after=1)
    proxy.fail(Reset(500_000), path="sig=1")
    proxy.fail(Status(403), path="sig=1", after=1, times=None)
    http.copy_from(f"{proxy.url}/moved", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    assert [request.path[-5:] for request in proxy.requests] == [
        "moved",
        "sig=1",
        "sig=1",
        "moved",
        "sig=2",
    ]


@pytest.mark.parametrize("way", ["plain", "weak", "dated"])
def test_whether_a_file_changed_is_one_question(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, url: str, tmp_path: Path, way: str
) -> None:
    uri = url.replace("plain", way)
    known = http.copy_if_changed(uri, tmp_path / "x", None)
    assert known is not None
    (tmp_path / "x").write_bytes(b"marked")
    assert http.copy_if_changed(uri, tmp_path / "x", known) is None
    # Also where the server sends the file all the same.
    proxy.fail(DropRequestHeaders("If-None-Match", "If-Modified-Since"))
    assert http.copy_if_changed(uri, tmp_path / "x", known) is None
    assert (tmp_path / "x").read_bytes() == b"marked"
    server.put("file.bin", OTHER)
    assert http.copy_if_changed(uri, tmp_path / "x", known) not in (None, known)
    assert (tmp_path / "x").read_bytes() == OTHER
    assert server.codes == [200, 304, 200, 200]
    assert len(proxy.requests) == 4


def test_a_question_that_breaks_is_asked_again(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    known = http.copy_if_changed(url, tmp_path / "x", None)
    proxy.fail(Status(503), times=2)
    assert http.copy_if_changed(url, tmp_path / "x", known) is None
    server.put("file.bin", OTHER)
    proxy.fail(Reset(500_000))
    assert http.copy_if_changed(url, tmp_path / "x", known) is not None
    assert (tmp_path / "x").read_bytes() == OTHER
    proxy.fail(Status(503), times=None)
    with pytest.raises(TransferError):
        http.copy_if_changed(url, tmp_path / "x", known)
