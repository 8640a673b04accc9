"""What becomes of uploads to S3 when things go wrong: the whole object, or the old one."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import rv_fs_s3._copying as copying
import rv_fs_s3._events as events
import rv_fs_s3._upload as multipart
import rv_fs_s3._writer as writer
from rv_core.testing import (
    Before,
    Fault,
    FaultProxy,
    Reset,
    ResetUpload,
    SetHeaders,
    Stall,
    StallUpload,
    Status,
    Truncate,
)

from rv_core import (
    AccessDeniedError,
    AlreadyExistsError,
    Progress,
    StorageError,
    TransferError,
    ignore_progress,
)
from rv_fs_s3 import S3FileSystem

MIB = 1 << 20
PART = 5 * MIB  # the least that servers take
AT_ONCE, IN_PARTS = 6 * MIB, 11 * MIB
LARGE = 33 * MIB  # goes in parts without `_small_parts`
SECRETS = ("notASecretOfAnyone", "notATokenOfAnyone", "AKTESTTESTTEST", "Signature=")
slow = pytest.mark.slow
MOST_SECONDS = 60  # what is not over then hangs

UPLOAD = """
import sys
from rv_fs_s3 import S3FileSystem, S3Settings
from rv_fs_s3._upload import Multipart
if patience := sys.argv[5:]:
    abort = Multipart.abort
    Multipart.abort = lambda self, seconds: abort(self, float(patience[0]))
fs = S3FileSystem(S3Settings(endpoint_url=sys.argv[1]))
if sys.argv[4] == "stream":
    with fs.open(sys.argv[3], "wb") as stream, open(sys.argv[2], "rb") as source:
        while block := source.read(1 << 20):
            stream.write(block)
elif sys.argv[4] == "sync":
    fs.sync_to_dir(sys.argv[2], sys.argv[3])
else:
    fs.copy_to(sys.argv[2], sys.argv[3])
"""


@cache
def data_of(size: int, seed: int = 1) -> bytes:
    draw = random.Random(seed)
    block = draw.randbytes(MIB - 8)
    return b"".join(draw.randbytes(8) + block for _ in range(size // MIB))


class Uploads:
    """Brings files up, and looks at what is there then."""

    def __init__(self, fs: S3FileSystem, server: Any, uri: str, folder: Path) -> None:
        self.fs, self.server, self.uri, self.folder = fs, server, uri, folder
        self.bucket, _, self.key = uri.removeprefix("s3://").partition("/")
        self.told: list[str] = []
        server.put_object(Bucket=self.bucket, Key=self.key, Body=b"old")

    def bring(self, size: int, how: str, on_progress: Any = ignore_progress) -> None:
        path = self.folder / "source.bin"
        path.write_bytes(data_of(size))
        if how == "copy":
            info = self.fs.copy_to(path, self.uri, on_progress)
            assert info is not None
            assert (info.size, info.etag) == (size, self.fs.info(self.uri).etag)
            return
        with self.fs.open(self.uri, "wb") as stream, path.open("rb") as source:
            while block := source.read(MIB + 1):
                stream.write(block)

    def arrives(self, size: int, how: str) -> None:
        with in_time():
            self.bring(size, how)
        assert self.digest() == hashlib.sha256(data_of(size)).hexdigest()
        assert self.is_tidy()

    def fails(self, size: int, how: str) -> StorageError:
        with in_time(), pytest.raises(StorageError) as caught:
            self.bring(size, how)
        self.told += [str(caught.value), str(caught.value.hint)]
        self.told += traceback.format_exception(caught.value)
        # Of a request that the server never answered, nobody knows whether it was heard.
        assert self.content() in (b"old", data_of(size)), "it is neither the old nor the new one"
        return caught.value

    def content(self) -> bytes:
        body: bytes = self.server.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        return body

    def digest(self) -> str:
        return hashlib.sha256(self.content()).hexdigest()

    def is_tidy(self) -> bool:
        """Whether no multipart upload is left that is neither complete nor aborted. Nobody waits
        for long until one is aborted, which may come after."""
        end = time.monotonic() + MOST_SECONDS
        while left := self.left_behind():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return not left

    def left_behind(self) -> list[str]:
        """The keys of multipart uploads that are neither complete nor aborted."""
        found = self.server.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key)
        return [upload["Key"] for upload in found.get("Uploads", [])]


@contextmanager
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < MOST_SECONDS, f"it took {took:.0f} s"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of three parts are 11 MiB, not 33: what goes wrong is the same, and sooner there.
    Processes that tests start know nothing of it."""
    monkeypatch.setattr(multipart, "PART_BYTES", PART)
    monkeypatch.setattr(writer, "PART_BYTES", PART)
    for module in (copying, writer):
        monkeypatch.setattr(module, "SINGLE_BYTES", 2 * PART)


