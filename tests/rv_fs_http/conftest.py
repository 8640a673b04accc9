"""Web servers on loopback: one that serves files as the good ones do, one that misbehaves."""

from __future__ import annotations

import base64
import html
import itertools
import json
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
import trustme
from rv_core.testing import FaultProxy, Status
from rv_core.transfers import Retries

from rv_fs_http import HttpFileSystem, HttpSettings


class FileServer(ThreadingHTTPServer):
    """Serves one folder of files under paths that say how.

    ``/plain/``: ranges, strong etags, no index. ``/html/``, ``/json/``, ``/apache/``: the same
    with an index as nginx and Apache make it. ``/weak/``: weak etags. ``/dated/``: no etag.
    ``/bare/``: nothing that tells versions apart. ``/whole/``: no ranges. ``/secret/``: for those
    who know the password or the token. ``/slow/``: 10 MB/s for each connection. ``/single/``: the
    same, and others are refused meanwhile. ``/login/``: for those with a cookie, which `/cookie`
    gives to anyone.
    """

    request_queue_size = 128
    daemon_threads = True
    user, password, token = "reader", "HUSH word", "HUSH-token"

    def __init__(self, files: Path, context: ssl.SSLContext | None = None) -> None:
        self.files = files
        self.requests: list[Any] = []
        self.codes: list[int] = []
        self.redirects: dict[str, str] = {}
        self.connections = 0
        self.tags: dict[str, str] = {}
        self.numbers = itertools.count()
        self.busy = threading.Lock()
        self.context = context
        super().__init__(("127.0.0.1", 0), FileHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self.context else f"http://127.0.0.1:{self.port}"

    def put(self, name: str, data: bytes) -> None:
        """Make a file, or a new version, at once: an hour old, each a second younger."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = self.files.parent / f"part{next(self.numbers)}"
        part.write_bytes(data)
        when = (path.stat().st_mtime if path.exists() else time.time() // 1 - 3600) + 1
        os.utime(part, (when, when))
        part.replace(path)
        self.tags[name] = f'"v{next(self.numbers)}"'

    def remove(self, name: str) -> None:
        """Take a file away, and the folders that this leaves empty."""
        path = self.files / name
        path.unlink()
        with suppress(OSError):
            while (path := path.parent) != self.files:
                path.rmdir()


class FileHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FileServer

    def do_HEAD(self) -> None:
        self.server.requests.append((self.command, self.path, self.headers))
        self.send_error(405)

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, self.headers))
        way, _, name = unquote(
            urlsplit(self.path).path.lstrip("/"), errors="surrogateescape"
        ).partition("/")
        path = self.server.files / name
        if to := self.server.redirects.get(self.path):
            return self._say(302, {"Location": to})
        if way == "cookie":
            return self._say(
                302, {"Set-Cookie": "session=HUSH; Path=/", "Location": f"/login/{name}"}
            )
        if way == "login" and "session=HUSH" not in (self.headers["Cookie"] or ""):
            return self._say(302, {"Location": f"/cookie/{name}"})
        with suppress(OSError, ValueError):
            if way == "secret" and not self._is_known():
                return self._say(401, {"WWW-Authenticate": 'Basic realm="files"'})
            if path.is_dir():
                return self._folder(way, name, path)
            if path.is_file() and not name.endswith("/"):
                return self._file_or_later(way, name, path)
            return self._say(404)
        self.close_connection = True
        return None

    def _is_known(self) -> bool:
        server = self.server
        basic = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        return self.headers["Authorization"] in (f"Basic {basic}", f"Bearer {server.token}")

    def _file_or_later(self, way: str, name: str, path: Path) -> None:
        if way != "single":
            return self._file(way, name, path)
        if not self.server.busy.acquire(blocking=False):
            return self._say(503)
        try:
            return self._file(way, name, path)
        finally:
            self.server.busy.release()

    def _file(self, way: str, name: str, path: Path) -> None:
        with path.open("rb") as source:
            found = os.fstat(source.fileno())
            tag: str | None = self.server.tags.get(name, f'"{found.st_mtime_ns:x}"')
            tag = None if way in ("dated", "bare") else f"W/{tag}" if way == "weak" else tag
            changed = formatdate(int(found.st_mtime), usegmt=True)
            headers = {"ETag": tag, "Last-Modified": None if way == "bare" else changed}
            headers["Accept-Ranges"] = None if way == "whole" else "bytes"
            if self._is_current(tag, changed):
                return self._say(304, headers)
            size, (start, stop) = found.st_size, (0, found.st_size)
            code = 200
            if wanted := self._range(way, tag, changed):
                start, stop = wanted[0], min(size, wanted[1] or size)
                code = 206 if start < stop else 416
                said = f"{start}-{stop - 1}" if start < stop else "*"
                headers["Content-Range"] = f"bytes {said}/{size}"
            if code == 416:
                return self._say(416, headers)
            headers["Content-Length"] = str(stop - start)
            self._head(code, headers)
            source.seek(start)
            while start < stop:
                piece = source.read(min(1 << 18, stop - start))
                start += len(piece)
                self.wfile.write(piece)
                if way in ("slow", "single"):
                    time.sleep(0.025)
        return None

    def _is_current(self, tag: str | None, changed: str) -> bool:
        if known := self.headers["If-None-Match"]:
            return tag is not None and tag.removeprefix("W/") == known.removeprefix("W/")
        since = self.headers["If-Modified-Since"]
        return since is not None and parsedate_to_datetime(changed) <= parsedate_to_datetime(since)

    def _range(self, way: str, tag: str | None, changed: str) -> tuple[int, int | None] | None:
        """Start and stop of what is asked for, where that is a range and may be one."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        condition = self.headers["If-Range"]
        holds = condition in (None, changed) or (condition == tag and condition.startswith('"'))
        if wanted is None or way == "whole" or not holds:
            return None
        return int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else None

    def _folder(self, way: str, name: str, path: Path) -> None:
        parts = urlsplit(self.path)
        if not parts.path.endswith("/"):
            query = f"?{parts.query}" if parts.query else ""
            return self._say(301, {"Location": f"{parts.path}/{query}"})
        index = {"html": nginx_html, "json": nginx_json, "apache": apache_html}.get(way)
        if index is None:
            return self._say(403)
        body = index(parts.path, sorted(os.scandir(path), key=lambda entry: entry.name)).encode()
        kind = "application/json" if way == "json" else "text/html"
        return self._say(200, {"Content-Type": kind}, body)

    def _say(
        self, code: int, headers: dict[str, str | None] | None = None, body: bytes = b""
    ) -> None:
        length = {} if code == 304 else {"Content-Length": str(len(body))}
        self._head(code, {**(headers or {}), **length})
        self.wfile.write(body)

    def _head(self, code: int, headers: dict[str, str | None]) -> None:
        self.server.codes.append(code)
        self.send_response(code)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


Entries = list["os.DirEntry[str]"]


def nginx_html(path: str, entries: Entries) -> str:
    """As nginx 1.22 makes it, autoindex_exact_size on."""
    rows = ['<a href="../">../</a>']
    for entry in entries:
        slash = "/" if entry.is_dir() else ""
        found = entry.stat()
        day = time.strftime("%d-%b-%Y %H:%M", time.gmtime(found.st_mtime))
        size = "-" if slash else str(found.st_size)
        text = entry.name + slash
        shown = html.escape(text if len(text) < 51 else f"{text[:47]}..>", quote=False)
        fill = " " * (51 - min(len(text), 50))
        rows.append(
            f'<a href="{quote(os.fsencode(entry.name))}{slash}">{shown}</a>{fill}{day} {size:>19}'
        )
    title = html.escape(unquote(path), quote=False)
    listed = "\r\n".join(rows)
    return (
        f"<html>\r\n<head><title>Index of {title}</title></head>\r\n<body>\r\n"
        f"<h1>Index of {title}</h1><hr><pre>{listed}\r\n</pre><hr></body>\r\n</html>\r\n"
    )


def nginx_json(path: str, entries: Entries) -> str:
    rows: list[dict[str, object]] = []
    for entry in entries:
        found = entry.stat()
        row: dict[str, object] = {
            "name": entry.name,
            "type": "directory" if entry.is_dir() else "file",
        }
        row["mtime"] = formatdate(found.st_mtime, usegmt=True)
        if not entry.is_dir():
            row["size"] = found.st_size
        rows.append(row)
    return json.dumps(rows, indent=0, ensure_ascii=False)


def apache_html(path: str, entries: Entries) -> str:
    """As Apache 2.4 makes it with IndexOptions FancyIndexing HTMLTable."""
    above = path.rstrip("/").rpartition("/")[0] + "/"
    rows = [
        '<tr><th><a href="?C=N;O=D">Name</a></th>',
        '<th><a href="?C=M;O=A">Last modified</a></th></tr>',
        f'<tr><td><a href="{above}">Parent Directory</a></td><td>&nbsp;</td></tr>',
    ]
    for entry in entries:
        slash = "/" if entry.is_dir() else ""
        day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.stat().st_mtime))
        name = html.escape(quote(os.fsencode(entry.name)) + slash)
        rows.append(
            f'<tr><td><a href="{name}">{html.escape(entry.name)[:20]}</a></td><td>{day}</td>'
            f"<td>{entry.stat().st_size / 1024:.1f}K</td></tr>"
        )
    title = html.escape(unquote(path))
    listed = "\n".join(rows)
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
        f"<html>\n <head>\n  <title>Index of {title}</title>\n </head>\n <body>\n"
        f"<h1>Index of {title}</h1>\n  <table>\n{listed}\n</table>\n"
        '<address>Apache/2.4.57 (Debian) at <a href="mailto:admin@localhost">localhost</a>'
        "</address>\n</body></html>\n"
    )


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FileServer]]:
    """Starts file servers, each with a folder of its own."""
    from contextlib import ExitStack

    numbers = itertools.count()
    with ExitStack() as stack:

        def start(context: ssl.SSLContext | None = None) -> FileServer:
            files = tmp_path / f"served {next(numbers)}" / "files"
            files.mkdir(parents=True)
            found: FileServer = stack.enter_context(running(FileServer(files, context)))
            return found

        yield start


