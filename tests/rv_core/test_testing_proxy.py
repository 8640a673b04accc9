"""The proxy that makes networks fail passes everything else on, and fails as it is told."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rv_core.testing import (
    Before,
    Chunked,
    Drip,
    DripHead,
    DropHeaders,
    DropRequestHeaders,
    FaultProxy,
    FlipByte,
    Gzip,
    IgnoreRange,
    NoLength,
    Reset,
    ResetUpload,
    SetHeaders,
    Stall,
    StallUpload,
    Status,
    Truncate,
)

BODY = bytes(range(256)) * 4096  # 1 MiB
HUGE = 256 * 2**20


class Handler(BaseHTTPRequestHandler):
    """Serves BODY with ranges, tells what it was sent, and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/chunked":
            self._start(200, Transfer_Encoding="chunked")
            self.wfile.write(b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n")
        elif self.path == "/nothing":
            self._start(204)
        elif self.path == "/old":
            self._start(304, ETag='"v1"')
        elif self.path == "/close":
            self._start(200, Connection="close")
            self.wfile.write(BODY)
            self.close_connection = True
        elif self.path == "/broken":
            self._start(200, Content_Length=len(BODY))
            self.wfile.write(BODY[:1000])
            self.close_connection = True
        elif self.path == "/huge":
            self._start(200, Content_Length=HUGE)
            for _ in range(HUGE >> 20):
                self.wfile.write(bytes(1 << 20))
        elif wanted := self.headers["Range"]:
            first, last = wanted.removeprefix("bytes=").split("-")
            piece = BODY[int(first) : int(last) + 1]
            span = f"bytes {first}-{last}/{len(BODY)}"
            self._start(206, Content_Length=len(piece), Content_Range=span)
            self.wfile.write(piece)
        else:
            self._start(200, Content_Length=len(BODY), ETag='"v1"', Host=self.headers["Host"])
            self.wfile.write(BODY)

    def do_HEAD(self) -> None:
        self._start(200, Content_Length=len(BODY))

    def do_PUT(self) -> None:
        if self.path == "/refused":
            self._start(403, Content_Length=2, Connection="close")
            self.wfile.write(b"no")
            self.close_connection = True
            return
        found = hashlib.sha256()
        for piece in self._pieces():
            found.update(piece)
        self.server.uploads.append(found.hexdigest())  # type: ignore[attr-defined]
        self._start(200, Content_Length=64)
        self.wfile.write(found.hexdigest().encode())

    def _pieces(self) -> Iterator[bytes]:
        if self.headers["Transfer-Encoding"] == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                raise ConnectionError
            left -= len(piece)
            yield piece

    def _start(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.uploads: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *args: object) -> None:
        pass  # clients that hang up are what this is about


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.server_port) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    yield connection
    connection.close()