@pytest.fixture
def uploads(
    hurried: S3FileSystem,
    server: Any,
    folder: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Uploads]:
    uploads = Uploads(hurried, server, f"{folder}/big file#1.bin", tmp_path)
    with caplog.at_level(logging.DEBUG):
        yield uploads
    told = [*uploads.told, *(record.getMessage() for record in caplog.records)]
    told += [str(record.exc_text) for record in caplog.records]
    for secret in SECRETS:
        assert not [text for text in told if secret in text], "a secret is shown"


ONCE = [
    Status(503),
    Status(429, {"Retry-After": "1"}),
    Reset(0),
    ResetUpload(0),
    ResetUpload(4 * MIB),
]
ASLEEP = [
    pytest.param(Stall(0, 3600), AT_ONCE, "copy", id="no answer"),
    pytest.param(StallUpload(4 * MIB, 3600), IN_PARTS, "copy", id="in parts"),
    pytest.param(StallUpload(4 * MIB, 3600), IN_PARTS, "stream", id="stream in parts"),
]
WAYS = ["copy", pytest.param("stream", marks=slow)]
SIZES = [
    pytest.param(AT_ONCE, id="at once"),
    pytest.param(IN_PARTS, id="in parts", marks=slow),
]
KINDS = [
    pytest.param(AT_ONCE, "copy", id="at once"),
    pytest.param(IN_PARTS, "copy", id="in parts", marks=slow),
    pytest.param(IN_PARTS, "stream", id="stream in parts", marks=slow),
]


@pytest.mark.parametrize(("size", "how"), KINDS)
@pytest.mark.parametrize("fault", ONCE, ids=str)
def test_a_request_that_fails_once_is_made_again(
    uploads: Uploads, proxy: FaultProxy, fault: Any, size: int, how: str
) -> None:
    hit = proxy.fail(fault, method="PUT")
    uploads.arrives(size, how)
    assert hit.hits == 1


@slow
@pytest.mark.parametrize(("fault", "size", "how"), ASLEEP)
def test_a_server_that_falls_asleep_once_is_asked_again(
    uploads: Uploads, proxy: FaultProxy, fault: Any, size: int, how: str
) -> None:
    asleep = proxy.fail(fault, method="PUT")
    uploads.arrives(size, how)
    assert asleep.hits == 1


@slow
@pytest.mark.parametrize(("fault", "size", "how"), ASLEEP)
def test_a_server_that_always_falls_asleep_is_told(
    uploads: Uploads, tired: S3FileSystem, proxy: FaultProxy, fault: Any, size: int, how: str
) -> None:
    proxy.fail(fault, times=None, method="PUT")
    assert isinstance(uploads.fails(size, how), TransferError)
    assert uploads.is_tidy()


def test_a_server_that_is_busy_three_times_gets_the_object(
    uploads: Uploads, proxy: FaultProxy
) -> None:
    busy = proxy.fail(Status(503), times=3, method="PUT")
    uploads.arrives(AT_ONCE, "copy")
    assert busy.hits == 3


