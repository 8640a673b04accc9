"""The messages of HTTP/1.1, read piece by piece: a proxy's memory does not grow with a body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from typing import Final, Protocol

import attrs

_LONGEST_LINE: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 16
_BODYLESS: Final = {"204", "304"}


class Reader(Protocol):
    """What a connection is read by."""

    def readline(self, limit: int = ..., /) -> bytes: ...
    def read1(self, size: int = ..., /) -> bytes: ...


class HangUp(Exception):  # noqa: N818
    """End the connection here: by a RST packet with ``reset``, by a FIN otherwise."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


@attrs.define
class Call:
    """A request on its way to the server; faults change it. ``pieces``: its body."""

    start: str
    headers: Message
    pieces: Iterator[bytes]
    trailers: list[bytes]


@attrs.define
class Answer:
    """An answer on its way to the client; faults change it.

    ``start``: the status line. ``pieces``: the body, without the marks of chunks, which are set
    anew when it is sent; ``bodyless``: it has none, whatever its headers promise.
    ``before_each_byte_of_head``: is called so, where its first lines are to come slowly.
    """

    start: str
    headers: Message
    pieces: Iterator[bytes]
    trailers: list[bytes]
    bodyless: bool
    before_each_byte_of_head: Callable[[], None] | None = None

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def ends_by_closing(self) -> bool:
        """Whether only the end of the connection tells where the body ends."""
        return not (self.bodyless or is_chunked(self.headers) or "Content-Length" in self.headers)


def read_call(reader: Reader) -> Call | None:
    """The next request of a connection; ``None`` where the client is done."""
    found = _read_head(reader)
    if found is None:
        return None
    start, headers = found
    trailers: list[bytes] = []
    if not is_chunked(headers) and "Content-Length" not in headers:
        return Call(start, headers, iter(()), trailers)
    return Call(start, headers, _body(reader, headers, trailers), trailers)


def read_answer(reader: Reader, method: str) -> Answer:
    """The next answer of a server, 100 Continue included; raises `HangUp` where none comes."""
    found = _read_head(reader)
    if found is None:
        raise HangUp(reset=False)
    start, headers = found
    code = start.split(" ")[1]
    bodyless = method == "HEAD" or code in _BODYLESS or code.startswith("1")
    trailers: list[bytes] = []
    pieces = iter(()) if bodyless else _body(reader, headers, trailers)
    return Answer(start, headers, pieces, trailers, bodyless)


def head_of(message: Call | Answer) -> bytes:
    """The first lines of a message, up to the empty one."""
    lines = [message.start, *(f"{name}: {value}" for name, value in message.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def framed(message: Call | Answer) -> Iterator[bytes]:
    """The body as it goes over the wire: in chunks where the headers say so."""
    if isinstance(message, Answer) and message.bodyless:
        # The pieces are asked for all the same: a fault may lie in wait in them.
        yield from (b"" for _ in message.pieces)
    elif is_chunked(message.headers):
        for piece in filter(None, message.pieces):
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield b"".join([b"0\r\n", *message.trailers, b"\r\n"])
    else:
        yield from filter(None, message.pieces)


def is_chunked(headers: Message) -> bool:
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def drop_headers(headers: Message, names: Iterable[str]) -> None:
    for name in names:
        del headers[name]  # no error where it is not there


def _read_head(reader: Reader) -> tuple[str, Message] | None:
    line = reader.readline(_LONGEST_LINE)
    while line in (b"\r\n", b"\n"):
        line = reader.readline(_LONGEST_LINE)
    if not line:
        return None
    headers = Message()
    while (field := _line(reader)).strip():
        name, _, value = field.decode("latin-1").partition(":")
        headers[name] = value.strip()
    return line.decode("latin-1").rstrip("\r\n"), headers


def _body(reader: Reader, headers: Message, trailers: list[bytes]) -> Iterator[bytes]:
    """Reads as the headers say now: a fault may change them before the body is asked for."""
    if is_chunked(headers):
        return _chunks(reader, trailers)
    if "Content-Length" in headers:
        return _fixed(reader, int(headers["Content-Length"]))
    return iter(lambda: _read(reader, _PIECE_BYTES), b"")


def _chunks(reader: Reader, trailers: list[bytes]) -> Iterator[bytes]:
    while size := int(_line(reader).split(b";")[0], 16):
        yield from _fixed(reader, size)
        _line(reader)
    while (line := _line(reader)).strip():
        trailers.append(line)


def _fixed(reader: Reader, size: int) -> Iterator[bytes]:
    while size:
        piece = _read(reader, min(size, _PIECE_BYTES))
        if not piece:
            raise HangUp(reset=False)
        size -= len(piece)
        yield piece


def _read(reader: Reader, size: int) -> bytes:
    try:
        return reader.read1(size)
    except OSError:
        raise HangUp(reset=True) from None


def _line(reader: Reader) -> bytes:
    try:
        line = reader.readline(_LONGEST_LINE)
    except OSError:
        raise HangUp(reset=True) from None
    if not line.endswith(b"\n"):
        raise HangUp(reset=False)
    return line
