"""The promises of storage, on OpenStack Swift through its S3 API, which verifies signatures."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest
from rv_core.testing import (
    Chunked,
    DownloadFaults,
    FaultProxy,
    FileSystemContract,
    Gzip,
    NoLength,
)

from rv_core import AccessDeniedError, NotFoundError
from rv_fs_s3 import S3FileSystem, S3Settings

BUCKET = "services"


@pytest.fixture
def credentials(swift, monkeypatch):
    """Sets the key and the secret that are used from now on."""

    def use(key: str, secret: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    use(swift.key, swift.secret)
    return use


@pytest.fixture(scope="module")
def client(swift):
    """boto3's own, to look at the server from behind."""
    return boto3.client(
        "s3",
        endpoint_url=swift.url,
        region_name="us-east-1",
        aws_access_key_id=swift.key,
        aws_secret_access_key=swift.secret,
    )


@pytest.fixture(scope="module")
def bucket(client) -> str:
    client.create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture
def s3(swift, credentials) -> S3FileSystem:
    return S3FileSystem(S3Settings(endpoint_url=swift.url))


@pytest.fixture
def folder(bucket) -> str:
    return f"s3://{bucket}/{uuid.uuid4().hex}"


class TestSwift(FileSystemContract):
    capabilities = FileSystemContract.capabilities - {"exclusive"}  # 501: no conditional PUT
    secrets = ("notASecretOfAnyone", "test:tester", "Signature=")
    examples = 4
    memory_bytes = 72 << 20  # a stream keeps 32 MiB, and as much again in parts on their way

    @pytest.fixture
    def fs(self, s3) -> S3FileSystem:
        return s3

    @pytest.fixture
    def root(self, folder) -> str:
        return folder


def test_a_wrong_secret_is_refused_and_not_told(swift, credentials, s3, folder):
    s3.write_bytes(f"{folder}/x", b"x")
    credentials(swift.key, "HUSH-another-secret")
    stranger = S3FileSystem(S3Settings(endpoint_url=swift.url))
    for ask in (stranger.read_bytes, stranger.info, stranger.file_exists, stranger.delete):
        with pytest.raises(AccessDeniedError) as caught:
            ask(f"{folder}/x")
        assert "HUSH" not in str(caught.value)
    with pytest.raises(AccessDeniedError):
        stranger.write_bytes(f"{folder}/x", b"y")
    assert s3.read_bytes(f"{folder}/x") == b"x"


def test_another_account_sees_nothing_of_it(swift, credentials, s3, folder):
    s3.write_bytes(f"{folder}/x", b"x")
    credentials(swift.other_key, swift.other_secret)
    stranger = S3FileSystem(S3Settings(endpoint_url=swift.url))
    with pytest.raises((AccessDeniedError, NotFoundError)):
        stranger.read_bytes(f"{folder}/x")


@pytest.fixture
def proxy(swift):
    with FaultProxy(swift.port) as proxy:
        yield proxy


@pytest.fixture
def faulty(proxy, credentials) -> S3FileSystem:
    """Reaches Swift through the proxy."""
    return S3FileSystem(S3Settings(endpoint_url=proxy.url))


# What needs conditional PUTs, which this Swift does not know.
CONDITIONAL = "creation or two_that_create"


def test_uploads_through_faults_end_as_they_do_on_moto(swift):
    """The tests of rv_fs_s3 themselves, with Swift in place of moto's server."""
    command = [sys.executable, "-m", "pytest", "tests/rv_fs_s3/test_s3_upload_faults.py", "-q"]
    command += ["-m", "not slow", "-k", f"not ({CONDITIONAL})", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TEST_S3_PORT": str(swift.port), "TEST_S3_KEY": swift.key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


COPY = """
import filecmp
import sys
from rv_fs_s3 import S3FileSystem, S3Settings
S3FileSystem(S3Settings(endpoint_url=sys.argv[1])).copy_from(*sys.argv[2:])
"""


class TestDownloads(DownloadFaults):
    """The fault battery, Swift behind the proxy."""

    secrets = ("notASecretOfAnyone", "test:tester", "Signature=")
    decodes = False  # an object is what was put, whatever it is called
    # A request without the Range that was signed would be refused, not answered in full.
    test_a_server_without_ranges_whose_connection_breaks = None

    @pytest.mark.parametrize("fault", [Chunked(), NoLength(), Gzip()], ids=str)
    @pytest.mark.parametrize("how", ["copy", "stream", "bytes"])
    def test_a_server_of_few_words(self, fs, proxy, put, here, fault, how):
        super().test_a_server_of_few_words(fs, proxy, put, here, fault, how)

    def is_listing(self, request) -> bool:
        return "list-type=2" in request.path

    @pytest.fixture
    def fs(self, faulty) -> S3FileSystem:
        return faulty

    @pytest.fixture
    def root(self, folder) -> str:
        return folder

    @pytest.fixture
    def put(self, s3, root):
        """Past the proxy."""

        def put(name: str, data: bytes) -> str:
            uri = s3.uri_below(root, name)
            s3.write_bytes(uri, data)
            return uri

        return put

    @pytest.fixture
    def command(self, proxy):
        return lambda uri, path: [sys.executable, "-c", COPY, proxy.url, uri, str(path)]
