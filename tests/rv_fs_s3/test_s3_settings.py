"""Each setting does what it says, and nothing is looked for before it is needed."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from rv_core.testing import Before, FaultProxy, Status

from rv_core import AccessDeniedError, ConfigError, Kernel, StorageError, TransferError
from rv_fs_s3 import S3FileSystem, S3Settings

MIB = 1 << 20
MakeFS = Callable[..., S3FileSystem]


@pytest.fixture
def kernel(moto_port: int, server: Any) -> Kernel:
    return Kernel(config={"s3": {"endpoint_url": f"http://127.0.0.1:{moto_port}"}})


def test_a_kernel_reads_and_writes_s3_uris(kernel: Kernel, folder: str) -> None:
    kernel.files.write_str(f"{folder}/größe.txt", "größe")
    assert kernel.files.read_str(f"{folder}/größe.txt") == "größe"
    found = kernel.filesystem(f"{folder}/größe.txt")
    assert isinstance(found, S3FileSystem)
    assert found is kernel.filesystem("S3://another")
    assert found.cache is kernel.cache
    assert found.transfers_at_once == 64


def test_settings_come_from_variables_too(
    moto_port: int, server: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RV_S3_ENDPOINT_URL", f"http://127.0.0.1:{moto_port}")
    monkeypatch.setenv("RV_S3_STORAGE_CLASS", "STANDARD_IA")
    monkeypatch.setenv("RV_S3_PROFILE", "")
    monkeypatch.setenv("RV_S3_CHECKSUMS", "off")
    monkeypatch.setenv("RV_S3_PROXIES", "https=http://user:HUSH@127.0.0.1:9")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    kernel = Kernel()
    kernel.files.write_bytes(f"{folder}/x", b"x")
    settings = S3Settings.from_config(kernel.config)
    assert settings.storage_class == "STANDARD_IA"
    assert settings.requester_pays
    assert not settings.checksums
    assert settings.profile is None
    assert settings.proxies == (("https", "http://user:HUSH@127.0.0.1:9"),)
    assert "HUSH" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"endpoint-url": "http://x"}, "did you mean 'endpoint_url'"),
        ({"addressing_style": "dns"}, "addressing_style"),
        ({"endpoint_url": "minio.example.com"}, "no URL"),
        ({"connections": 0}, "connections"),
        ({"read_timeout": 0.0}, "read_timeout"),
        ({"connect_timeout": -1.0}, "connect_timeout"),
        ({"ca_bundle": "missing.pem"}, "missing.pem, which does not exist"),
        ({"anonymous": "perhaps"}, "anonymous"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Kernel(config={"s3": settings}).files.info("s3://imagery/x")
    assert said in f"{caught.value} {caught.value.hint}"


def test_a_profile_that_is_not_there_is_told_when_it_is_needed() -> None:
    fs = S3FileSystem(S3Settings(profile="missing"))
    with pytest.raises(ConfigError, match="missing"):
        fs.info("s3://imagery/x")


def test_no_more_connections_are_made_than_are_set(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    fs = make_fs(endpoint_url=proxy.url, connections=2)
    (tmp_path / "up").mkdir()
    for n in range(12):
        (tmp_path / "up" / f"{n}").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(33 * MIB))  # three parts
    under_way: set[int] = set()
    most = 0

    def look() -> None:
        nonlocal most
        under_way.add(threading.get_ident())
        most = max(most, len(under_way))
        time.sleep(0.05)
        under_way.discard(threading.get_ident())

    proxy.fail(Before(look), times=None)
    fs.sync_to_dir(tmp_path / "up", folder)
    assert most == 2
    proxy.fail(Status(400), times=None, method="PUT", path="partNumber")
    with pytest.raises(StorageError):
        fs.copy_to(tmp_path / "large", f"{folder}/large")
    assert most == 2


def test_importing_costs_nothing() -> None:
    code = """
