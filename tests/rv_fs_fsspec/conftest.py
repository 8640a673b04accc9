"""Servers on loopback, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from rv_core import Kernel

PASSWORD = "hush/HUSH@1"


@attrs.frozen
class Server:
    """``url``: of its root, with user and password; ``plain``: without the password."""

    url: str
    plain: str
    folder: Path
    port: int
    process: subprocess.Popen[str]
    said: str = ""


def start(script: str, scheme: str, folder: Path, *port: int) -> Server:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name(script)), str(folder), PASSWORD]
    command += map(str, port)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    number = int(process.stdout.readline())
    said = process.stdout.readline() if scheme == "sftp" else ""
    quoted = PASSWORD.replace("/", "%2F").replace("@", "%40")
    return Server(
        f"{scheme}://user:{quoted}@127.0.0.1:{number}",
        f"{scheme}://127.0.0.1:{number}",
        folder,
        number,
        process,
        said,
    )


def stop(server: Server) -> None:
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start("sftp_server.py", "sftp", tmp_path_factory.mktemp("sftp"))
    yield server
    stop(server)


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start("ftp_server.py", "ftp", tmp_path_factory.mktemp("ftp"))
    yield server
    stop(server)


@pytest.fixture
def own_sftp_server(
    tmp_path: Path, reserve_port: Callable[[], int]
) -> Iterator[Callable[[], Server]]:
    """Starts SFTP servers that the test may treat as it likes, one after the other, each where
    the last one was."""
    started: list[Server] = []
    port = reserve_port()

    def make() -> Server:
        started.append(start("sftp_server.py", "sftp", tmp_path / "sftp", port))
        return started[-1]

    yield make
    for server in started:
        stop(server)


@pytest.fixture
def known_hosts(sftp_server: Server, tmp_path: Path) -> Path:
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{sftp_server.port} {sftp_server.said}")
    return file


@pytest.fixture
def kernel(known_hosts: Path) -> Kernel:
    """What is installed, trusting the test's SFTP server."""
    return Kernel(config={"fsspec": {"sftp": {"known_hosts": str(known_hosts)}}})


@pytest.fixture(params=["memory", "sftp", "ftp"])
def root(request: pytest.FixtureRequest) -> str:
    """The URI of a folder that is not there yet, on several kinds of storage."""
    name = uuid.uuid4().hex
    if request.param == "memory":
        return f"memory://{name}/root"
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return f"{server.url}/{name}/root"