@pytest.fixture
def get(
    client: http.client.HTTPConnection,
) -> Callable[..., tuple[http.client.HTTPResponse, bytes]]:
    def ask(
        path: str = "/file", method: str = "GET", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer, answer.read()

    return ask


def test_everything_passes_while_no_fault_is_set(proxy, client, get):
    answer, body = get("/file?a=b%20c", X_Odd="1")
    assert body == BODY
    assert answer.headers["ETag"] == '"v1"'
    assert answer.headers["Host"] == f"127.0.0.1:{proxy.port}", "what the client sent, untouched"
    first = client.sock
    assert get("/chunked")[1] == b"abcdefg"
    assert get("/nothing")[0].status == 204
    assert get("/old")[0].headers["ETag"] == '"v1"'
    assert get(method="HEAD")[0].headers["Content-Length"] == str(len(BODY))
    assert get(Range="bytes=5-9")[1] == BODY[5:10]
    assert client.sock is first, "all over one connection, kept alive"
    assert get("/close")[1] == BODY
    assert [(r.method, r.path, r.status) for r in proxy.requests[:2]] == [
        ("GET", "/file?a=b%20c", 200),
        ("GET", "/chunked", 200),
    ]
    assert proxy.requests[0].headers["x_odd"] == "1"


def test_bodies_go_up_with_a_length_and_in_chunks(server, client):
    expected = hashlib.sha256(BODY).hexdigest().encode()
    for _ in range(2):  # the connection stays
        client.request("PUT", "/x", body=BODY)
        assert client.getresponse().read() == expected
        client.request("PUT", "/x", body=iter([BODY[:7], BODY[7:]]), encode_chunked=True)
        assert client.getresponse().read() == expected


def test_a_client_that_asks_first_gets_leave_or_a_refusal(proxy):
    head = "PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as sock:
        sock.sendall(head.format("/x").encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(12) == b"HTTP/1.1 200"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as sock:
        proxy.fail(Status(503))
        sock.sendall(head.format("/x").encode())
        assert sock.recv(12) == b"HTTP/1.1 503"


def test_an_answer_before_the_end_of_the_upload_gets_through(client):
    client.request("PUT", "/refused", body=bytes(1000))
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (403, b"no")


def test_memory_does_not_grow_with_the_body(proxy, client):
    client.request("GET", "/huge")
    answer = client.getresponse()
    buffer = bytearray(1 << 16)
    tracemalloc.start()
    try:
        assert sum(iter(lambda: answer.readinto(buffer), 0)) == HUGE
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * 2**20


def test_reset_after_some_bytes_and_before_all(proxy, get, client):
    fault = proxy.fail(Reset(1000))
    with pytest.raises(ConnectionResetError):
        get()
    assert (fault.hits, proxy.requests[0].status) == (1, 200)
    client.close()
    proxy.fail(Reset(0))
    with pytest.raises(ConnectionResetError):
        get()
    client.close()
    assert get()[1] == BODY, "once only"


def test_the_bytes_before_a_reset_arrive(proxy):
    proxy.fail(Reset(1000))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as sock:
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        found = b""
        with pytest.raises(ConnectionResetError):
            while True:
                found += sock.recv(100)
    assert found.partition(b"\r\n\r\n")[2] == BODY[:1000]


def test_truncation_is_less_than_was_promised(proxy, get):
    proxy.fail(Truncate(1000))
    with pytest.raises(http.client.IncompleteRead) as caught:
        get()
    assert caught.value.partial == BODY[:1000]


def test_an_answer_that_the_server_breaks_off_stays_broken(get):
    with pytest.raises(http.client.IncompleteRead):
        get("/broken")


def test_uploads_break_and_stall(proxy, client, server):
    proxy.fail(ResetUpload(100_000), method="PUT")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        client.request("PUT", "/x", body=BODY)
        client.getresponse()
    client.close()
    assert server.uploads == []
    proxy.fail(StallUpload(100_000, 0.3))
    start = time.monotonic()
    client.request("PUT", "/x", body=BODY)
    assert client.getresponse().status == 200
    assert time.monotonic() - start >= 0.3


def test_statuses_are_given_instead_of_an_answer(proxy, get, client):
    proxy.fail(Status(429, {"Retry-After": "2"}, b"slow down"), times=2)
    for _ in range(2):
        answer, body = get()
        assert (answer.status, answer.headers["Retry-After"], body) == (429, "2", b"slow down")
    assert get()[0].status == 200
    proxy.fail(Status(302, {"Location": "file:///etc/passwd"}))
    assert get()[0].headers["Location"] == "file:///etc/passwd"
    proxy.fail(Status(405), method="HEAD")
    assert get()[0].status == 200
    assert get(method="HEAD")[0].status == 405
    proxy.fail(Status(503))
    client.request("PUT", "/x", body=BODY)
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (503, b"")
    assert get()[1] == BODY, "the connection is still good"


def test_stalls_and_drips_take_their_time(proxy, get):
    for fault, seconds in ((Stall(0, 0.3), 0.3), (Stall(5000, 0.3), 0.3)):
        proxy.fail(fault)
        start = time.monotonic()
        assert get()[1] == BODY
        assert time.monotonic() - start >= seconds
    proxy.fail(Drip(10, after_bytes=2))
    start = time.monotonic()
    assert get(Range="bytes=0-4")[1] == BODY[:5]
    assert time.monotonic() - start >= 0.3
    proxy.fail(DripHead(100))
    start = time.monotonic()
    assert get()[1] == BODY
    assert time.monotonic() - start >= 0.3  # for thirty bytes at least


def test_closing_ends_stalls_at_once(server):
    start = time.monotonic()
    with FaultProxy(server.server_port) as proxy:
        proxy.fail(Stall(0, 3600))
        sock = socket.create_connection(("127.0.0.1", proxy.port))
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        while not proxy.requests:
            time.sleep(0.01)
    sock.close()
    assert time.monotonic() - start < 60


def test_a_byte_is_flipped(proxy, get):
    proxy.fail(FlipByte(70_000))
    found = get()[1]
    assert len(found) == len(BODY)
    assert [i for i in range(len(BODY)) if found[i] != BODY[i]] == [70_000]


def test_headers_are_lost_and_changed(proxy, get):
    proxy.fail(DropHeaders("etag", "Content-Length"))
    answer, body = get()
    assert "ETag" not in answer.headers
    assert body == BODY
    proxy.fail(SetHeaders({"etag": '"v2"'}))
    assert get()[0].headers.get_all("ETag") == ['"v2"']
    proxy.fail(DropRequestHeaders("Range"))
    assert get(Range="bytes=0-4")[0].status == 200
    assert proxy.requests[-1].headers["Range"] == "bytes=0-4", "what the client sent"


def test_a_server_without_ranges(proxy, get):
    proxy.fail(IgnoreRange(), times=None)
    answer, body = get(Range="bytes=0-4")
    assert (answer.status, body) == (200, BODY)


def test_lengths_are_withheld(proxy, get):
    proxy.fail(Gzip())
    answer, body = get()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == BODY
    for fault in (Chunked(), NoLength()):
        proxy.fail(fault)
        answer, body = get()
        assert "Content-Length" not in answer.headers
        assert body == BODY
        assert answer.headers["Transfer-Encoding"] == ("chunked" if fault == Chunked() else None)
        proxy.fail(fault)
        assert get(method="HEAD")[0].status == 200


def test_something_happens_before_a_request(proxy, get):
    seen: list[object] = []
    proxy.fail(Before(lambda request: seen.append(request.path)))
    proxy.fail(Before(lambda: seen.append("plain")))
    get()
    assert seen == ["/file", "plain"]


def test_a_fault_meets_the_requests_that_it_is_meant_for(proxy, get):
    fault = proxy.fail(Status(500), times=2, after=1, path="part=")
    third = proxy.fail(Status(501), when=lambda request: request.headers["X-Id"] == "7")
    codes = [get(p)[0].status for p in ("/x", "/f?part=1", "/f?part=2", "/f?part=3", "/f?part=4")]
    assert codes == [200, 200, 500, 500, 200]
    assert fault.hits == 2
    assert get(**{"X-Id": "7"})[0].status == 501
    assert third.hits == 1
    proxy.fail(Status(500), times=None)
    assert {get()[0].status for _ in range(5)} == {500}
    proxy.heal()
    assert get()[0].status == 200
    assert len(proxy.requests) == 1


def test_faults_act_together(proxy, get):
    proxy.fail(IgnoreRange())
    proxy.fail(FlipByte(0))
    proxy.fail(Gzip())
    assert gzip.decompress(get(Range="bytes=5-9")[1]) == b"\xff" + BODY[1:]


def test_it_serves_as_a_forward_proxy(proxy):
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    client.request("GET", "http://storage.test/file?x=1")
    assert client.getresponse().read() == BODY
    client.close()
    assert proxy.requests[0].path == "/file?x=1"


def test_a_server_that_is_down_is_a_bad_gateway():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(unused.getsockname()[1]) as proxy:
            client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
            client.request("GET", "/")
            assert client.getresponse().status == 502
            client.close()
