"""What the answers of servers are taken for, odd ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rv_core.testing import FaultProxy, Status

from rv_core import AccessDeniedError, StorageError
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
