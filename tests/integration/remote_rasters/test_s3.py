"""Rasters in S3 are read where they lie, window by window, or copied: whichever costs less."""

from __future__ import annotations

import logging
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import trustme
from numpy.typing import NDArray
from remote_reading import (
    ACCESS_KEY,
    ALL,
    FEW,
    SECRETS,
    SIZE,
    TOKEN,
    cached,
    open_raster,
    read,
    shown,
)
from rv_core.testing import FaultProxy, Status

from rv_core import (
    AccessDeniedError,
    DataError,
    FileInfo,
    FileSystem,
    Kernel,
    NotFoundError,
    RVError,
    Window,
    hookimpl,
)

pytestmark = pytest.mark.slow  # servers


@pytest.fixture(scope="session")
def moto(run_moto: Callable[..., AbstractContextManager[int]]) -> Iterator[str]:
    """The address of an S3 server in a process of its own."""
    with run_moto() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def client(moto: str) -> Iterator[Any]:
    """boto3's own client, to put objects behind our back; what it logs is not RV's affair."""
    import boto3

    log = logging.getLogger("botocore")
    level = log.level
    log.setLevel(logging.WARNING)
    made = boto3.client("s3", endpoint_url=moto)
    made.create_bucket(Bucket="imagery")
    yield made
    log.setLevel(level)


@pytest.fixture
def uri(client: Any, image: Path, request: pytest.FixtureRequest) -> str:
    key = f"{request.node.name}/{image.name}"
    client.upload_file(str(image), "imagery", key)
    return f"s3://imagery/{key}"


@pytest.fixture
def proxy(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What stands before the server: it counts requests, and fails on demand."""
    with FaultProxy(int(moto.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("RV_S3_ENDPOINT_URL", proxy.url)
        yield proxy


def bytes_asked(requests: list[Any]) -> int:
    """What was asked for by ranges; a whole file counts as endless."""
    total = 0
    for request in requests:
        if request.method != "GET":
            continue
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range") or "")
        total += int(found[2]) - int(found[1]) + 1 if found else 10**12
    return total


def test_a_few_windows_cost_a_small_part_of_the_file(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8], image: Path
) -> None:
    with open_raster(uri) as raster:
        read(raster, FEW, pixels)
    assert bytes_asked(proxy.requests) < 0.25 * image.stat().st_size
    assert len(proxy.requests) < 15
    assert not cached()


def test_requests_are_signed_as_the_storage_does(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    kernel = Kernel(config={"s3": {"requester_pays": True}})
    with open_raster(uri, kernel) as raster:
        read(raster, FEW, pixels)
    asked = [r for r in proxy.requests if r.method == "GET"]
    assert asked
    for request in asked:
        assert f"Credential={ACCESS_KEY}/" in request.headers["Authorization"]
        assert "/eu-north-1/s3/" in request.headers["Authorization"]
        assert request.headers["x-amz-security-token"] == TOKEN
        assert request.headers["x-amz-request-payer"] == "requester"


def test_nobody_in_particular_asks_unsigned(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8], client: Any
) -> None:
    client.put_object_acl(
        Bucket="imagery", Key=uri.removeprefix("s3://imagery/"), ACL="public-read"
    )
    with open_raster(uri, Kernel(config={"s3": {"anonymous": True}})) as raster:
        read(raster, FEW, pixels)
    assert not any("Authorization" in request.headers for request in proxy.requests)
    assert not cached()


def test_credentials_that_end_say_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of a process, anew whenever they are about to end."""
    script = tmp_path / "credentials.py"
    script.write_text(
        "import json, time, datetime\n"
        "end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=300)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'AKID{time.time_ns()}',"
        " 'SecretAccessKey': 'hush-secret-key', 'SessionToken': 't', "
        "'Expiration': end.isoformat()}))\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[profile lab]\ncredential_process = {sys.executable} {script}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    fs = Kernel(config={"s3": {"profile": "lab"}}).filesystem("s3://imagery/a.tif")
    one = fs.gdal_access("s3://imagery/a.tif", FileInfo(1, None, '"v1"'))
    other = fs.gdal_access("s3://imagery/a.tif", FileInfo(1, None, '"v1"'))
    assert one is not None
    assert other is not None
    assert one.options["AWS_ACCESS_KEY_ID"] != other.options["AWS_ACCESS_KEY_ID"]
    assert one.expires is not None
    assert 200 < one.expires.timestamp() - time.time() < 301
    assert "hush" not in repr(one)
    assert "vsis3" not in repr(one)


@pytest.mark.slow
def test_what_is_read_for_the_most_part_is_copied(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8], image: Path
) -> None:
    with open_raster(uri) as raster:
        read(raster, ALL[:4], pixels)
        assert not cached()
        read(raster, ALL, pixels)
        assert len(cached()) == 1
    # Never more than a quarter (and what blocks at the edges of windows cost) beyond the copy.
    before = [r for r in proxy.requests if "Range" in r.headers]
    assert bytes_asked(before) < 1.6 * image.stat().st_size
    proxy.requests.clear()
    with open_raster(uri) as raster:  # the next one takes the copy, which is still current
        read(raster, ALL, pixels)
    assert {r.method for r in proxy.requests} <= {"HEAD", "GET"}
    assert bytes_asked([r for r in proxy.requests if "Range" in r.headers]) == 0


def test_a_copy_can_be_asked_for(uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]) -> None:
    with open_raster(uri, access="copy") as raster:
        assert len(cached()) == 1
        read(raster, FEW, pixels)


