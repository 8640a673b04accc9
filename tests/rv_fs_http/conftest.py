"""A web server on loopback that behaves as its paths say."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rv_fs_http import HttpFileSystem

BODY = bytes(range(256)) * 4096  # 1 MiB
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))  # type: ignore[attr-defined]
        name = self.path.partition("?")[0].rpartition("/")[2]
        getattr(self, f"say_{name.partition('.')[0]}", self.say_file)()

    def do_HEAD(self) -> None:
        self.server.requests.append((self.command, self.path, {}))  # type: ignore[attr-defined]
        self.send_error(405)

    def _start(self, code: int = 200, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def say_file(self) -> None:
        self._start(Content_Length=len(BODY), ETag='"v1"', Last_Modified=MODIFIED)
        self.wfile.write(BODY)

    def say_empty(self) -> None:
        self._start(Content_Length=0)

    def say_chunked(self) -> None:
        self._start(Transfer_Encoding="chunked")
        for start in range(0, len(BODY), 100_000):
            piece = BODY[start : start + 100_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def say_chunkedshort(self) -> None:
        self._start(Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n" % (1000, b"x" * 1000))
        self.close_connection = True

    def say_short(self) -> None:
        self._start(Content_Length=len(BODY))
        self.wfile.write(BODY[:700_000])
        self.close_connection = True

    def say_stall(self) -> None:
        self._start(Content_Length=len(BODY))
        self.wfile.write(BODY[:1000])
        self.wfile.flush()
        time.sleep(5)

    def say_silent(self) -> None:
        time.sleep(5)

    def say_huge(self) -> None:
        size = 200 * 2**20
        self._start(Content_Length=size)
        for _ in range(200):
            self.wfile.write(bytes(2**20))

    def say_gzip(self) -> None:
        packed = gzip.compress(BODY)
        self._start(Content_Length=len(packed), Content_Encoding="gzip")
        self.wfile.write(packed)

    def say_notgzip(self) -> None:
        self._start(Content_Length=9, Content_Encoding="gzip")
        self.wfile.write(b"not a zip")

    def say_status(self) -> None:
        code = int(self.path.partition("?")[0].rpartition(".")[2])
        self._start(code, Content_Length=0, **({"Location": "/x"} if code == 300 else {}))

    def say_redirect(self) -> None:
        self._start(302, Location="/file.bin?sig=HUSH", Content_Length=0)

    def say_circle(self) -> None:
        self._start(302, Location="/circle?sig=HUSH", Content_Length=0)

    def say_away(self) -> None:
        self._start(302, Location="file:///etc/passwd", Content_Length=0)

    def say_rude(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def say_odd(self) -> None:
        self._start(Content_Length=0, Last_Modified="yesterday")

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # more clients at once than the five that the default lets wait
    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> HttpFileSystem:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return HttpFileSystem(connect_timeout=1, read_timeout=0.5)
