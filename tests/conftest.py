"""Fixtures that the tests of every package share; they need nothing but pytest and rv-core."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["rv_core.testing.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data() -> Path:
    """Real imagery that is not part of the repository, where it lies beside it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real imagery (a folder shared/data beside the clone) is not here")
    return folder


@pytest.fixture
def write_json() -> Callable[[Path, object], Path]:
    def write(path: Path, data: object) -> Path:
        path.write_text(json.dumps(data))
        return path

    return write


@pytest.fixture(autouse=True)
def _names_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends in .invalid has no address (RFC 6761); no server of names is asked, which may be
    slow, or not there."""
    ask = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if str(host).rstrip(".").endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture(scope="session")
def reserve_port() -> Iterator[Callable[[], int]]:
    """Ports on loopback for programs that have to be told one, kept for the whole session.

    Each stays bound here, so that the system gives it to nobody else; as long as this side does not
    listen, Linux lets a server in beside it that sets SO_REUSEADDR, as servers do. Elsewhere it is
    let go, and may be taken before the server starts.
    """
    with ExitStack() as kept:

        def reserve() -> int:
            keeper = kept.enter_context(socket.socket())
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind(("127.0.0.1", 0))
            port: int = keeper.getsockname()[1]
            if sys.platform != "linux":
                keeper.close()
            return port

        yield reserve


@pytest.fixture(scope="session")
def run_moto(
    reserve_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[int]]:
    """Runs an S3 server, moto's, in a process of its own for as long as a block lasts, and gives
    its port. Takes more options of its command line and, as keywords, variables, in which
    ``{port}`` stands for the port."""

    @contextmanager
    def run(*options: str, **variables: str) -> Iterator[int]:
        port = reserve_port()
        log = tmp_path_factory.mktemp("moto") / "log"
        own = {name: value.format(port=port) for name, value in variables.items()}
        others = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with log.open("w") as sink:
            server = subprocess.Popen(
                [*command, *options], env={**others, **own}, stdout=sink, stderr=sink
            )
        try:
            _wait_until_it_listens(port, server, log)
            yield port
        finally:
            server.kill()
            server.wait()

    return run


def _wait_until_it_listens(port: int, server: subprocess.Popen[Any], log: Path) -> None:
    end = time.monotonic() + 300  # it imports a lot
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert server.poll() is None, f"the server ended: {log.read_text()}"
        assert time.monotonic() < end, f"the server does not start: {log.read_text()}"
        time.sleep(0.05)


def pytest_configure() -> None:
    """Programs that are started in the background ignore Ctrl-C, and hand that on to those that the
    tests start and stop by it. No test fails for the time that it takes, and none for the examples
    that it happens to draw."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(ImportError):  # some packages are tested without it
        from hypothesis import HealthCheck, settings

        # By default, an example that takes 0.2 s fails, and so do ten that take a second to draw:
        # any may on a busy machine. Who looks for new bugs draws other examples each time:
        # pytest --hypothesis-profile=curious
        patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.register_profile("curious", patient)
        settings.register_profile("steady", patient, derandomize=True)
        settings.load_profile("steady")
