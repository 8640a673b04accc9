"""Which requests are made, and what their answers are taken for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import (
    Before,
    DropHeaders,
    DropRequestHeaders,
    FaultProxy,
    SetHeaders,
    Status,
    Truncate,
)

from rv_core import (
    AccessDeniedError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TransferError,
)
from rv_fs_s3 import S3FileSystem

MIB = 1 << 20
MakeFS = Callable[..., S3FileSystem]


def asked(proxy: FaultProxy) -> list[str]:
    """What was asked for: methods, and what kind of listing."""
    found = []
    for request in proxy.requests:
        kind = request.method
        if "list-type=2" in request.path:
            kind = "LIST 1" if "max-keys=1" in request.path else "LIST"
        elif request.headers["range"]:
            kind = f"GET {request.headers['range'].removeprefix('bytes=')}"
        elif "?delete" in request.path:
            kind = "DELETE MANY"
        found.append(kind)
    return found


# Single objects.


def test_reading_a_small_object_is_one_request(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    s3.write_bytes(f"{folder}/x", b"x")
    faulty.read_bytes(f"{folder}/x")
    with faulty.open(f"{folder}/x") as stream:
        stream.read()
    assert asked(proxy) == ["GET", "GET"]


def test_writing_a_small_object_is_one_request(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    faulty.write_bytes(f"{folder}/x", b"x")
    faulty.copy_to(tmp_path / "x", f"{folder}/x")
    assert asked(proxy) == ["PUT", "PUT"]
    leave = [request.headers["expect"] for request in proxy.requests]
    assert leave == [None, None], "leave to send the body is asked for, which costs a round trip"


def test_leave_is_asked_for_before_a_large_body_is_sent(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    faulty.write_bytes(f"{folder}/x", bytes(2 * MIB))
    assert [request.headers["expect"] for request in proxy.requests] == ["100-continue"]


def test_a_large_object_comes_in_ranges_of_one_version(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", bytes(33 * MIB))
    info = faulty.copy_from(f"{folder}/x", tmp_path / "x")
    parts = [request for request in proxy.requests if request.method == "GET"]
    assert sorted(asked(proxy)) == [
        f"GET 0-{16 * MIB - 1}",
        f"GET {16 * MIB}-{32 * MIB - 1}",
        f"GET {32 * MIB}-{33 * MIB - 1}",
        "HEAD",
    ]
    assert parts[0].headers["if-match"] is None
    assert {request.headers["if-match"] for request in parts[1:]} == {info.etag}


def test_an_empty_object_has_no_ranges(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", b"")
    assert faulty.copy_from(f"{folder}/x", tmp_path / "x").size == 0
    assert (tmp_path / "x").read_bytes() == b""
    proxy.fail(Status(405), times=None, method="HEAD")
    assert faulty.info(f"{folder}/x").size == 0


def test_what_is_current_is_not_sent_again(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", b"one")
    known = faulty.copy_if_changed(f"{folder}/x", tmp_path / "x", None)
    proxy.heal()
    assert faulty.copy_if_changed(f"{folder}/x", tmp_path / "x", known) is None
    assert asked(proxy) == ["GET"]
    assert proxy.requests[0].status == 304
    s3.write_bytes(f"{folder}/x", b"two")
    assert faulty.copy_if_changed(f"{folder}/x", tmp_path / "x", known) is not None
    assert (tmp_path / "x").read_bytes() == b"two"
    assert asked(proxy) == ["GET", "GET"]


@pytest.mark.parametrize("code", [400, 405, 501])
def test_a_head_that_is_refused_is_asked_by_a_get(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, code: int
) -> None:
    s3.write_bytes(f"{folder}/x", b"12345")
    proxy.fail(Status(code), times=None, method="HEAD")
    assert faulty.info(f"{folder}/x") == s3.info(f"{folder}/x")
    assert faulty.file_exists(f"{folder}/x")
    with pytest.raises(NotFoundError):
        faulty.info(f"{folder}/missing")


def test_a_head_that_is_forbidden_never_means_no(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    proxy.fail(Status(403), times=None, method="HEAD")
    for ask in (
        lambda: faulty.info(f"{folder}/x"),
        lambda: faulty.file_exists(f"{folder}/x"),
        lambda: faulty.delete(f"{folder}/x"),
        lambda: faulty.open(f"{folder}/x", "xb"),
    ):
        with pytest.raises(AccessDeniedError):
            ask()


def test_existence_is_a_head_and_then_a_listing_of_one(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    s3.write_bytes(f"{folder}/bush/x", b"x")
    assert faulty.file_exists(f"{folder}/bush/x")
    assert asked(proxy) == ["HEAD"]
    proxy.heal()
    assert faulty.file_exists(f"{folder}/bush")
    assert not faulty.file_exists(f"{folder}/bus")
    assert asked(proxy) == ["HEAD", "LIST 1"] * 2
    assert "bus%2F" in proxy.requests[3].path
    proxy.heal()
    assert not faulty.file_exists(f"{folder}/bush", include_dir=False)
    assert asked(proxy) == ["HEAD"]
    proxy.heal()
    assert faulty.file_exists("s3://imagery")
    assert asked(proxy) == ["LIST 1"]


def test_a_listing_that_is_forbidden_never_means_no(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    proxy.fail(Status(403), times=None, path="list-type")
    with pytest.raises(AccessDeniedError):
        faulty.file_exists(f"{folder}/x")
    with pytest.raises(AccessDeniedError):
        list(faulty.list_paths(folder))


def test_a_bucket_that_is_not_there_is_told(s3: S3FileSystem, tmp_path: Path) -> None:
    assert not s3.file_exists("s3://no-such-bucket/x")
    assert not s3.file_exists("s3://no-such-bucket")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_bytes(b"mine")
    for ask in (
        lambda: s3.read_bytes("s3://no-such-bucket/x"),
        lambda: list(s3.list_paths("s3://no-such-bucket/x")),
        lambda: s3.write_bytes("s3://no-such-bucket/x", b"x"),
        lambda: s3.sync_from_dir("s3://no-such-bucket", tmp_path / "here", delete=True),
    ):
        with pytest.raises(NotFoundError, match="no such bucket"):
            ask()
    assert (tmp_path / "here" / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://user:HUSH@imagery/x"])
def test_a_uri_without_a_bucket_is_told(s3: S3FileSystem, uri: str) -> None:
    with pytest.raises(StorageError, match="names no bucket") as caught:
        s3.read_bytes(uri)
    assert "HUSH" not in str(caught.value)


def test_a_bucket_is_no_file(s3: S3FileSystem, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    for uri in ("s3://imagery", "s3://imagery/"):
        with pytest.raises(NotFoundError, match="it is a bucket"):
            s3.read_bytes(uri)
        for ask in (
            lambda uri=uri: s3.write_bytes(uri, b"x"),
            lambda uri=uri: s3.copy_to(tmp_path / "x", uri),
        ):
            with pytest.raises(StorageError, match="it is a bucket"):
                ask()


@pytest.mark.parametrize(
    "answer",
    [
        Status(301, {"x-amz-bucket-region": "eu-north-1"}),
        Status(400, body=b"<Error><Code>AuthorizationHeaderMalformed</Code>"
        b"<Region>eu-north-1</Region></Error>"),
    ],
    ids=["moved", "signed for another region"],
)  # fmt: skip
def test_a_bucket_in_another_region_is_found_or_its_region_told(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, answer: Status
) -> None:
    s3.write_bytes(f"{folder}/x", b"x")
    proxy.fail(answer, when=lambda request: "us-east-1" in request.headers["authorization"])
    assert faulty.read_bytes(f"{folder}/x") == b"x"
    assert "eu-north-1" in proxy.requests[-1].headers["authorization"]
    proxy.fail(answer, times=None)
    with pytest.raises(StorageError, match="region eu-north-1") as caught:
        faulty.read_bytes(f"{folder}/x")
    assert 'region = "eu-north-1"' in str(caught.value.hint)


@pytest.mark.parametrize(
    "said", ["bytes 1-16777216/17825792", "bytes 0-99/17825792", "bytes */17825792", "nonsense"]
)
def test_a_range_that_is_not_the_one_asked_for_is_an_error(
    faulty: S3FileSystem,
    s3: S3FileSystem,
    proxy: FaultProxy,
    folder: str,
    tmp_path: Path,
    said: str,
) -> None:
    s3.write_bytes(f"{folder}/x", bytes(17 * MIB))
    proxy.fail(SetHeaders({"Content-Range": said}), times=None, method="GET")
    with pytest.raises(IntegrityError):
        faulty.copy_from(f"{folder}/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_range_of_an_object_of_unknown_size_is_one(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", b"12345")
    proxy.fail(SetHeaders({"Content-Range": "bytes 0-4/*"}), times=None, method="GET")
    faulty.copy_from(f"{folder}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"12345"


def test_a_server_that_does_not_look_at_conditions_is_seen_through(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", b"1" * 17 * MIB)
    proxy.fail(DropRequestHeaders("If-Match"), times=None)
    replace = Before(lambda: s3.write_bytes(f"{folder}/x", b"2" * 17 * MIB))
    proxy.fail(replace, after=1, method="GET")
    faulty.copy_from(f"{folder}/x", tmp_path / "x")
    assert set((tmp_path / "x").read_bytes()) == {ord("2")}


def test_a_server_without_etags_is_asked_for_size_and_time(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/x", b"1" * 17 * MIB)
    proxy.fail(DropHeaders("ETag"), times=None)
    replace = Before(lambda: s3.write_bytes(f"{folder}/x", b"2" * 18 * MIB))
    proxy.fail(replace, after=1, method="GET")
    info = faulty.copy_from(f"{folder}/x", tmp_path / "x")
    assert info.etag is None
    assert set((tmp_path / "x").read_bytes()) == {ord("2")}


def test_an_archived_object_is_told(faulty: S3FileSystem, proxy: FaultProxy, folder: str) -> None:
    proxy.fail(Status(403, body=b"<Error><Code>InvalidObjectState</Code></Error>"), times=None)
    with pytest.raises(AccessDeniedError, match="archived") as caught:
        faulty.read_bytes(f"{folder}/x")
    assert "restore" in str(caught.value.hint)


def test_an_old_server_that_knows_no_checksums_is_told(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    proxy.fail(Status(501, body=b"<Error><Code>NotImplemented</Code></Error>"), times=None)
    with pytest.raises(StorageError) as caught:
        faulty.write_bytes(f"{folder}/x", b"x")
    assert "checksums = false" in str(caught.value.hint)


# Folders.


def test_syncing_small_files_costs_a_request_each(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    for n in range(20):
        (tmp_path / "up" / f"{n}").mkdir(parents=True)
        (tmp_path / "up" / f"{n}" / "file").write_bytes(b"%d" % n)
    faulty.sync_to_dir(tmp_path / "up", folder)
    assert sorted(asked(proxy)) == ["LIST", *["PUT"] * 20]
    proxy.heal()
    faulty.sync_from_dir(folder, tmp_path / "down")
    assert sorted(asked(proxy)) == [*["GET"] * 20, "LIST"]
    proxy.heal()
    faulty.sync_from_dir(folder, tmp_path / "down", delete=True)
    faulty.sync_to_dir(tmp_path / "down", folder, delete=True)
    faulty.sync_to_dir(tmp_path / "up", folder, delete=True)
    assert asked(proxy) == ["LIST"] * 3


@pytest.fixture
def many(server: Any, folder: str) -> list[str]:
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    names = [f"{n % 3}/{n:04}" for n in range(205)]
    for name in names:
        server.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"")
    return sorted(names)


@pytest.mark.slow
def test_the_second_page_of_a_listing_counts(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, many: list[str], tmp_path: Path
) -> None:
    second = proxy.fail(Status(503), times=3, path="continuation-token")
    assert [faulty.name_below(folder, uri) for uri in faulty.list_paths(folder)] == many
    assert second.hits == 3
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_bytes(b"mine")
    for answer, kind in (
        (Status(403), AccessDeniedError),
        (Status(200), StorageError),
        (Status(200, body=b"<ListBucketResult></ListBucketResult>"), StorageError),
        (Truncate(1000), TransferError),
    ):
        proxy.heal()
        proxy.fail(answer, times=None, path="continuation-token")
        with pytest.raises(kind):
            faulty.sync_from_dir(folder, tmp_path / "here", delete=True)
        assert [path.name for path in (tmp_path / "here").iterdir()] == ["mine"]
    proxy.heal()
    faulty.delete(folder)
    assert asked(proxy).count("DELETE MANY") == 1
    assert not faulty.file_exists(folder)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Please log in</body></html>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</Is",
    ],
    ids=["nothing", "a web page", "no way on", "half"],
)
def test_what_is_no_listing_is_no_empty_folder(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, body: bytes
) -> None:
    proxy.fail(Status(200, body=body), times=None)
    faulty._client.retries = type(faulty._client.retries)(attempts=2)
    with pytest.raises(StorageError):
        list(faulty.list_paths(folder))


def test_an_object_that_stands_for_a_folder_is_listed_but_not_synced(
    s3: S3FileSystem, folder: str, tmp_path: Path
) -> None:
    s3.write_bytes(f"{folder}/", b"")
    s3.write_bytes(f"{folder}/sub/", b"")
    s3.write_bytes(f"{folder}/sub/file", b"x")
    assert sorted(s3.list_paths(folder)) == [
        f"{folder}/",
        f"{folder}/sub/",
        f"{folder}/sub/file",
    ]
    assert s3.read_bytes(f"{folder}/sub/") == b""
    s3.sync_from_dir(folder, tmp_path / "down", delete=True)
    assert [path.name for path in (tmp_path / "down").rglob("*")] == ["sub", "file"]
    s3.delete(f"{folder}/")
    assert not s3.file_exists(f"{folder}/", include_dir=False)
    s3.delete(folder)
    assert not s3.file_exists(folder)


def test_hostile_keys_are_refused_one_by_one(
    s3: S3FileSystem, server: Any, folder: str, tmp_path: Path
) -> None:
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    hostile = ["../../escaped", "a/../../../escaped", "/etc/passwd", "a//b", "back\\slash", "."]
    for name in [*hostile, "good/file"]:
        server.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"evil")
    with pytest.raises(StorageError) as caught:
        s3.sync_from_dir(folder, tmp_path / "a" / "b" / "down", delete=True)
    assert "6 name(s)" in str(caught.value)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and "b/down" in p.as_posix()] == [
        tmp_path / "a" / "b" / "down" / "good" / "file"
    ]
    assert not list(tmp_path.rglob("escaped"))


# Deleting.


def test_many_are_deleted_with_one_request(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    uris = [f"{folder}/{n} <&>#?é" for n in range(50)]
    for uri in uris:
        s3.write_bytes(uri, b"x")
    faulty.delete_files([*uris, f"{folder}/gone"])
    assert asked(proxy) == ["DELETE MANY"]
    assert proxy.requests[0].headers["content-md5"], "older servers insist on it"
    assert list(s3.list_paths(folder)) == []


def test_keys_that_xml_cannot_hold_are_deleted_one_by_one(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    for name in ("a\x01b", "c\uffffd", "plain"):
        s3.write_bytes(f"{folder}/{name}", b"x")
    assert len(list(s3.list_paths(folder))) == 3
    faulty.delete_files([f"{folder}/a\x01b", f"{folder}/plain", f"{folder}/c\uffffd"])
    assert sorted(asked(proxy)) == ["DELETE", "DELETE", "DELETE MANY"]
    assert list(s3.list_paths(folder)) == []


def result(*errors: tuple[str, str]) -> bytes:
    said = "".join(f"<Error><Key>{key}</Key><Code>{code}</Code></Error>" for key, code in errors)
    return f"<DeleteResult>{said}</DeleteResult>".encode()


def test_what_the_server_would_not_delete_is_an_error(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    uris = [f"{folder}/{n}" for n in range(3)]
    denied = result(("a", "AccessDenied"), ("b", "AccessDenied"))
    proxy.fail(Status(200, body=denied), method="POST")
    with pytest.raises(AccessDeniedError, match="s3://imagery/a and 1 more"):
        faulty.delete_files(uris)
    proxy.fail(Status(200, body=result(("a", "MalformedSomething"))), method="POST")
    with pytest.raises(StorageError, match="MalformedSomething"):
        faulty.delete_files(uris)
    proxy.heal()
    again = proxy.fail(
        Status(200, body=result(("a", "InternalError"), ("b", "SlowDown"))), times=2, method="POST"
    )
    faulty.delete_files(uris)
    assert again.hits == 2
    proxy.fail(Status(200, body=result(("a", "NoSuchKey"))), method="POST")
    faulty.delete_files(uris)


@pytest.mark.parametrize("code", [405, 501])
def test_a_server_that_deletes_one_at_a_time_only_is_obeyed(
    faulty: S3FileSystem, s3: S3FileSystem, proxy: FaultProxy, folder: str, code: int
) -> None:
    uris = [f"{folder}/{n}" for n in range(20)]
    for uri in uris:
        s3.write_bytes(uri, b"x")
    proxy.fail(Status(code), times=None, method="POST")
    faulty.delete(folder)
    assert list(s3.list_paths(folder)) == []