@pytest.mark.parametrize(("size", "how"), KINDS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(403), AccessDeniedError),
        (Status(400), StorageError),
        pytest.param(Status(503), TransferError, marks=slow),
        pytest.param(ResetUpload(MIB), TransferError, marks=slow),
    ],
    ids=str,
)
def test_what_fails_for_good_is_an_error_and_the_old_object_stays(
    uploads: Uploads,
    tired: S3FileSystem,
    proxy: FaultProxy,
    fault: Any,
    kind: type[StorageError],
    size: int,
    how: str,
) -> None:
    proxy.fail(fault, times=None, method="PUT")
    assert type(uploads.fails(size, how)) is kind
    assert uploads.content() == b"old"
    assert uploads.is_tidy()


ERROR = b"<Error><Code>InternalError</Code><Message>We encountered a problem</Message></Error>"


@pytest.mark.parametrize(
    ("fault", "method", "path"),
    [
        pytest.param(Status(200, body=ERROR), "POST", "uploadId", id="error in it"),
        pytest.param(Status(200), "POST", "uploadId", id="empty", marks=slow),
        pytest.param(Status(200, body=b"<Complete"), "POST", "uploadId", id="half", marks=slow),
        pytest.param(Status(503), "POST", "uploadId", id="503", marks=slow),
        pytest.param(Status(200), "POST", "uploads", id="no upload", marks=slow),
        pytest.param(Status(200), "PUT", "partNumber", id="no etag of a part"),
    ],
)
@pytest.mark.parametrize("how", WAYS)
def test_an_answer_200_that_is_none_does_not_pass_for_success(
    uploads: Uploads, proxy: FaultProxy, fault: Any, method: str, path: str, how: str
) -> None:
    once = proxy.fail(fault, method=method, path=path)
    uploads.arrives(IN_PARTS, how)
    assert once.hits == 1


@pytest.mark.parametrize("code", ["AccessDenied", pytest.param("PreconditionFailed", marks=slow)])
def test_an_answer_200_with_a_refusal_in_it_is_final(
    uploads: Uploads, proxy: FaultProxy, code: str
) -> None:
    refused = proxy.fail(
        Status(200, body=ERROR.replace(b"InternalError", code.encode())),
        times=None,
        method="POST",
        path="uploadId",
    )
    kind = AccessDeniedError if code == "AccessDenied" else AlreadyExistsError
    assert type(uploads.fails(IN_PARTS, "copy")) is kind
    assert refused.hits == 1
    assert uploads.is_tidy()


@attrs.frozen
class AtWork(Fault):
    """The server says 200, and sends white space as long as it is at work, as S3 does:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html"""

    seconds: int

    def change_answer(self, answer: Any, pause: Any) -> None:
        for name in ("Content-Length", "Transfer-Encoding"):
            del answer.headers[name]
        answer.headers["Transfer-Encoding"] = "chunked"
        body = b"".join(answer.pieces)
        end = body.find(b"?>") + 2 if body.startswith(b"<?xml") else 0
        answer.pieces = self._slowly(body[:end], body[end:], pause)

    def _slowly(self, first: bytes, rest: bytes, pause: Any) -> Iterator[bytes]:
        yield first
        for _ in range(self.seconds):
            pause(1)
            yield b" "
        yield rest


