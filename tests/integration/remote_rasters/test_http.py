"""Rasters on web servers are read where they lie, or copied: whichever costs less."""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from numpy.typing import NDArray
from remote_reading import FEW, PASSWORD, SECRETS, cached, open_raster, read, shown

from rv_core import (
    AccessDeniedError,
    DataError,
    FileInfo,
    Kernel,
    Window,
)

pytestmark = pytest.mark.slow  # servers


class Server(ThreadingHTTPServer):
    """One file, under ``/plain/``; ``/secret/``: for those who know the password; ``/whole/``:
    without ranges; ``/moved/``: redirects to ``/plain/``; ``/dated/``: with a time, and no etag."""

    daemon_threads = True

    def __init__(self, data: bytes, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.tag, self.time = data, '"v1"', "Mon, 06 Jan 2020 10:00:00 GMT"
        self.requests: list[tuple[str, int]] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme, host = ("https", "localhost") if context else ("http", "127.0.0.1")
        self.address = f"{host}:{self.server_address[1]}"
        self.url = f"{scheme}://{self.address}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server, way = self.server, self.path.split("/")[1]
        if way == "moved":
            return self._say(302, {"Location": self.path.replace("moved", "plain", 1)})
        if way not in ("plain", "secret", "whole", "dated"):
            return self._say(404, {})
        if way == "secret" and not (self.headers["Authorization"] or "").startswith("Basic "):
            return self._say(401, {"WWW-Authenticate": "Basic"})
        version = {"Last-Modified": server.time}
        if way != "dated":
            version["ETag"] = server.tag
        condition = self.headers["If-Match"] or self.headers["If-Unmodified-Since"]
        if condition and condition not in (server.tag, server.time):
            return self._say(412, {})
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if found is None or way == "whole":
            return self._say(200, version, server.data)
        start = int(found[1])
        part = server.data[start : int(found[2]) + 1 if found[2] else None]
        span = f"bytes {start}-{start + len(part) - 1}/{len(server.data)}"
        return self._say(206, {**version, "Content-Range": span}, part)

    def _say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        sent = b"" if self.command == "HEAD" else body
        self.server.requests.append((self.path, len(sent)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve(image: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(context: ssl.SSLContext | None = None) -> Server:
        server = Server(image.read_bytes(), context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("way", ["plain", "dated"])
def test_a_few_windows_of_a_web_server_cost_little(
    serve: Callable[..., Server], pixels: NDArray[np.uint8], way: str
) -> None:
    server = serve()
    with open_raster(f"{server.url}/{way}/scene.tif") as raster:
        read(raster, FEW, pixels)
    assert sum(size for _, size in server.requests) < 0.25 * len(server.data)
    assert len(server.requests) < 15
    assert not cached()


def test_passwords_go_along_and_stay_secret(
    serve: Callable[..., Server], pixels: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve()
    url = f"http://reader:{PASSWORD}@{server.address}/secret/scene.tif?sig=hush-signature"
    with open_raster(url) as raster:
        read(raster, FEW, pixels)
        assert not any(secret in repr(raster) + repr(raster.files) for secret in SECRETS)
        assert not cached()
        server.tag = '"v2"'
        with pytest.raises(DataError, match=r"/secret/scene\.tif changed") as changed:
            raster.read(Window(700, 700, 50, 50))
    assert not any(secret in shown(changed.value) + caplog.text for secret in SECRETS)
    named = Kernel(config={"http": {"hosts": {server.address: {"token": "wrong"}}}})
    with pytest.raises(AccessDeniedError, match=r"/secret/scene\.tif"):
        open_raster(f"{server.url}/secret/scene.tif", named)


def test_certificates_of_ones_own_are_trusted(
    serve: Callable[..., Server], pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = serve(context)
    kernel = Kernel(config={"http": {"ca_bundle": str(tmp_path / "ca.pem")}})
    with open_raster(f"{server.url}/plain/scene.tif", kernel, access="in_place") as raster:
        read(raster, FEW, pixels)
        assert raster.files[0].remote is not None


@pytest.mark.parametrize("way", ["whole", "moved"])
def test_servers_that_gdal_would_not_get_along_with_are_copied_from(
    serve: Callable[..., Server], pixels: NDArray[np.uint8], way: str
) -> None:
    server = serve()
    with open_raster(f"{server.url}/{way}/scene.tif") as raster:
        read(raster, FEW, pixels)
    assert len(cached()) == 1


def test_settings_that_gdal_cannot_keep_to_mean_a_copy(serve: Callable[..., Server]) -> None:
    server = serve()
    fs = Kernel(config={"http": {"refuse_private": True}}).filesystem(server.url)
    version = FileInfo(len(server.data), None, server.tag)
    assert fs.gdal_access(f"{server.url}/plain/scene.tif", version) is None
    assert not server.requests
