"""What arrives damaged is noticed, whatever kind of checksum the server keeps of it."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import Before, FaultProxy, FlipByte, SetHeaders, Status

from rv_core import IntegrityError
from rv_fs_s3 import S3FileSystem

MIB = 1 << 20
ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
DATA = random.Random(0).randbytes(24 * MIB)
LONG = DATA + DATA[: 9 * MIB]
slow = pytest.mark.slow
Made = tuple[str, bytes]
Make = Callable[..., Made]


def some(values: list[str]) -> list[Any]:
    """Values that take their time."""
    return [pytest.param(value, marks=slow) for value in values]


@pytest.fixture
def make(server: Any, folder: str) -> Make:
    """Makes an object as another program might, and returns its URI and its content."""

    def make(size: int, algorithm: str | None, parts: list[int] | None, kind: str = "") -> Made:
        bucket, _, key = f"{folder}/object".removeprefix("s3://").partition("/")
        where = {"Bucket": bucket, "Key": key}
        data = DATA[:size]
        given = {"ChecksumAlgorithm": algorithm} if algorithm else {}
        if parts is None:
            server.put_object(**where, Body=data, **given)
            return f"{folder}/object", data
        begun = {**given, "ChecksumType": kind} if kind else given
        where["UploadId"] = server.create_multipart_upload(**where, **begun)["UploadId"]
        done, start = [], 0
        for number, length in enumerate(parts, 1):
            piece = data[start : start + length]
            tag = server.upload_part(**where, PartNumber=number, Body=piece, **given)["ETag"]
            done.append({"PartNumber": number, "ETag": tag})
            start += length
        server.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
        return f"{folder}/object", data

    return make


def comes_whole(fs: S3FileSystem, made: Made, target: Path) -> None:
    uri, data = made
    fs.copy_from(uri, target)
    assert target.read_bytes() == data
    assert fs.read_bytes(uri) == data


def comes_damaged(fs: S3FileSystem, proxy: FaultProxy, made: Made, target: Path, at: int) -> None:
    target.write_bytes(b"old")
    flipped = proxy.fail(FlipByte(at), times=None, method="GET", path="object")
    with pytest.raises(IntegrityError, match="damaged"):
        fs.copy_from(made[0], target)
    assert flipped.hits
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [1000, pytest.param(24 * MIB, marks=slow)])
def test_an_object_that_was_put_at_once(
    faulty: S3FileSystem,
    proxy: FaultProxy,
    make: Make,
    tmp_path: Path,
    algorithm: str,
    size: int,
) -> None:
    made = make(size, algorithm, None)
    comes_whole(faulty, made, tmp_path / "down")
    comes_damaged(faulty, proxy, made, tmp_path / "down", 500)


@pytest.mark.parametrize("algorithm", [*some(["CRC32", "CRC32C"]), "CRC64NVME"])
def test_an_object_of_parts_with_a_checksum_of_the_whole(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path, algorithm: str
) -> None:
    made = make(17 * MIB, algorithm, [6 * MIB, 6 * MIB, 5 * MIB], "FULL_OBJECT")
    comes_whole(faulty, made, tmp_path / "down")
    comes_damaged(faulty, proxy, made, tmp_path / "down", 500)


@pytest.mark.parametrize("algorithm", ["CRC32", *some(["CRC32C", "SHA1", "SHA256"])])
def test_an_object_of_parts_with_a_checksum_of_their_checksums(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path, algorithm: str
) -> None:
    made = make(17 * MIB, algorithm, [6 * MIB, 6 * MIB, 5 * MIB], "COMPOSITE")
    comes_whole(faulty, made, tmp_path / "down")
    comes_damaged(faulty, proxy, made, tmp_path / "down", 500)


def test_a_small_object_of_one_part(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path
) -> None:
    made = make(1000, "SHA256", [1000], "COMPOSITE")
    comes_whole(faulty, made, tmp_path / "down")
    comes_damaged(faulty, proxy, made, tmp_path / "down", 500)


@pytest.mark.parametrize("sizes", [[6, 5, 9], [6, 5, 6]], ids=str)
def test_parts_of_different_sizes_are_asked_for(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path, sizes: list[int]
) -> None:
    """The latter look as if they were of one size, and the last one shorter."""
    made = make(sum(sizes) * MIB, "CRC32", [size * MIB for size in sizes], "COMPOSITE")
    comes_whole(faulty, made, tmp_path / "down")
    comes_damaged(faulty, proxy, made, tmp_path / "down", 500)


@pytest.mark.parametrize("code", [403, pytest.param(501, marks=slow)])
def test_a_checksum_that_cannot_be_computed_is_no_error(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path, code: int
) -> None:
    made = make(20 * MIB, "CRC32", [6 * MIB, 5 * MIB, 9 * MIB], "COMPOSITE")
    proxy.fail(Status(code), times=None, path="partNumber")
    comes_whole(faulty, made, tmp_path / "down")


@slow
@pytest.mark.parametrize("code", [403, 405])
def test_a_checksum_that_may_not_be_asked_for_is_no_error(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path, code: int
) -> None:
    proxy.fail(Status(code), times=None, method="HEAD")
    comes_whole(faulty, make(24 * MIB, "CRC32", None), tmp_path / "down")


@slow
def test_an_object_that_is_replaced_before_its_checksum_is_asked_for_comes_anew(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path
) -> None:
    uri, _ = make(24 * MIB, "CRC32", None)
    replaced = proxy.fail(Before(lambda: make(20 * MIB, "CRC32", None)), method="HEAD")
    faulty.copy_from(uri, tmp_path / "down")
    assert replaced.hits == 1
    assert (tmp_path / "down").read_bytes() == DATA[: 20 * MIB]


@slow
def test_an_object_without_a_checksum_comes_unverified(
    faulty: S3FileSystem, make: Make, tmp_path: Path
) -> None:
    comes_whole(faulty, make(24 * MIB, None, None), tmp_path / "down")


def test_checksums_can_be_switched_off(
    make_fs: Callable[..., S3FileSystem],
    proxy: FaultProxy,
    make: Make,
    folder: str,
    tmp_path: Path,
) -> None:
    fs = make_fs(endpoint_url=proxy.url, checksums=False)
    comes_whole(fs, make(24 * MIB, "CRC32", None), tmp_path / "down")
    fs.write_bytes(f"{folder}/small", b"123")
    (tmp_path / "up").write_bytes(LONG)
    fs.copy_to(tmp_path / "up", f"{folder}/large")
    assert fs.read_bytes(f"{folder}/large") == LONG
    fs.delete_files([f"{folder}/small", f"{folder}/large"])
    for request in proxy.requests:
        named = {name.lower() for name in request.headers}
        if request.method != "POST":  # deleting asks for one by the protocol
            assert not [name for name in named if name.startswith("x-amz-checksum")]
        if request.method == "PUT":
            assert "content-md5" in named


def test_what_is_sent_goes_with_a_checksum(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    faulty.write_bytes(f"{folder}/small", b"123456789")
    (put,) = proxy.requests
    # The check value of the algorithm: https://reveng.sourceforge.io/crc-catalogue/
    check = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    assert put.headers["x-amz-checksum-crc64nvme"] == check


@pytest.mark.parametrize("stream", [False, True], ids=["bytes", "stream"])
def test_reading_in_order_is_verified_at_its_end(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, stream: bool
) -> None:
    uri, data = make(3 * MIB, "CRC64NVME", None)
    proxy.fail(FlipByte(2 * MIB), times=None, method="GET", path="object")
    with pytest.raises(IntegrityError, match="damaged"):
        if stream:
            with faulty.open(uri) as source:
                while source.read(100_000):
                    pass
        else:
            faulty.read_bytes(uri)
    with faulty.open(uri) as source:  # of a part there is no checksum
        assert source.read(MIB) == data[:MIB]
        source.seek(2 * MIB + 1)
        assert source.read(10) == data[2 * MIB + 1 : 2 * MIB + 11]


def test_a_checksum_that_the_server_makes_up_is_an_error(
    faulty: S3FileSystem, proxy: FaultProxy, make: Make, tmp_path: Path
) -> None:
    wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
    uri, _ = make(1000, "CRC32", None)
    proxy.fail(SetHeaders({"x-amz-checksum-crc32": wrong}), times=None)
    with pytest.raises(IntegrityError, match="CRC32"):
        faulty.copy_from(uri, tmp_path / "down")


def test_an_upload_that_the_server_got_damaged_is_an_error(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    wrong = base64.b64encode(b"otherCRC").decode()
    proxy.fail(SetHeaders({"x-amz-checksum-crc64nvme": wrong}), times=None, method="PUT")
    with pytest.raises(IntegrityError):
        faulty.write_bytes(f"{folder}/x", b"x")
