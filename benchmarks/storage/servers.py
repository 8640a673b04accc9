"""The servers that are measured on, each a process of its own with its files in a given folder."""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import shutil
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
NGINX_CONF = HERE.parents[1] / "tests" / "services" / "nginx.conf"


class S3:
    """The server of server.py. ``ports``: one for each of the latencies asked for."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=60)
        try:
            if isinstance(body, Path):
                with body.open("rb") as source:
                    size = {"Content-Length": str(body.stat().st_size)}
                    connection.request(method, f"/bench/{path}", source, size)
                    answer = connection.getresponse()
            else:
                connection.request(method, f"/bench/{path}", body, dict(headers or {}))
                answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise OSError(f"{method} {path}: {answer.status}")
            return data
        finally:
            connection.close()

    def put(self, name: str, data: bytes | Path, headers: Mapping[str, str] | None = None) -> None:
        self.request("PUT", quote(name), data, headers)

    def get(self, name: str) -> bytes:
        return self.request("GET", quote(name))

    def clear(self, prefix: str) -> None:
        self.request("DELETE", f"?clear={quote(prefix, safe='')}")


@contextmanager
def s3_server(folder: Path, milliseconds: list[int]) -> Iterator[S3]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "server.py"), str(folder), *map(str, milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield S3([int(port) for port in process.stdout.readline().split()[:-1]])
        finally:
            process.terminate()


class Settings(string.Template):
    delimiter = "@"


@contextmanager
def nginx_server(place: Path) -> Iterator[tuple[str, Path] | None]:
    """The URL and the folder of files that it serves; ``None`` where nginx is not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        yield None
        return
    files = place / "files"
    files.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    text = Settings(NGINX_CONF.read_text())
    conf = place / "nginx.conf"
    conf.write_text(text.substitute(place=place, files=files, port=port, user=user, group=group))
    (place / "users").touch()
    command = [program, "-p", str(place), "-c", str(conf), "-e", str(place / "error.log")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/plain", files
        finally:
            process.terminate()
