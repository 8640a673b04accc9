"""Credentials: found anew when they expire, and their lack told at once."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rv_core.testing import FaultProxy, FlipByte, Request, Status

from rv_core import AccessDeniedError, IntegrityError
from rv_fs_s3 import S3FileSystem

MakeFS = Callable[..., S3FileSystem]

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"

PROCESS = """
import json, pathlib, sys
log = pathlib.Path(sys.argv[1])
asked = len(log.read_text()) if log.exists() else 0
log.write_text("x" * (asked + 1))
key = {"Version": 1, "AccessKeyId": f"AKTEST{asked:04}", "SecretAccessKey": "HUSH"}
print(json.dumps({**key, "SessionToken": f"HUSHTOKEN{asked}"}))
"""


def key_of(request: Request) -> str:
    """The access key that a request was signed with."""
    said = request.headers["authorization"] or ""
    return str(said).partition("Credential=")[2].partition("/")[0]


class Process:
    """A program that hands out credentials, other ones each time; it counts."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "asked"
        (folder / "hand out.py").write_text(PROCESS)
        (folder / "config").write_text(
            f"[profile temporary]\nregion = us-east-1\n"
            f'credential_process = "{sys.executable}" "{folder / "hand out.py"}" "{self.log}"\n'
        )
        self.config = folder / "config"

    @property
    def asked(self) -> int:
        return len(self.log.read_text()) if self.log.exists() else 0


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process.config))
    return process


@pytest.mark.parametrize(
    "code",
    [
        "ExpiredToken",
        *(
            pytest.param(code, marks=pytest.mark.slow)
            for code in ("ExpiredTokenException", "InvalidToken", "TokenRefreshRequired")
        ),
    ],
)
def test_credentials_that_expire_in_mid_sync_are_looked_for_again(
    make_fs: MakeFS,
    s3: S3FileSystem,
    proxy: FaultProxy,
    process: Process,
    folder: str,
    tmp_path: Path,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="botocore")
    for n in range(40):
        s3.write_bytes(f"{folder}/{n}", b"%d" % n)
    fs = make_fs(endpoint_url=proxy.url, profile="temporary")
    refused = proxy.fail(
        Status(400, body=EXPIRED.replace(b"ExpiredToken", code.encode())),
        times=None,
        after=20,
        when=lambda request: key_of(request) == "AKTEST0000",
    )
    fs.sync_from_dir(folder, tmp_path / "down")
    assert len(list((tmp_path / "down").iterdir())) == 40
    assert refused.hits >= 1
    assert process.asked == 2, "once at the start, once for all threads together"
    fs.sync_to_dir(tmp_path / "down", f"{folder}/up")
    assert {key_of(request) for request in proxy.requests[-40:]} == {"AKTEST0001"}
    assert "botocore" in caplog.text
    for secret in ("HUSH", "Signature="):
        assert secret not in caplog.text


def test_head_requests_do_not_say_that_credentials_have_expired(
    make_fs: MakeFS, s3: S3FileSystem, proxy: FaultProxy, process: Process, folder: str
) -> None:
    """The answer to a HEAD has no body, so that the reason is not told: a GET tells it."""
    s3.write_bytes(f"{folder}/x", b"12345")
    fs = make_fs(endpoint_url=proxy.url, profile="temporary")
    proxy.fail(
        Status(400, body=EXPIRED),
        times=None,
        when=lambda request: key_of(request) == "AKTEST0000",
    )
    assert fs.info(f"{folder}/x").size == 5
    assert fs.file_exists(f"{folder}/x")


def test_a_checksum_is_asked_for_again_with_new_credentials(
    make_fs: MakeFS,
    s3: S3FileSystem,
    proxy: FaultProxy,
    process: Process,
    folder: str,
    tmp_path: Path,
) -> None:
    """Otherwise nobody would notice that the byte was flipped."""
    s3.write_bytes(f"{folder}/x", bytes(17 << 20))
    fs = make_fs(endpoint_url=proxy.url, profile="temporary")
    expired = proxy.fail(
        Status(400, body=EXPIRED),
        times=None,
        method="HEAD",
        when=lambda request: key_of(request) == "AKTEST0000",
    )
    proxy.fail(FlipByte(5), method="GET")
    with pytest.raises(IntegrityError, match="damaged"):
        fs.copy_from(f"{folder}/x", tmp_path / "x")
    assert expired.hits
    assert process.asked == 2