def test_a_copy_can_be_ruled_out(uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]) -> None:
    with open_raster(uri, access="in_place") as raster:
        read(raster, ALL, pixels)
    assert not cached()


def test_small_files_are_copied(client: Any, proxy: FaultProxy, tmp_path: Path) -> None:
    path = tmp_path / "small.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8"
    ) as sink:
        sink.write(np.full((1, 64, 64), 7, np.uint8))
    client.upload_file(str(path), "imagery", "small.tif")
    with open_raster("s3://imagery/small.tif") as raster:
        assert (raster.read(raster.extent)[0] == 7).all()
    assert len(cached()) == 1


def test_what_cannot_be_read_by_window_is_copied(
    client: Any, proxy: FaultProxy, tmp_path: Path, pixels: NDArray[np.uint8]
) -> None:
    path = tmp_path / "picture.png"
    with rasterio.open(
        path, "w", driver="PNG", height=SIZE, width=SIZE, count=3, dtype="uint8", ZLEVEL=1
    ) as sink:
        sink.write(pixels.transpose(2, 0, 1))
    client.upload_file(str(path), "imagery", "picture.png")
    with open_raster("s3://imagery/picture.png") as raster:
        assert raster.files[0].remote is None
        read(raster, FEW, pixels)


def test_resampled_and_cut_rasters_are_read_in_place_too(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]
) -> None:
    with open_raster(uri, resolution=1.0, resampling="average") as raster:
        found, _ = raster.read(Window(100, 100, 50, 50))
    part = pixels[200:300, 200:300].astype(float).reshape(50, 2, 50, 2, 3).mean((1, 3))
    np.testing.assert_allclose(found, part, atol=0.51)
    assert not cached()


@pytest.mark.slow
def test_threads_and_processes_share_a_raster(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]
) -> None:
    raster = open_raster(uri, access="in_place")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda w: read(raster, [w], pixels), [*FEW, *ALL[:6]]))
    packed = pickle.dumps(raster)
    assert not any(secret.encode() in packed for secret in (*SECRETS, ACCESS_KEY))
    read(pickle.loads(packed), FEW, pixels)


def test_short_failures_are_tried_again(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]
) -> None:
    raster = open_raster(uri, access="in_place")
    met = proxy.fail(Status(503), times=2, method="GET")
    read(raster, FEW, pixels)
    assert met.hits == 2


def test_a_missing_object_is_named(client: Any, proxy: FaultProxy) -> None:
    for access in ("auto", "in_place", "copy"):
        with pytest.raises(NotFoundError, match=r"s3://imagery/gone\.tif"):
            open_raster("s3://imagery/gone.tif", access=access)


