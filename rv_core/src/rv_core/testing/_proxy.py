"""An HTTP proxy on loopback that injects faults."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from email.message import Message
from io import BufferedReader
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import attrs

from rv_core.testing._faults import Fault, Request, Status
from rv_core.testing._messages import (
    Answer,
    Call,
    HangUp,
    drop_headers,
    framed,
    head_of,
    read_answer,
    read_call,
)

_HOP_BY_HOP: Final = ("Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization")
_CONTINUE_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 30.0


@attrs.define(eq=False)
class Injection:
    """A fault and the requests it is meant for; ``hits``: how many it met."""

    fault: Fault
    times: int | None
    after: int
    matches: Callable[[Request], bool]
    hits: int = 0

    def takes(self, request: Request) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        if not self.matches(request):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.hits += 1
        return True


class FaultProxy:
    """Passes HTTP/1.1 on to a server, and makes go wrong what `fail` says.

    Used as a context manager; clients talk to `url` instead of to the server. It streams in both
    directions in constant memory and opens a connection to the server for each request. Headers
    are passed on as they are, ``Host`` too, so that signatures stay valid; only those that concern
    a connection are its own. It can also serve as the forward proxy of a client's settings: the
    request then goes to the one server, whatever host it names.

    ``requests``: the `Request` of each call so far, in the order of their arrival.
    """

    def __init__(self, upstream_port: int, upstream_host: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        self._upstream = (upstream_host, upstream_port)
        self._injections: list[Injection] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def fail(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        after: int = 0,
        method: str | None = None,
        path: str | None = None,
        when: Callable[[Request], bool] | None = None,
    ) -> Injection:
        """Let a fault meet the next ``times`` (``None``: all) matching requests, after the first
        ``after`` of them.

        A request matches by its ``method``, by a ``path`` that is part of its path and query, and
        by ``when``. Several faults may meet one request; they act in the order of these calls.
        ``hits`` of what is returned tells how many requests were met.
        """

        def matches(request: Request) -> bool:
            return (
                (method is None or request.method == method)
                and (path is None or path in request.path)
                and (when is None or when(request))
            )

        injection = Injection(fault, times, after, matches)
        with self._lock:
            self._injections.append(injection)
        return injection

    def heal(self) -> None:
        """No faults any more, and no requests seen so far."""
        with self._lock:
            self._injections.clear()
            self.requests.clear()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        with suppress(OSError):  # which wakes the thread that waits in accept
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            threads = list(self._threads)
            for sock in self._sockets:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)

    def _start(self, run: Callable[..., None], *args: object) -> None:
        def main() -> None:
            try:
                run(*args)
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=main, name="fault proxy", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._keep(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        reset = False
        with client.makefile("rb") as reader:
            try:
                while self._exchange(client, reader):
                    pass
                _linger(client, reader)
            except HangUp as end:
                reset = end.reset
            except (OSError, ValueError):
                pass  # the client is gone, or talks no HTTP
        if reset:
            _wait_until_sent(client, self._closing)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(client)

    def _exchange(self, client: socket.socket, reader: BufferedReader) -> bool:
        """Serve one request; whether the connection may bring another."""
        call = read_call(reader)
        if call is None:
            return False
        with ExitStack() as ends:
            return self._serve_call(client, call, ends)

    def _serve_call(self, client: socket.socket, call: Call, ends: ExitStack) -> bool:
        method, target, version = call.start.split(" ")
        target = _origin_form(target)
        call.start = f"{method} {target} {version}"
        request = Request(method, target, _copy(call))
        faults = self._seen(request)
        stay = version != "HTTP/1.0" and call.headers.get("Connection", "").lower() != "close"
        drop_headers(call.headers, _HOP_BY_HOP)
        for fault in faults:
            ends.callback(fault.after, request)
            fault.before(request)
        for fault in faults:
            fault.change_call(call, self._pause)
        answer = next(filter(None, (fault.instead() for fault in faults)), None)
        if answer is not None:
            # As servers do, a refusal comes before the body where the client waits for leave.
            whole = "Expect" not in call.headers
            if whole:
                for _ in call.pieces:
                    pass
            answer.bodyless |= method == "HEAD"
            self._answer(client, request, answer, faults, stay=stay and whole)
            return stay and whole and not answer.ends_by_closing
        try:
            server = socket.create_connection(self._upstream)
        except OSError as error:
            refused = Status(502, body=f"the server behind the proxy: {error}".encode()).instead()
            self._answer(client, request, refused, faults, stay=False)
            return False
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._keep(server)
        try:
            with server.makefile("rb") as answers:
                call.headers["Connection"] = "close"
                whole = _pass_on(call, client, server, answers)
                answer = read_answer(answers, method)
                while answer.status == 100:
                    answer = read_answer(answers, method)
                drop_headers(answer.headers, _HOP_BY_HOP)
                self._answer(client, request, answer, faults, stay=stay and whole)
                return stay and whole and not answer.ends_by_closing
        finally:
            self._close(server)

    def _answer(
        self,
        client: socket.socket,
        request: Request,
        answer: Answer,
        faults: list[Fault],
        *,
        stay: bool,
    ) -> None:
        for fault in faults:
            fault.change_answer(answer, self._pause)
        if not stay or answer.ends_by_closing:
            answer.headers["Connection"] = "close"
        # Chunks are HTTP/1.1's; so is a connection that stays open, which the client asked for.
        answer.start = "HTTP/1.1 " + answer.start.partition(" ")[2]
        request.status = answer.status
        head = head_of(answer)
        if answer.before_each_byte_of_head is not None:
            for byte in head[:-1]:
                answer.before_each_byte_of_head()
                client.sendall(bytes([byte]))
            head = head[-1:]
        client.sendall(head)
        for piece in framed(answer):
            client.sendall(piece)

    def _seen(self, request: Request) -> list[Fault]:
        with self._lock:
            self.requests.append(request)
            return [each.fault for each in self._injections if each.takes(request)]

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise HangUp(reset=False)

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.add(sock)

    def _close(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(sock)
        sock.close()


def _pass_on(
    call: Call, client: socket.socket, server: socket.socket, answers: BufferedReader
) -> bool:
    """Send a request; whether all of it was taken before the server had an answer."""
    try:
        server.sendall(head_of(call))
        if "Expect" in call.headers:
            # A server that knows nothing of this waits for the body: so the client is told to go.
            if _has_answered(server, answers, _CONTINUE_SECONDS):
                return False
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for piece in framed(call):
            if _has_answered(server, answers, 0):
                return False
            server.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        if _has_answered(server, answers, 0):
            return False
        raise HangUp(reset=True) from None
    return True


def _has_answered(server: socket.socket, answers: BufferedReader, seconds: float) -> bool:
    """Whether there is an answer already, or the end of the connection; 100 Continue is none."""
    if not select.select([server], [], [], seconds)[0]:
        return False
    if answers.peek(16).split(b" ")[1:2] != [b"100"]:
        return True
    read_answer(answers, "")
    return False


def _linger(client: socket.socket, reader: BufferedReader) -> None:
    """Let the client read the answer: closing on bytes not read would reset the connection."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(_LINGER_SECONDS)
    while reader.read1(1 << 16):
        pass


def _wait_until_sent(client: socket.socket, closing: threading.Event) -> None:
    """A reset throws away what is not sent yet: let the bytes before it arrive."""
    if sys.platform == "win32":
        time.sleep(0.1)
        return
    import fcntl
    import termios

    end = time.monotonic() + _LINGER_SECONDS
    with suppress(OSError):
        while time.monotonic() < end and not closing.is_set():
            if fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)) == bytes(4):
                return
            time.sleep(0.002)


def _origin_form(target: str) -> str:
    """A request's target without the scheme and host that it has where a proxy is asked."""
    if target.startswith("/") or "://" not in target:
        return target
    parts = urlsplit(target)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _copy(call: Call) -> Message:
    headers = Message()
    for name, value in call.headers.items():
        headers[name] = value
    return headers
