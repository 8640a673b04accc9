"""What goes wrong on networks and servers, one class a fault, for `FaultProxy.fail`.

Where a fault counts bytes, it counts those of the body as the server sent it, from 0 in every
answer; one that lies behind the end of a body does not happen.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.client import responses

import attrs

from rv_core.testing._messages import Answer, Call, HangUp, drop_headers

Pause = Callable[[float], None]
"""Waits for that many seconds; raises `HangUp` where the proxy is closed meanwhile."""


@attrs.define(eq=False)
class Request:
    """A request that a `FaultProxy` has seen.

    ``path``: with its query. ``headers``: as the client sent them; asked by name in any case
    (``request.headers["range"]``), ``None`` for one that is missing. ``status``: the code of the
    answer that was given, ``None`` as long as there is none.
    """

    method: str
    path: str
    headers: Message
    status: int | None = None


class Fault:
    """Something that happens to a request or to its answer; by default nothing does."""

    def before(self, request: Request) -> None:
        """Called before a request is passed on."""

    def change_call(self, call: Call, pause: Pause) -> None:
        """Change what the server gets."""

    def instead(self) -> Answer | None:
        """The answer, where the server is not to be asked."""
        return None

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        """Change what the client gets."""

    def after(self, request: Request) -> None:
        """Called when all of the answer was sent, or none or not all of it can be."""


@attrs.frozen
class Reset(Fault):
    """The connection is reset (RST) after that many bytes of the answer's body; after 0, no
    answer is given at all, though the server did what it was asked."""

    after_bytes: int = 0

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        if self.after_bytes == 0:
            raise HangUp(reset=True)
        answer.pieces = _cut(answer.pieces, self.after_bytes, reset=True)


@attrs.frozen
class ResetUpload(Fault):
    """The connection, and the server's, is reset after that many bytes of the request's body."""

    after_bytes: int = 0

    def change_call(self, call: Call, pause: Pause) -> None:
        call.pieces = _cut(call.pieces, self.after_bytes, reset=True)


@attrs.frozen
class Truncate(Fault):
    """The connection is closed after that many bytes of the answer's body: fewer than its
    Content-Length promised, or without the last chunk."""

    after_bytes: int

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        answer.pieces = _cut(answer.pieces, self.after_bytes, reset=False)


@attrs.frozen
class Status(Fault):
    """The proxy answers itself, redirects too; the server is not asked."""

    code: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    def instead(self) -> Answer:
        headers = Message()
        for name, value in self.headers.items():
            headers[name] = value
        bodyless = self.code in (204, 304)
        if not bodyless and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(self.body))
        start = f"HTTP/1.1 {self.code} {responses.get(self.code, 'Unknown')}"
        return Answer(start, headers, iter((self.body,)), [], bodyless)


@attrs.frozen
class AtMost(Fault):
    """The server takes that many requests at a time, each for some ``seconds`` at least, and turns
    down the others by a status ``code``. One such fault counts all the requests that it meets."""

    most: int
    seconds: float = 0.0
    code: int = 503
    _taken: set[Request] = attrs.field(init=False, factory=set)
    _turned_down: set[int] = attrs.field(init=False, factory=set)
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)

    def before(self, request: Request) -> None:
        with self._lock:
            if len(self._taken) < self.most:
                self._taken.add(request)
            else:
                self._turned_down.add(threading.get_ident())

    def instead(self) -> Answer | None:
        turned_down = threading.get_ident() in self._turned_down
        return Status(self.code).instead() if turned_down else None

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        if threading.get_ident() not in self._turned_down:
            pause(self.seconds)

    def after(self, request: Request) -> None:
        with self._lock:
            self._taken.discard(request)
            self._turned_down.discard(threading.get_ident())


@attrs.frozen
class Stall(Fault):
    """Nothing comes for that many seconds after that many bytes of the answer's body (after 0:
    before the status line), then all the rest."""

    after_bytes: int
    seconds: float

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        if self.after_bytes == 0:
            pause(self.seconds)
        else:
            answer.pieces = _stall(answer.pieces, self.after_bytes, self.seconds, pause)


@attrs.frozen
class StallUpload(Fault):
    """After that many bytes of the request's body, nothing more is taken for as many seconds."""

    after_bytes: int
    seconds: float

    def change_call(self, call: Call, pause: Pause) -> None:
        call.pieces = _stall(call.pieces, self.after_bytes, self.seconds, pause)