def test_a_refusal_is_the_storages_own(
    uri: str, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    raster = open_raster(uri, access="in_place")
    proxy.fail(Status(403), times=None)
    with pytest.raises(AccessDeniedError, match="imagery") as refused:
        raster.read(FEW[0])
    assert not any(secret in shown(refused.value) + caplog.text for secret in SECRETS)


@pytest.mark.parametrize("access", ["auto", "in_place"])
def test_a_file_that_changes_is_not_read_on(
    uri: str, proxy: FaultProxy, client: Any, pixels: NDArray[np.uint8], access: str
) -> None:
    raster = open_raster(uri, access=access)
    read(raster, FEW[:1], pixels)
    client.put_object(Bucket="imagery", Key=uri.removeprefix("s3://imagery/"), Body=bytes(9 << 20))
    with pytest.raises(DataError, match=r"scene one\+ü\.tif changed while it was in use"):
        raster.read(FEW[1])


def test_what_was_forbidden_is_not_read(uri: str, proxy: FaultProxy) -> None:
    class Deny:
        @hookimpl(wrapper=True)
        def rv_filesystem(self, uri: str) -> Any:
            if "scene" in uri:
                yield
                raise AccessDeniedError(f"{uri} is not for this tenant")
            return (yield)

    import rv_fs_s3.plugin

    kernel = Kernel(plugins=[rv_fs_s3.plugin, Deny()])
    with pytest.raises(RVError, match="not for this tenant"):
        open_raster(uri, kernel, access="in_place")
    assert not proxy.requests


def test_a_proxy_that_knows_nothing_of_gdal_sees_every_read(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8]
) -> None:
    class Watched(FileSystem):
        def __init__(self, inner: FileSystem) -> None:
            self.inner, self.cache = inner, inner.cache
            self.calls: list[str] = []

        def open(self, uri: str, mode: Any = "rb") -> Any:
            self.calls.append(f"open {mode}")
            return self.inner.open(uri, mode)

        def info(self, uri: str) -> FileInfo:
            return self.inner.info(uri)

        def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
            return self.inner.list_paths(uri, ext)

        def delete(self, uri: str) -> None:
            self.inner.delete(uri)

    class Watch:
        seen: list[Watched] = []  # noqa: RUF012

        @hookimpl(wrapper=True)
        def rv_filesystem(self) -> Any:
            self.seen.append(Watched((yield)))
            return self.seen[-1]

    import rv_fs_s3.plugin

    watch = Watch()
    with open_raster(uri, Kernel(plugins=[rv_fs_s3.plugin, watch])) as raster:
        read(raster, FEW, pixels)
    assert [call for fs in watch.seen for call in fs.calls] == ["open rb"]
    assert len(cached()) == 1


def test_no_secret_reaches_the_logs(
    uri: str, proxy: FaultProxy, pixels: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with open_raster(uri) as raster:
        read(raster, ALL, pixels)
        text = repr(raster) + repr(raster.files)
    assert "is read where it lies" in caplog.text
    assert "is read from the cache from here on" in caplog.text
    assert not any(secret in caplog.text + text for secret in SECRETS)


@pytest.mark.slow
def test_s3_servers_with_certificates_of_ones_own(
    image: Path,
    pixels: NDArray[np.uint8],
    tmp_path: Path,
    run_moto: Callable[..., AbstractContextManager[int]],
) -> None:
    import boto3

    authority = trustme.CA()
    bundle, pem = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority.cert_pem.write_to_path(str(bundle))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    with run_moto("--ssl", "-c", str(pem), "-k", str(pem)) as port:
        url = f"https://localhost:{port}"
        client = boto3.client("s3", endpoint_url=url, verify=str(bundle))
        client.create_bucket(Bucket="imagery")
        client.upload_file(str(image), "imagery", "scene.tif")
        kernel = Kernel(config={"s3": {"endpoint_url": url, "ca_bundle": str(bundle)}})
        with open_raster("s3://imagery/scene.tif", kernel, access="in_place") as raster:
            read(raster, FEW, pixels)
            assert raster.files[0].remote is not None