import sys, rv_fs_s3.plugin
assert not {"boto3", "botocore", "awscrt", "urllib3"} & set(sys.modules), "too early"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_client_is_made_for_a_configuration_and_none_before_it_is_needed(
    moto_port: int, server: Any, folder: str
) -> None:
    settings = S3Settings(endpoint_url=f"http://127.0.0.1:{moto_port}", connections=7)
    one, other = S3FileSystem(settings), S3FileSystem(settings)
    made: list[int] = []
    client = one._client
    assert client is other._client
    assert client._current is None
    make = client._new

    def count() -> Any:
        made.append(1)
        return make()

    client._new = count  # type: ignore[method-assign]
    start = threading.Barrier(16)

    def use(fs: S3FileSystem) -> None:
        start.wait(30)
        assert not fs.file_exists(f"{folder}/x")

    threads = [threading.Thread(target=use, args=(fs,)) for fs in [one, other] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_its_own_way(s3: S3FileSystem, folder: str) -> None:
    s3.write_bytes(f"{folder}/x", b"x" * MIB)
    with s3.open(f"{folder}/x") as stream:
        assert stream.read(10) == b"x" * 10
        s3._client._lock.acquire()  # as another thread might, just now
        s3._client._turn._free.acquire()
        try:
            child = os.fork()
            if not child:  # pragma: no cover  another process
                status = 1
                try:
                    assert s3.read_bytes(f"{folder}/x") == b"x" * MIB
                    s3.write_bytes(f"{folder}/child", b"mine")
                    status = 0
                finally:
                    os._exit(status)
        finally:
            s3._client._turn._free.release()
            s3._client._lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert stream.read() == b"x" * (MIB - 10)
    assert s3.read_bytes(f"{folder}/child") == b"mine"


def everything(fs: S3FileSystem, folder: str, tmp_path: Path) -> None:
    """Every kind of request there is."""
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(os.urandom(33 * MIB))
    fs.copy_to(tmp_path / "small", f"{folder}/small")
    fs.copy_to(tmp_path / "large", f"{folder}/large")
    with pytest.raises(ValueError, match="enough"), fs.open(f"{folder}/dropped", "wb") as stream:
        stream.write((tmp_path / "large").read_bytes())
        raise ValueError("enough")
    with fs.open(f"{folder}/lock", "xb") as stream:
        stream.write(b"lock")
    fs.copy_from(f"{folder}/large", tmp_path / "down")
    fs.read_bytes(f"{folder}/small")
    fs.info(f"{folder}/small")
    assert fs.file_exists(folder)
    assert len(list(fs.list_paths(folder))) == 3
    fs.delete(f"{folder}/lock")
    fs.delete(folder)


def test_the_requester_pays_for_every_request(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    everything(make_fs(endpoint_url=proxy.url, requester_pays=True), folder, tmp_path)
    methods = {
        (request.method, "uploadId" in request.path, "list-type" in request.path)
        for request in proxy.requests
    }
    assert len(methods) >= 8  # GET, PUT, POST, HEAD, DELETE; of objects, parts and listings
    for request in proxy.requests:
        assert request.headers["x-amz-request-payer"] == "requester", request


def test_a_bucket_whose_requester_does_not_pay_refuses(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, tmp_path: Path
) -> None:
    def unpaid(request: Any) -> bool:
        return bool(request.headers["x-amz-request-payer"] != "requester")

    proxy.fail(Status(403), times=None, when=unpaid)
    thrifty = make_fs(endpoint_url=proxy.url)
    for ask in (
        lambda: thrifty.read_bytes(f"{folder}/x"),
        lambda: thrifty.file_exists(f"{folder}/x"),
        lambda: list(thrifty.list_paths(folder)),
        lambda: thrifty.copy_from(f"{folder}/x", tmp_path / "x"),
    ):
        with pytest.raises(AccessDeniedError) as caught:
            ask()
        assert "requester_pays" in str(caught.value.hint)
    assert not (tmp_path / "x").exists()
    assert not make_fs(endpoint_url=proxy.url, requester_pays=True).file_exists(f"{folder}/x")


def test_anonymous_requests_are_not_signed(
    make_fs: MakeFS, s3: S3FileSystem, proxy: FaultProxy, folder: str
) -> None:
    s3.write_bytes(f"{folder}/x", b"x")
    fs = make_fs(endpoint_url=proxy.url, anonymous=True)
    with pytest.raises(AccessDeniedError):  # moto's buckets are not public
        fs.read_bytes(f"{folder}/x")
    for request in proxy.requests:
        assert request.headers["authorization"] is None
    proxy.heal()
    make_fs(endpoint_url=proxy.url).read_bytes(f"{folder}/x")
    assert proxy.requests[0].headers["authorization"] is not None


@pytest.mark.parametrize("size", [5, 33 * MIB], ids=["at once", "in parts"])
def test_what_is_written_is_stored_as_it_was_asked_for(
    make_fs: MakeFS, proxy: FaultProxy, folder: str, size: int
) -> None:
    fs = make_fs(
        endpoint_url=proxy.url,
        storage_class="STANDARD_IA",
        server_side_encryption="aws:kms",
        sse_kms_key_id="alias/imagery",
        acl="bucket-owner-full-control",
    )
    fs.write_bytes(f"{folder}/x", bytes(size))
    made = next(r for r in proxy.requests if r.method == ("PUT" if size == 5 else "POST"))
    assert made.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert made.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert made.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/imagery"
    assert made.headers["x-amz-acl"] == "bucket-owner-full-control"
    assert fs.read_bytes(f"{folder}/x") == bytes(size)


def test_requests_go_through_the_proxy_that_is_set(
    make_fs: MakeFS, proxy: FaultProxy, folder: str
) -> None:
    fs = make_fs(proxies={"http": proxy.url})
    fs.write_bytes(f"{folder}/x", b"x")
    assert fs.read_bytes(f"{folder}/x") == b"x"
    assert len(proxy.requests) == 2


def test_a_proxy_that_is_not_there_is_told_without_its_password(make_fs: MakeFS) -> None:
    fs = make_fs(proxies={"http": "http://user:HUSH@127.0.0.1:9"})
    fs._client.retries = type(fs._client.retries)(attempts=1)
    with pytest.raises(TransferError) as caught:
        fs.info("s3://imagery/x")
    assert "HUSH" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("style", "host", "path"),
    [("virtual", "imagery.s3.example.com", "/x"), ("path", "s3.example.com", "/imagery/x")],
)
def test_buckets_are_part_of_the_host_or_of_the_path(
    make_fs: MakeFS, proxy: FaultProxy, style: str, host: str, path: str
) -> None:
    proxy.fail(Status(200), times=None)
    fs = make_fs(
        endpoint_url="http://s3.example.com",
        addressing_style=style,
        proxies={"http": proxy.url},
    )
    fs.info("s3://imagery/x")
    assert (proxy.requests[0].headers["host"], proxy.requests[0].path) == (host, path)


def test_a_region_is_part_of_the_signature(make_fs: MakeFS, proxy: FaultProxy, folder: str) -> None:
    make_fs(endpoint_url=proxy.url, region="eu-north-1").file_exists(f"{folder}/x")
    assert "/eu-north-1/s3/" in proxy.requests[0].headers["authorization"]


@pytest.fixture
def encrypted(moto_port: int, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of moto behind TLS, and the file of the certificate to trust."""
    company, certificate = trustme.CA(), tmp_path / "company.pem"
    company.cert_pem.write_to_path(str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    company.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    sockets: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                client = context.wrap_socket(plain, server_side=True)
            except OSError:
                continue
            upstream = socket.create_connection(("127.0.0.1", moto_port))
            sockets.extend((client, upstream))
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}", certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for sock in sockets:
        sock.close()


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    make_fs: MakeFS, encrypted: tuple[str, Path]
) -> None:
    with pytest.raises(StorageError, match="not trusted") as caught:
        make_fs(endpoint_url=encrypted[0]).info("s3://imagery/x")
    assert not isinstance(caught.value, TransferError)
    assert "ca_bundle" in str(caught.value.hint)


@pytest.mark.slow
def test_a_company_s_own_certificates_can_be_trusted(
    make_fs: MakeFS, encrypted: tuple[str, Path], folder: str, tmp_path: Path
) -> None:
    fs = make_fs(endpoint_url=encrypted[0], ca_bundle=str(encrypted[1]))
    everything(fs, folder, tmp_path)