@attrs.frozen
class Drip(Fault):
    """The answer's body comes at that speed, from that byte on."""

    bytes_per_second: float
    after_bytes: int = 0

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        answer.pieces = self._drip(answer.pieces, pause)

    def _drip(self, pieces: Iterator[bytes], pause: Pause) -> Iterator[bytes]:
        step = max(1, round(self.bytes_per_second / 10))
        for offset, piece in _split(pieces, self.after_bytes):
            if offset < self.after_bytes:
                yield piece
                continue
            for start in range(0, len(piece), step):
                pause(step / self.bytes_per_second)
                yield piece[start : start + step]


@attrs.frozen
class DripHead(Fault):
    """The answer's status line and headers come at that speed."""

    bytes_per_second: float

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        def wait() -> None:
            pause(1 / self.bytes_per_second)

        answer.before_each_byte_of_head = wait


@attrs.frozen
class FlipByte(Fault):
    """All bits of the byte at that offset of the answer's body are turned."""

    at: int

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        answer.pieces = self._flip(answer.pieces)

    def _flip(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for offset, piece in _split(pieces, self.at):
            yield bytes([piece[0] ^ 0xFF]) + piece[1:] if offset == self.at else piece


@attrs.frozen(init=False)
class DropHeaders(Fault):
    """These headers of the answer are lost."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        self.__attrs_init__(names)

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        drop_headers(answer.headers, self.names)


@attrs.frozen
class SetHeaders(Fault):
    """These headers of the answer have these values."""

    headers: Mapping[str, str]

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        drop_headers(answer.headers, self.headers)
        for name, value in self.headers.items():
            answer.headers[name] = value


@attrs.frozen(init=False)
class DropRequestHeaders(Fault):
    """The server does not get these headers of the request."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        self.__attrs_init__(names)

    def change_call(self, call: Call, pause: Pause) -> None:
        drop_headers(call.headers, self.names)


@attrs.frozen
class IgnoreRange(Fault):
    """The server does not know ranges, and says so: it sends the whole file with a 200."""

    def change_call(self, call: Call, pause: Pause) -> None:
        drop_headers(call.headers, ("Range", "If-Range"))

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        drop_headers(answer.headers, ("Accept-Ranges",))


@attrs.frozen
class Gzip(Fault):
    """The answer's body is compressed, whatever the client accepts, and its length not told."""

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        if not answer.bodyless:
            answer.headers["Content-Encoding"] = "gzip"
            answer.pieces = _gzip(answer.pieces)
            _make_chunked(answer)


@attrs.frozen
class Chunked(Fault):
    """The answer's body comes in chunks, and its length is not told."""

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        if not answer.bodyless:
            _make_chunked(answer)


@attrs.frozen
class NoLength(Fault):
    """The answer tells neither a length nor chunks: its end is that of the connection."""

    def change_answer(self, answer: Answer, pause: Pause) -> None:
        drop_headers(answer.headers, ("Content-Length", "Transfer-Encoding"))


@attrs.frozen
class Before(Fault):
    """Calls something before the request is passed on, such as what replaces the file there.
    It may take the request as its argument, or none."""

    callback: Callable[[Request], object] | Callable[[], object]

    def before(self, request: Request) -> None:
        from inspect import signature

        arguments = (request,) if signature(self.callback).parameters else ()
        self.callback(*arguments)


def _split(pieces: Iterator[bytes], at: int) -> Iterator[tuple[int, bytes]]:
    """The pieces with their offsets, cut so that one starts at ``at``."""
    offset = 0
    for piece in pieces:
        if offset < at < offset + len(piece):
            yield offset, piece[: at - offset]
            yield at, piece[at - offset :]
        elif piece:
            yield offset, piece
        offset += len(piece)


def _cut(pieces: Iterator[bytes], after: int, *, reset: bool) -> Iterator[bytes]:
    for offset, piece in _split(pieces, after):
        if offset >= after:
            raise HangUp(reset=reset)
        yield piece


def _stall(pieces: Iterator[bytes], after: int, seconds: float, pause: Pause) -> Iterator[bytes]:
    for offset, piece in _split(pieces, after):
        if offset == after:
            pause(seconds)
        yield piece


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _make_chunked(answer: Answer) -> None:
    drop_headers(answer.headers, ("Content-Length", "Transfer-Encoding"))
    answer.headers["Transfer-Encoding"] = "chunked"
