"""Debian's nginx and OpenStack Swift, each started for a session of tests and stopped after it.

Both keep everything in a temporary folder and listen on free ports of loopback. `nox -s
tests_services` runs these tests; a plain `pytest` leaves the folder out.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import shutil
import signal
import socket
import string
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

HERE = Path(__file__).parent
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
# Nothing of ours: these servers are the system's, and so is their Python.
ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
USER = pwd.getpwuid(os.geteuid()).pw_name
START_SECONDS = 300


class Settings(string.Template):
    delimiter = "@"


def fill_in(name: str, **values: object) -> str:
    return Settings((HERE / name).read_text()).substitute(values)


def need(*programs: str) -> None:
    """Skip where a server is not installed, with the line that installs it."""
    lines = [line.split() for line in (HERE / "packages.txt").read_text().splitlines()[1:]]
    missing = [p for p, program in lines if program in programs and not which(program)]
    if missing:
        pytest.skip(f"apt-get install --no-install-recommends {' '.join(missing)}")


def which(program: str) -> str | None:
    return shutil.which(program, path=PATH)


def die_with_parent() -> None:
    """A test run that is killed takes its servers along (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Program:
    """A server in the foreground, its output in a file; leaving the block stops it."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.command, self.port, self.log = command, port, log

    def __enter__(self) -> Program:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,
                env=ENVIRONMENT,
            )
        return self

    def wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = self.log.read_text(errors="replace")[-2000:]
                    pytest.fail(f"{self.command} does not serve port {self.port}:\n{said}")
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@attrs.frozen
class Nginx:
    """``url``: no trailing slash, ``/plain/name`` and the other paths of nginx.conf go below.
    ``files``: the folder that all of them serve. ``/secret/`` wants ``user`` and ``password``."""

    port: int
    files: Path
    logs: list[Path]
    user: str = "reader"
    password: str = "not-to-be-seen-here"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, name: str, data: bytes) -> None:
        """Put a file at once, with a time that none before had: nginx makes ETags of size and
        time in seconds."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = self.files.parent / uuid.uuid4().hex
        part.write_bytes(data)
        when = (path.stat().st_mtime if path.exists() else time.time() // 1 - 3600) + 1
        os.utime(part, (when, when))
        part.replace(path)

    def remove(self, name: str) -> None:
        """Take a file away, and the folders that this leaves empty."""
        path = self.files / name
        path.unlink()
        while (path := path.parent) != self.files and not any(path.iterdir()):
            path.rmdir()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's credentials and proxies."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture(scope="session")
def nginx(
    tmp_path_factory: pytest.TempPathFactory, reserve_port: Callable[[], int]
) -> Iterator[Nginx]:
    need("nginx")
    place = tmp_path_factory.mktemp("nginx")
    files = place / "files"
    files.mkdir()
    port = reserve_port()
    server = Nginx(port, files, [place / "access.log", place / "error.log"])
    (place / "users").write_text(f"{server.user}:{{PLAIN}}{server.password}\n")
    group = grp.getgrgid(os.getegid()).gr_name
    text = fill_in("nginx.conf", place=place, files=files, port=port, user=USER, group=group)
    (place / "nginx.conf").write_text(text)
    command = [str(which("nginx")), "-p", str(place), "-c", str(place / "nginx.conf")]
    with Program([*command, "-e", str(place / "error.log")], port, place / "output.log") as program:
        program.wait()
        yield server


@attrs.frozen
class Swift:
    """The S3 API of Swift. Addressing by path, region us-east-1. Of the two accounts, the other
    one has no right to the first one's buckets."""

    port: int
    logs: list[Path]
    key: str = "test:tester"
    secret: str = "notASecretOfAnyone0123456789"
    other_key: str = "other:stranger"
    other_secret: str = "another-secret"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def swift(
    tmp_path_factory: pytest.TempPathFactory, reserve_port: Callable[[], int]
) -> Iterator[Swift]:
    need("memcached", *(f"swift-{k}-server" for k in ("proxy", "account", "container", "object")))
    place = tmp_path_factory.mktemp("swift")
    need_attributes(place)
    etc, devices = place / "etc", place / "devices"
    for disk in ("disk1", "disk2"):
        (devices / disk).mkdir(parents=True)
    etc.mkdir()
    kinds = ("account", "container", "object")
    *ports, port, cache_port = (reserve_port() for _ in range(5))
    server = Swift(port, [place / f"{kind}.log" for kind in (*kinds, "proxy")])
    (etc / "swift.conf").write_text(fill_in("swift/swift.conf"))
    common = {"user": USER, "etc": etc, "devices": devices}
    for kind, own in zip(kinds, ports, strict=True):
        text = fill_in("swift/storage.conf", kind=kind, port=own, **common)
        (etc / f"{kind}.conf").write_text(text)
    make_rings(etc, dict(zip(kinds, ports, strict=True)))
    users = "\n".join(
        f"user_{key.replace(':', '_')} = {secret} .admin"
        for key, secret in (
            (server.key, server.secret),
            (server.other_key, server.other_secret),
        )
    )
    text = fill_in("swift/proxy.conf", port=port, cache_port=cache_port, users=users, **common)
    (etc / "proxy.conf").write_text(text)
    with ExitStack() as stack:
        cache = ["-l", "127.0.0.1", "-p", str(cache_port), "-U", "0", "-m", "64", "-u", USER]
        log = place / "memcached.log"
        programs = [Program([str(which("memcached")), *cache], cache_port, log)]
        for kind, own in zip((*kinds, "proxy"), (*ports, port), strict=True):
            command = ["/usr/bin/python3", str(HERE / "swift" / "serve.py"), str(etc), kind]
            programs.append(Program(command, own, place / f"{kind}.log"))
        for program in programs:
            stack.enter_context(program)
        for program in programs:
            program.wait()
        yield server


def need_attributes(place: Path) -> None:
    """Swift keeps what it knows of an object in extended attributes of its file."""
    probe = place / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.metadata", bytes(1024))
    except OSError as error:
        pytest.skip(
            f"{place} cannot hold user attributes ({error}): set TMPDIR to a folder that can"
        )


def make_rings(etc: Path, ports: dict[str, int]) -> None:
    command = ["/usr/bin/python3", str(HERE / "swift" / "make_rings.py"), str(etc)]
    command += [f"{kind}={port}" for kind, port in ports.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr)
