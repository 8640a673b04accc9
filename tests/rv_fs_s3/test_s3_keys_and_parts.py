"""Keys as they stand, and parts that suffice for the largest object."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
import rv_fs_s3._writer as writer
from hypothesis import given
from hypothesis import strategies as st
from rv_core.testing import FaultProxy, Status
from rv_fs_s3._locations import Location, locate
from rv_fs_s3._upload import MOST_PARTS, part_bytes

from rv_core import Progress, StorageError
from rv_fs_s3 import S3FileSystem

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
ACCESS_POINT = "arn:aws:s3:eu-north-1:123456789012:accesspoint"


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://imagery", "imagery", ""),
        ("s3://imagery/", "imagery", ""),
        ("s3://imagery//", "imagery", "/"),
        ("S3://imagery/a b#c?d%20e+f&g", "imagery", "a b#c?d%20e+f&g"),
        ("s3://imagery/a/../../b", "imagery", "a/../../b"),
        ("s3://imagery/C:\\x\\y.tif", "imagery", "C:\\x\\y.tif"),
        (f"s3://{ACCESS_POINT}/scenes/a/b", f"{ACCESS_POINT}/scenes", "a/b"),
        (f"s3://{ACCESS_POINT}:scenes/a/b", f"{ACCESS_POINT}:scenes", "a/b"),
        (f"s3://{ACCESS_POINT}/scenes", f"{ACCESS_POINT}/scenes", ""),
    ],
)
def test_a_uri_names_a_bucket_and_a_key(uri: str, bucket: str, key: str) -> None:
    assert locate(uri) == Location(bucket, key)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_character_of_a_key_survives(key: str) -> None:
    location = locate(f"s3://imagery/{key}")
    assert location.key == key
    assert locate(location.uri) == location
    assert "\n" not in location.shown


def test_what_is_no_text_is_no_key(s3: S3FileSystem) -> None:
    with pytest.raises(StorageError, match="not valid Unicode"):
        s3.read_bytes("s3://imagery/\udcff")


def test_a_signature_that_somebody_left_in_a_key_is_not_shown() -> None:
    shown = locate("s3://imagery/x?X-Amz-Credential=HUSH&X-Amz-Signature=HUSH").shown
    assert shown == "s3://imagery/x"


def test_keys_go_over_the_wire_encoded(faulty: S3FileSystem, proxy: FaultProxy) -> None:
    proxy.fail(Status(200), times=None)
    faulty.info("s3://imagery/a\tb\nc/../ü +%20?#.tif")
    assert proxy.requests[0].path == "/imagery/a%09b%0Ac/../%C3%BC%20%2B%2520%3F%23.tif"


def test_keys_are_listed_as_they_are(faulty: S3FileSystem, proxy: FaultProxy) -> None:
    body = (
        b"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>f/a%09b%0Ac%01+d%2Be%2520</Key><Size>3</Size><ETag>abc</ETag>"
        b"<LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents></ListBucketResult>"
    )
    proxy.fail(Status(200, body=body), times=None)
    (found,) = faulty.list_files("s3://imagery/f")
    assert found.name == "a\tb\nc\x01 d+e%20"
    assert found.uri == f"s3://imagery/f/{found.name}"
    assert found.info.etag == '"abc"', "as all other answers spell it"
    assert found.info.last_modified is not None
    assert found.info.last_modified.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("size", [32 * MIB + 1, GIB, 160 * GIB, 5 * TIB])
def test_parts_of_a_file_are_neither_too_many_nor_too_large(size: int) -> None:
    step = part_bytes(size)
    assert 16 * MIB <= step <= 5 * GIB
    assert -(-size // step) <= MOST_PARTS


def test_parts_of_a_stream_suffice_for_the_largest_object() -> None:
    sizes = [writer.streamed_part_bytes(number) for number in range(1, MOST_PARTS + 1)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 16 * MIB
    taken, total = 0, 0
    while total < 5 * TIB:
        total += sizes[taken]
        taken += 1
    assert max(sizes[:taken]) <= 5 * GIB
    assert sum(size for size in sizes if size <= writer.MEMORY_BYTES) > 46 * GIB


@pytest.mark.slow
def test_large_parts_of_a_stream_are_kept_on_disk(
    s3: S3FileSystem, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PARTS_OF_A_SIZE", 1)
    monkeypatch.setattr(writer, "MEMORY_BYTES", 16 * MIB)  # parts of 32 and 64 MiB are in files
    written = hashlib.sha256()
    with s3.open(f"{folder}/x", "wb") as stream:
        for _ in range(60):
            block = random.randbytes(MIB)
            written.update(block)
            assert stream.write(block) == MIB
        assert stream.tell() == 60 * MIB
    found = hashlib.sha256()
    with s3.open(f"{folder}/x") as source:
        while block := source.read(MIB):
            found.update(block)
    assert found.digest() == written.digest()


def test_a_stream_that_is_closed_takes_no_more(s3: S3FileSystem, folder: str) -> None:
    stream = s3.open(f"{folder}/x", "wb")
    assert stream.writable()
    assert not stream.readable()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.write(b"x")
    assert s3.read_bytes(f"{folder}/x") == b""


def test_an_upload_in_parts_reports_its_progress_from_the_caller_s_thread(
    s3: S3FileSystem, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(os.urandom(33 * MIB))
    seen: list[tuple[int, Progress]] = []
    s3.copy_to(tmp_path / "x", f"{folder}/x", lambda p: seen.append((threading.get_ident(), p)))
    assert {ident for ident, _ in seen} == {threading.get_ident()}
    done = [progress.done for _, progress in seen]
    assert done == sorted(set(done))
    assert done[-1] == 33 * MIB
    assert len(done) > 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_uploaded_to_its_end(s3: S3FileSystem, folder: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    data = os.urandom(3 * MIB)
    feed = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,), daemon=True)
    feed.start()
    s3.copy_to(tmp_path / "pipe", f"{folder}/x")
    feed.join(60)
    assert s3.read_bytes(f"{folder}/x") == data


def test_a_broken_server_s_times_are_not_known(
    faulty: S3FileSystem, proxy: FaultProxy, server: Any, folder: str
) -> None:
    proxy.fail(Status(200, {"Last-Modified": "yesterday"}, b"x"), times=None)
    assert faulty.info(f"{folder}/x").last_modified is None
    assert faulty.read_bytes(f"{folder}/x") == b"x"