def test_credentials_that_stay_expired_are_an_error(
    make_fs: MakeFS, proxy: FaultProxy, process: Process, folder: str
) -> None:
    proxy.fail(Status(400, body=EXPIRED), times=None)
    fs = make_fs(endpoint_url=proxy.url, profile="temporary")
    with pytest.raises(AccessDeniedError, match="expired") as caught:
        fs.read_bytes(f"{folder}/x")
    assert caught.value.hint
    assert len(proxy.requests) == 2


def test_an_upload_goes_on_with_new_credentials(
    make_fs: MakeFS, proxy: FaultProxy, process: Process, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(33 << 20))
    fs = make_fs(endpoint_url=proxy.url, profile="temporary")
    proxy.fail(
        Status(400, body=EXPIRED),
        times=None,
        after=1,
        when=lambda request: key_of(request) == "AKTEST0000",
    )
    fs.copy_to(tmp_path / "large", f"{folder}/large")
    assert fs.read_bytes(f"{folder}/large") == bytes(33 << 20)


def test_a_lack_of_credentials_is_told_at_once(
    make_fs: MakeFS, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(AccessDeniedError, match="no usable credentials") as caught:
        make_fs().read_bytes(f"{folder}/x")
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_a_program_that_hands_out_no_credentials_is_told(
    make_fs: MakeFS, process: Process, folder: str
) -> None:
    (process.config.parent / "hand out.py").write_text("raise SystemExit('HUSH')")
    with pytest.raises(AccessDeniedError, match="no usable credentials") as caught:
        make_fs(profile="temporary").read_bytes(f"{folder}/x")
    assert "HUSH" not in str(caught.value)


def test_a_role_is_assumed(
    make_fs: MakeFS,
    proxy: FaultProxy,
    moto_port: int,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="botocore")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{moto_port}")
    fs = make_fs(endpoint_url=proxy.url, role_arn="arn:aws:iam::123456789012:role/reader")
    threads = [
        threading.Thread(target=fs.write_bytes, args=(f"{folder}/{n}", b"x")) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(list(fs.list_paths(folder))) == 8
    assert {key_of(request)[:4] for request in proxy.requests} == {"ASIA"}
    assert "botocore" in caplog.text
    for secret in ("SecretAccessKey", "SessionToken", "Signature="):
        assert secret not in caplog.text


def test_the_service_of_roles_is_reached_as_the_buckets_are(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.com")
    fs = make_fs(
        region="eu-north-1",
        proxies={"http": proxy.url},
        role_arn="arn:aws:iam::123456789012:role/reader",
    )
    fs.write_bytes(f"{folder}/x", b"x")
    assert proxy.requests[0].headers["host"] == "sts.example.com"
    assert "/eu-north-1/sts/" in proxy.requests[0].headers["authorization"]


def test_a_role_that_may_not_be_assumed_is_told(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    proxy.fail(Status(403, body=denied), times=None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    fs = make_fs(endpoint_url=proxy.url, role_arn="arn:aws:iam::123456789012:role/reader")
    with pytest.raises(AccessDeniedError):
        fs.read_bytes(f"{folder}/x")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("RequestTimeTooSkewed", "clock"),
        ("InvalidAccessKeyId", "access key"),
        ("SignatureDoesNotMatch", "secret key"),
        ("AccessDenied", "allowed"),
    ],
)
def test_refusals_say_what_to_look_at(
    faulty: S3FileSystem, proxy: FaultProxy, folder: str, code: str, hint: str
) -> None:
    body = (
        f"<Error><Code>{code}</Code><Message>HUSH</Message><StringToSign>HUSH</StringToSign>"
        "<SignatureProvided>HUSH</SignatureProvided></Error>"
    ).encode()
    proxy.fail(Status(403, body=body), times=None)
    with pytest.raises(AccessDeniedError, match=code) as caught:
        faulty.read_bytes(f"{folder}/x")
    assert hint in str(caught.value.hint)
    assert "HUSH" not in f"{caught.value} {caught.value.hint} {vars(caught.value)}"
