"""Answers are read as http.client reads them, where they are simple enough to be read faster."""

from __future__ import annotations

import http.client
import socket

from hypothesis import given
from hypothesis import strategies as st
from rv_fs_http._responses import Response

NAMES = ["Content-Length", "content-length", "Connection", "Transfer-Encoding", "ETag", "X-Other"]
VALUES = ["5", " 5 ", "0", "-1", "x", "", "close", "keep-alive", "Keep-Alive", "chunked", '"a:b"']
STARTS = ["HTTP/1.1 200 OK", "HTTP/1.1 206 ", "HTTP/1.1 200  a  b ", "HTTP/1.0 200 OK"]


def begun(kind: type[http.client.HTTPResponse], answer: bytes) -> list[object]:
    """What is known of an answer, and its body."""
    server, client = socket.socketpair()
    with server, client:
        client.settimeout(5)
        server.sendall(answer)
        server.shutdown(socket.SHUT_WR)
        found = kind(client)
        found.begin()
        told: list[object] = [
            found.version,
            found.status,
            found.reason,
            found.length,
            found.chunked,
        ]
        assert found.msg is found.headers
        # http.client leaves the blanks behind a value, which do not belong to it.
        told += [found.will_close, [(n, v.strip()) for n, v in found.headers.items()]]
        try:
            return [*told, found.read()]
        except http.client.HTTPException as error:
            return [*told, type(error)]
        finally:
            found.close()


@given(
    st.sampled_from(STARTS),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4),
    st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""]),
)
def test_a_simple_answer_is_what_http_client_takes_it_for(
    start: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    answer = "\r\n".join([*lines, "", ""]).encode() + body
    expected = begun(http.client.HTTPResponse, answer)
    chunked = [value.strip() for name, value in headers if name == "Transfer-Encoding"]
    if not chunked or chunked[0].lower() == "chunked":  # others are refused
        assert begun(Response, answer) == expected