@pytest.fixture
def server(start: Callable[..., FileServer]) -> FileServer:
    return start()


@pytest.fixture
def python_server(tmp_path: Path) -> Iterator[Any]:
    """Python's own http.server, as `python -m http.server` starts it."""
    files = tmp_path / "served by Python" / "files"
    files.mkdir(parents=True)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(files))

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True
        folder = files

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with running(Server(("127.0.0.1", 0), Handler)) as found:
        yield found


@pytest.fixture
def proxy(server: FileServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _no_proxies_or_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def make_http() -> Callable[..., HttpFileSystem]:
    """Makes one in a hurry, with other settings beside."""

    def make(**settings: Any) -> HttpFileSystem:
        found = HttpSettings(**{"connect_timeout": 5.0, "read_timeout": 5.0, **settings})
        return HttpFileSystem(found, Retries(min_wait=0.01, max_wait=0.05))

    return make


@pytest.fixture
def http(make_http: Callable[..., HttpFileSystem]) -> HttpFileSystem:
    return make_http()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return str(tmp_path / "authority.pem")


@pytest.fixture
def secure(start: Callable[..., Any], authority: trustme.CA) -> Any:
    """A server that encrypts, known as localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = start(context)
    server.put("file.bin", b"the file" * 1000)
    return server


@pytest.fixture
def other(start: Callable[..., Any]) -> Any:
    server = start()
    server.put("file.bin", b"the file" * 1000)
    return server


@pytest.fixture
def moved(server: Any, proxy: FaultProxy) -> Callable[[str], str]:
    """A URL that leads to another."""

    numbers = itertools.count()

    def move(to: str) -> str:
        path = f"/moved{next(numbers)}"
        proxy.fail(Status(302, {"Location": to}), times=None, path=path)
        return f"{proxy.url}{path}?sig=HUSH"

    return move
