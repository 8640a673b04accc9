"""A small fast S3 server for the benchmarks, a process of its own: one thread, epoll, sendfile.

``python server.py <folder> <milliseconds>...``: a port of loopback for each number, all with the
same objects; an answer on that port waits for so long. It prints the ports, then ``ready``. A small
request takes it about a tenth of a millisecond, so that clients are what is measured.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import socket
import sys
import time
from collections import deque
from http.client import responses
from pathlib import Path

from s3_objects import IN_MEMORY_BYTES, Bucket, Piece

SHARED = memoryview(bytearray(1 << 20))  # everyone receives into it: there is one thread
AT_ONCE = 4  # pieces of it that one connection moves before the others have a turn
REASONS = {code: reason.encode() for code, reason in responses.items()}


class Connection:
    def __init__(self, sock: socket.socket, server: Server, wait: float) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.server, self.wait = sock, server, wait
        self.buffer = bytearray()
        self.out: deque[Piece] = deque()
        self.busy = False  # between the end of a request and the end of its answer
        self.writing = False
        self.left = 0  # of the request's body
        self.sink: list[bytes] | int = []
        self.file: Path | None = None
        self.start = b""

    def receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                count = self.sock.recv_into(SHARED)
            except BlockingIOError:
                return
            if not count:
                self.server.close(self)
                return
            self.take(SHARED[:count])
            if count < len(SHARED):
                return

    def take(self, data: memoryview) -> None:
        if self.left:
            body, data = data[: self.left], data[self.left :]
            self.body(body)
        if data:
            self.buffer += data
        if not self.busy and not self.left:
            self.next()

    def next(self) -> None:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if "transfer-encoding" in self.headers or "aws-chunked" in self.headers.get(
            "content-encoding", ""
        ):
            self.say(501, {"Connection": "close"}, [], 0)
            return
        self.size = self.left = int(self.headers.get("content-length", 0))
        if self.left > IN_MEMORY_BYTES:
            self.file = self.server.bucket.new_file()
            self.sink = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        else:
            self.file, self.sink = None, []
        if not self.left:
            self.complete()
            return
        if "expect" in self.headers:
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.buffer:
            data, self.buffer = self.buffer, bytearray()
            self.take(memoryview(data))

    def body(self, data: memoryview) -> None:
        self.left -= len(data)
        if isinstance(self.sink, list):
            self.sink.append(bytes(data))
        else:
            while data:
                data = data[os.write(self.sink, data) :]
        if not self.left:
            if not isinstance(self.sink, list):
                os.close(self.sink)
            self.complete()

    def complete(self) -> None:
        self.busy = True
        if self.wait:
            self.server.later(self.wait, self)
        else:
            self.answer()

    def answer(self) -> None:
        data = b"".join(self.sink) if isinstance(self.sink, list) else self.file
        assert data is not None
        bucket = self.server.bucket
        self.say(*bucket.answer(self.method, self.target, self.headers, (data, self.size)))

    def say(self, status: int, headers: dict[str, str], body: list[Piece], length: int) -> None:
        self.busy = True
        lines = [b"HTTP/1.1 %d %b" % (status, REASONS[status])]
        lines += [f"{name}: {value}".encode() for name, value in headers.items()]
        if status not in (204, 304):
            lines.append(b"Content-Length: %d" % length)
        head = b"\r\n".join([*lines, b"", b""])
        if body and isinstance(body[0], bytes):
            head += body.pop(0)
        self.out.append(head)
        self.out.extend(body)
        self.send()

    def send(self) -> None:
        sent = 0
        while self.out and sent < AT_ONCE * len(SHARED):
            piece = self.out.popleft()
            try:
                if isinstance(piece, bytes):
                    count = self.sock.send(piece)
                    rest: Piece = piece[count:]
                else:
                    path, at, size = piece
                    count = os.sendfile(
                        self.sock.fileno(), self.server.opened(path), at, min(size, 1 << 20)
                    )
                    rest = (path, at + count, size - count) if count < size else b""
            except BlockingIOError:
                self.out.appendleft(piece)
                break
            except OSError:
                self.server.close(self)
                return
            sent += count
            if rest:
                self.out.appendleft(rest)
        if bool(self.out) != self.writing:
            self.writing = bool(self.out)
            events = select.EPOLLIN | (select.EPOLLOUT if self.writing else 0)
            self.server.epoll.modify(self.sock, events)
        if not self.out:
            self.busy = False
            self.next()


class Server:
    def __init__(self, folder: Path, waits: list[float]) -> None:
        self.bucket = Bucket(folder)
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.listeners: dict[int, tuple[socket.socket, float]] = {}
        self.timers: list[tuple[float, int, Connection]] = []
        self.counter = itertools.count()
        self.files: dict[Path, int] = {}
        self.ports = []
        for wait in waits:
            sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
            sock.setblocking(False)
            self.listeners[sock.fileno()] = sock, wait
            self.epoll.register(sock, select.EPOLLIN)
            self.ports.append(sock.getsockname()[1])

    def opened(self, path: Path) -> int:
        if path not in self.files:
            if len(self.files) >= 64:
                os.close(self.files.pop(next(iter(self.files))))
            self.files[path] = os.open(path, os.O_RDONLY)
        return self.files[path]

    def later(self, seconds: float, connection: Connection) -> None:
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.counter), connection))

    def close(self, connection: Connection) -> None:
        if connection.sock.fileno() >= 0:
            del self.connections[connection.sock.fileno()]
            self.epoll.unregister(connection.sock)
            connection.sock.close()

    def run(self) -> None:
        while True:
            wait = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else -1
            for number, events in self.epoll.poll(wait):
                if number in self.listeners:
                    sock, wait = self.listeners[number]
                    client = Connection(sock.accept()[0], self, wait)
                    self.connections[client.sock.fileno()] = client
                    self.epoll.register(client.sock, select.EPOLLIN)
                    continue
                connection = self.connections.get(number)
                if connection is None:
                    continue
                try:
                    if events & select.EPOLLOUT:
                        connection.send()
                    if events & ~select.EPOLLOUT and connection.sock.fileno() >= 0:
                        connection.receive()
                except OSError:
                    self.close(connection)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                connection = heapq.heappop(self.timers)[2]
                if connection.sock.fileno() >= 0:
                    connection.answer()


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]), [float(number) / 1000 for number in sys.argv[2:]])
    print(*server.ports, "ready", flush=True)
    server.run()