@slow
def test_a_server_that_takes_its_time_to_join_the_parts_is_given_it(
    uploads: Uploads, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_ANSWER_SECONDS", 3.0)  # for an answer that is no white space
    at_work = proxy.fail(AtWork(4), times=None, method="POST", path="uploadId")
    uploads.arrives(IN_PARTS, "copy")
    assert at_work.hits == 1


@slow
def test_an_answer_200_with_an_error_in_it_that_stays_is_an_error(
    uploads: Uploads, tired: S3FileSystem, proxy: FaultProxy
) -> None:
    proxy.fail(Status(200, body=ERROR), times=None, method="POST", path="uploadId")
    assert isinstance(uploads.fails(IN_PARTS, "copy"), TransferError)
    assert uploads.is_tidy()


@pytest.mark.parametrize("fault", [Reset(0), pytest.param(Truncate(20), marks=slow)], ids=str)
@pytest.mark.parametrize("how", WAYS)
def test_a_completion_whose_answer_is_lost_is_one(
    uploads: Uploads, proxy: FaultProxy, fault: Any, how: str
) -> None:
    proxy.fail(fault, method="POST", path="uploadId")
    # As some servers do, it does not know the upload any more when it is asked again.
    gone = b"<Error><Code>NoSuchUpload</Code></Error>"
    proxy.fail(Status(404, body=gone), times=None, after=1, method="POST", path="uploadId")
    uploads.arrives(IN_PARTS, how)


@slow
def test_an_upload_that_somebody_else_aborts_is_an_error(
    uploads: Uploads, tired: S3FileSystem, proxy: FaultProxy
) -> None:
    def abort() -> None:
        for upload in uploads.server.list_multipart_uploads(Bucket=uploads.bucket)["Uploads"]:
            if upload["Key"] == uploads.key:
                uploads.server.abort_multipart_upload(
                    Bucket=uploads.bucket, Key=uploads.key, UploadId=upload["UploadId"]
                )

    proxy.fail(Before(abort), method="POST", path="uploadId")
    uploads.fails(IN_PARTS, "copy")


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_keeps_another_size_is_found_out(
    uploads: Uploads, proxy: FaultProxy, size: int
) -> None:
    """Here: one that says nothing of checksums, and that lost the last byte."""
    names = ("x-amz-checksum-crc64nvme", "ETag")
    from rv_core.testing import DropHeaders

    proxy.fail(DropHeaders(*names), times=None, method="PUT", path="big")
    proxy.fail(SetHeaders({"Content-Length": str(size - 1)}), times=None, method="HEAD")
    if size == IN_PARTS:
        proxy.heal()
        proxy.fail(SetHeaders({"Content-Length": str(size - 1)}), times=None, method="HEAD")
    with pytest.raises(StorageError, match=f"should have {size} bytes"):
        uploads.bring(size, "copy")


@pytest.mark.parametrize("size", [AT_ONCE, IN_PARTS], ids=["at once", "in parts"])
def test_a_file_that_is_written_to_meanwhile_is_an_error(
    uploads: Uploads, proxy: FaultProxy, size: int
) -> None:
    def write() -> None:
        with (uploads.folder / "source.bin").open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            stream.write(b"x")

    proxy.fail(Before(write), method="PUT" if size == AT_ONCE else "POST")
    with pytest.raises(StorageError, match="changed while it was being uploaded") as caught:
        uploads.bring(size, "copy")
    kept = uploads.fs.info(uploads.uri).size == len(b"old")
    assert ("nothing was put in place" in str(caught.value)) == kept
    if size == IN_PARTS:
        assert uploads.content() == b"old"
        assert uploads.is_tidy()


def test_a_file_that_is_written_to_before_it_is_sent_again_is_an_error(
    uploads: Uploads, proxy: FaultProxy
) -> None:
    def write() -> None:
        (uploads.folder / "source.bin").write_bytes(data_of(MIB, 2))

    proxy.fail(Before(write), method="PUT")
    damaged = b"<Error><Code>BadDigest</Code></Error>"
    refused = proxy.fail(Status(400, body=damaged), times=None, method="PUT")
    with pytest.raises(StorageError, match="changed while it was being uploaded"):
        uploads.bring(MIB, "copy")
    assert refused.hits == 1


@pytest.mark.parametrize("size", [5, IN_PARTS], ids=["at once", "in parts"])
def test_a_creation_whose_answer_is_lost_is_ours(
    faulty: S3FileSystem, proxy: FaultProxy, server: Any, folder: str, size: int
) -> None:
    """A lock that was taken, and is not believed to be, would be taken for ever."""
    method = "PUT" if size == 5 else "POST"
    where = "lock" if size == 5 else "uploadId"
    proxy.fail(Reset(0), method=method, path=where)
    if size > 5:
        gone = b"<Error><Code>NoSuchUpload</Code></Error>"
        proxy.fail(Status(404, body=gone), times=None, after=1, method=method, path=where)
    with faulty.open(f"{folder}/lock", "xb") as stream:
        stream.write(b"mine!" if size == 5 else data_of(size))
    assert faulty.info(f"{folder}/lock").size == size
    with pytest.raises(AlreadyExistsError):
        faulty.open(f"{folder}/lock", "xb")


@pytest.mark.parametrize("code", [412, 409])
@pytest.mark.parametrize("size", [5, pytest.param(IN_PARTS, marks=slow)])
def test_of_two_that_create_one_the_later_hears_of_it(
    faulty: S3FileSystem, proxy: FaultProxy, server: Any, folder: str, code: int, size: int
) -> None:
    bucket, _, key = f"{folder}/lock".removeprefix("s3://").partition("/")

    def theirs() -> None:
        server.put_object(Bucket=bucket, Key=key, Body=b"theirs")

    method, where = ("PUT", "lock") if size == 5 else ("POST", "uploadId")
    proxy.fail(Before(theirs), method=method, path=where)
    if code == 409:
        conflict = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
        proxy.fail(Status(409, body=conflict), method=method, path=where)
    with pytest.raises(AlreadyExistsError), faulty.open(f"{folder}/lock", "xb") as stream:
        stream.write(b"mine!" if size == 5 else data_of(size))
    assert faulty.read_bytes(f"{folder}/lock") == b"theirs"
    assert server.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", []) == []


def test_a_creation_beside_somebody_who_deletes_is_made_again(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    """A 409 does not say that there is an object:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""
    conflict = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    met = proxy.fail(Status(409, body=conflict), times=2, method="PUT")
    with faulty.open(f"{folder}/lock", "xb") as stream:
        stream.write(b"mine!")
    assert met.hits == 2
    assert faulty.read_bytes(f"{folder}/lock") == b"mine!"


def test_a_server_that_knows_no_conditions_is_asked_first(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    faulty.write_bytes(f"{folder}/lock", b"theirs")
    proxy.heal()
    with pytest.raises(AlreadyExistsError):
        faulty.open(f"{folder}/lock", "xb")
    assert [request.method for request in proxy.requests] == ["HEAD"]


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + MOST_SECONDS
    while not true():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < end
        time.sleep(0.02)


@slow
@pytest.mark.parametrize("how", ["copy", "stream"])
def test_a_process_that_is_killed_leaves_the_old_object(
    uploads: Uploads, proxy: FaultProxy, how: str
) -> None:
    source = uploads.folder / "source.bin"
    source.write_bytes(data_of(LARGE))
    stuck = proxy.fail(StallUpload(MIB, 3600), times=None, after=1, method="PUT")
    process = start(UPLOAD, proxy.url, str(source), uploads.uri, how)
    wait_until(lambda: stuck.hits > 0, process)
    process.kill()
    process.wait()
    assert uploads.content() == b"old"
    # What it had sent is there, not visible, until the bucket's rules or somebody removes it.
    assert uploads.left_behind() == [uploads.key]
    stuck.times = 0
    uploads.bring(LARGE, how)
    assert uploads.digest() == hashlib.sha256(data_of(LARGE)).hexdigest()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize(
    ("how", "size"),
    [
        pytest.param("copy", LARGE, id="copy in parts"),
        pytest.param("copy", AT_ONCE, id="copy at once", marks=slow),
        pytest.param("stream", LARGE, id="stream in parts", marks=slow),
        pytest.param("stream", AT_ONCE, id="stream at once", marks=slow),
    ],
)
def test_ctrl_c_ends_it_soon_and_cleans_up(
    uploads: Uploads, proxy: FaultProxy, how: str, size: int
) -> None:
    source = uploads.folder / "source.bin"
    source.write_bytes(data_of(size))
    after = 0 if size == AT_ONCE else 1
    stuck = proxy.fail(StallUpload(MIB, 3600), times=None, after=after, method="PUT")
    # On a machine that is busy, the half second that cleaning up has may not be enough.
    process = start(UPLOAD, proxy.url, str(source), uploads.uri, how, "60")
    wait_until(lambda: stuck.hits > 0, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=MOST_SECONDS)[1].decode()
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode in (1, -signal.SIGINT, 130)
    assert uploads.content() == b"old"
    assert uploads.is_tidy()


@slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("how", ["copy", "stream"])
def test_ctrl_c_waits_for_no_server_that_is_gone(
    uploads: Uploads, proxy: FaultProxy, how: str
) -> None:
    source = uploads.folder / "source.bin"
    source.write_bytes(data_of(LARGE))
    stuck = proxy.fail(StallUpload(MIB, 3600), times=None, after=1, method="PUT")
    proxy.fail(Stall(0, 3600), times=None, method="DELETE")
    process = start(UPLOAD, proxy.url, str(source), uploads.uri, how)
    wait_until(lambda: stuck.hits > 0, process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=MOST_SECONDS)[1].rstrip().endswith(b"KeyboardInterrupt")


@slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_a_sync(
    uploads: Uploads, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "many").mkdir()
    for n in range(200):
        (tmp_path / "many" / f"{n:03}").write_bytes(b"x" * 1000)
    stuck = proxy.fail(Stall(0, 3600), times=None, after=20, method="PUT", path="down")
    process = start(UPLOAD, proxy.url, str(tmp_path / "many"), f"{folder}/down", "sync")
    wait_until(lambda: stuck.hits > 30, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=MOST_SECONDS)
    proxy.heal()
    uploads.fs.sync_to_dir(tmp_path / "many", f"{folder}/down")
    assert len(list(uploads.fs.list_paths(f"{folder}/down"))) == 200


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("size", [MIB, IN_PARTS], ids=["at once", "in parts"])
def test_a_caller_who_gives_up_in_the_middle_leaves_nothing(
    uploads: Uploads, proxy: FaultProxy, size: int, error: type[BaseException]
) -> None:
    def give_up(progress: Progress) -> None:
        if progress.done:
            raise error("enough")

    proxy.heal()
    with pytest.raises(error, match="enough"):
        uploads.bring(size, "copy", give_up)
    assert sum(r.method == "PUT" for r in proxy.requests) <= 8, "it was tried again"
    assert uploads.content() == b"old"
    assert uploads.is_tidy()


def test_a_stream_that_has_failed_is_not_closed_into_an_object(
    uploads: Uploads, proxy: FaultProxy
) -> None:
    """Whoever writes `finally: stream.close()` closes it after an error too."""
    proxy.fail(Status(403), method="POST", path="uploads")
    stream = uploads.fs.open(uploads.uri, "wb")
    with pytest.raises(AccessDeniedError):
        stream.write(data_of(IN_PARTS))
    for _ in range(2):
        with pytest.raises(AccessDeniedError):
            stream.write(b"more")
    with pytest.raises(AccessDeniedError):
        stream.close()
    assert stream.closed
    assert uploads.content() == b"old"
    assert uploads.is_tidy()


def test_a_stream_whose_temporary_file_fails_is_not_closed_into_an_object(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writer, "PARTS_OF_A_SIZE", 1)
    monkeypatch.setattr(writer, "MEMORY_BYTES", PART)  # the second part is in a file
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    stream = uploads.fs.open(uploads.uri, "wb")
    with pytest.raises(StorageError):
        stream.write(data_of(AT_ONCE))
    with pytest.raises(StorageError):
        stream.close()
    assert uploads.content() == b"old"


def test_a_stream_that_is_forgotten_is_dropped_at_once(uploads: Uploads) -> None:
    gc.disable()  # nobody is to wait for a search for cycles
    try:
        stream = uploads.fs.open(uploads.uri, "wb")
        stream.write(data_of(IN_PARTS))
        assert uploads.left_behind() == [uploads.key]
        del stream
        assert uploads.is_tidy(), "it is kept"
    finally:
        gc.enable()
    assert uploads.content() == b"old"


@slow
def test_a_server_that_is_gone_for_good_is_told_in_time(
    uploads: Uploads, tired: S3FileSystem, proxy: FaultProxy
) -> None:
    """Though it does not hear either that the parts are to be dropped."""
    proxy.fail(StallUpload(0, 3600), times=None, after=1, method="PUT")
    proxy.fail(Stall(0, 3600), times=None, method="DELETE")
    assert isinstance(uploads.fails(IN_PARTS, "copy"), TransferError)
