"""moto's server in a process of its own, and what the tests ask of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import FaultProxy
from rv_core.transfers import Retries

from rv_fs_s3 import S3FileSystem, S3Settings

BUCKET = "imagery"
# Another server may stand in for moto's: the tests of services run what they can on Swift.
OTHER_PORT = os.environ.get("TEST_S3_PORT")
ACCESS_KEY = os.environ.get("TEST_S3_KEY", "AKTESTTESTTEST")
SECRET_KEY = "notASecretOfAnyone0123456789"
TOKEN = "notATokenOfAnyone0123456789"
PAGE = 200  # keys of a listing


@pytest.fixture(scope="session")
def moto_port(run_moto: Callable[..., AbstractContextManager[int]]) -> Iterator[int]:
    """The port of an S3 server on loopback."""
    if OTHER_PORT:
        yield int(OTHER_PORT)
        return
    own = {
        "MOTO_S3_CUSTOM_ENDPOINTS": "http://127.0.0.1:{port}",
        "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE),
    }
    with run_moto(**own) as port:
        yield port


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def be_nobody(patch: pytest.MonkeyPatch, home: Path) -> None:
    """No test sees the developer's credentials, proxies and settings."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith("_PROXY"):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    patch.setenv("AWS_SESSION_TOKEN", TOKEN)
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    be_nobody(monkeypatch, home)


@pytest.fixture(scope="session")
def server(moto_port: int, home: Path) -> Any:
    """A client of boto3's own, to look at the server from behind."""
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        be_nobody(patch, home)
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{moto_port}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="session")
def make_fs(moto_port: int, server: Any) -> Callable[..., S3FileSystem]:
    """Makes a file system on moto's server, with settings of its own."""

    def make(**settings: Any) -> S3FileSystem:
        return S3FileSystem(
            S3Settings(**{"endpoint_url": f"http://127.0.0.1:{moto_port}", **settings})
        )

    return make


@pytest.fixture(scope="session")
def s3(make_fs: Callable[..., S3FileSystem]) -> S3FileSystem:
    return make_fs()


@pytest.fixture
def folder() -> str:
    """A folder of its own for every test."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def proxy(moto_port: int) -> Iterator[FaultProxy]:
    with FaultProxy(moto_port) as proxy:
        yield proxy


@pytest.fixture
def faulty(make_fs: Callable[..., S3FileSystem], proxy: FaultProxy) -> S3FileSystem:
    """A file system that reaches the server through the proxy."""
    return make_fs(endpoint_url=proxy.url)


@pytest.fixture
def hurried(make_fs: Callable[..., S3FileSystem], proxy: FaultProxy) -> S3FileSystem:
    """The same, but it does not wait as long for a server that is silent."""
    if OTHER_PORT:  # which may need its time
        return make_fs(endpoint_url=proxy.url)
    return make_fs(endpoint_url=proxy.url, connect_timeout=3.0, read_timeout=3.0)


@pytest.fixture
def tired(hurried: S3FileSystem) -> S3FileSystem:
    """The same as ``hurried``, which now soon gives up: for cases that wait in vain, of which one
    of each kind has the usual patience."""
    hurried._client.retries = Retries(max_wait=0.3, patience=2.0)
    return hurried
