"""One transfer through a proxy that fails, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
from measuring import HERE, Column, environment
from rows import digest_of, digest_of_file
from rv_core.testing import FaultProxy

OLD = b"the file that was there before"
PATIENCE_SECONDS = 30
SECRETS = ("HUSH", "Signature=")
SMALL_DISK_BYTES = 8 << 20


@attrs.define
class Stage:
    """What a case works with: ``proxy`` before the server, ``put`` that changes the server's files
    from behind, ``folder`` where a transfer ends, ``home`` of the process; ``wholes``: the digests
    of every version that is right; ``old``: what is under the final name before."""

    proxy: FaultProxy
    put: Callable[[str, bytes], None]
    get: Callable[[str], bytes]
    folder: Path
    home: Path
    wholes: set[str]
    old: bytes | None = OLD
    environment: dict[str, str] = attrs.field(factory=dict)
    small_disk: bool = False
    kill: bool = False

    @property
    def target(self) -> Path:
        return self.folder / "got.bin"


@attrs.define
class End:
    """How a transfer ended: ``error`` the name of one, ``said`` all that the process said."""

    seconds: float
    error: str = ""
    said: str = ""
    hung: bool = False
    killed: bool = False


def run(stage: Stage, column: Column, server: str, call: str, args: list) -> End:
    request = {"column": column.name, "server": server, "warm": None, "call": call, "args": args}
    request["largest"] = SMALL_DISK_BYTES if stage.small_disk else None
    own = environment(server, str(stage.home)) | {"AWS_SECRET_ACCESS_KEY": "HUSH-KEY"}
    own |= stage.environment
    start = time.monotonic()
    process = subprocess.Popen(
        [str(column.python), str(HERE / "worker.py"), json.dumps(request)],
        env={name: value for name, value in own.items() if value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if stage.kill:
        while not stage.proxy.requests and process.poll() is None:
            time.sleep(0.05)
        time.sleep(3)
        process.send_signal(signal.SIGKILL)
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return End(time.monotonic() - start, hung=True)
    seconds = time.monotonic() - start
    if process.returncode == -signal.SIGKILL:
        return End(seconds, killed=True)
    if process.returncode or not out:
        return End(seconds, error=f"exit code {process.returncode}", said=err)
    said = json.loads(out.splitlines()[-1])
    return End(seconds, said.get("error", ""), said.get("trace", "") + err)


def digest(path: Path) -> str:
    with suppress(FileNotFoundError):
        return digest_of_file(path)
    return ""


def outcome(stage: Stage, end: End, found: str) -> str:
    """In words. ``found``: the digest of what now is under the final name, empty if nothing."""
    old = digest_of(stage.old) if stage.old else ""
    error = f" ({end.error})" if end.error else ""
    if end.hung or end.seconds > PATIENCE_SECONDS:
        text = f"hangs > {PATIENCE_SECONDS} s"
        if found not in {old, *stage.wholes}:
            text += ", **partial file left**" if found else ", **old file lost**"
    elif found in stage.wholes:
        text = f"whole, but an error{error}" if error else "whole"
    elif found == old:
        stopped = "killed, cleanly" if end.killed else f"clean error{error}"
        text = stopped if error or end.killed else "**no error, nothing done**"
    elif not found:
        text = f"error{error}, **old file lost**" if error else "**no error, no file**"
    elif error or end.killed:
        text = f"{'killed' if end.killed else f'error{error}'}, **partial file left**"
    else:
        text = "**CORRUPT**"
    return text + spoken(end) + leftovers(stage)


def spoken(end: End) -> str:
    return ", **secret in the error**" if any(word in end.said for word in SECRETS) else ""


def leftovers(stage: Stage) -> str:
    """A hidden temporary file of a killed process is swept later; all others are left for good."""
    rest = [path for path in stage.folder.iterdir() if path != stage.target]
    return f", {len(rest)} temporary file left" if rest else ""


@contextmanager
def stage_at(
    port: int,
    put: Callable[[str, bytes], None],
    get: Callable[[str], bytes],
    whole: bytes,
    old: bytes | None = OLD,
) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as place, FaultProxy(port) as proxy:
        folder, home = Path(place, "folder"), Path(place, "home")
        folder.mkdir()
        home.mkdir()
        (home / ".netrc").write_text("machine 127.0.0.1 login reader password HUSH-PASSWORD\n")
        os.chmod(home / ".netrc", 0o600)  # noqa: PTH101
        stage = Stage(proxy, put, get, folder, home, {digest_of(whole)}, old)
        if old:
            stage.target.write_bytes(old)
        yield stage
