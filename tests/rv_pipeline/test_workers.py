"""Work that several processes share: what a worker says reaches the parent, and it tidies up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = """
import logging
import os
import sys
from pathlib import Path
from rv_core import Kernel
from rv_pipeline.commands.workers import Work, do_blocks

class Failure(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")

class Worker:
    def __init__(self, around): ...
    def __enter__(self): return self
    def __exit__(self, *exc): Path(f"closed-{os.getpid()}").touch()
    def __call__(self, block):
        if block == "fail":
            raise Failure(3, "the disk is on fire")
        logging.getLogger("rv_pipeline.x").warning("repaired %s", block)
        logging.getLogger("rv_pipeline.x").info("not said unless asked for")
        return os.getpid()

if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s")
    done = do_blocks(
        Work("CHIP", Worker, ()), sys.argv[1:], 2, Kernel(plugins=[]),
        on_tick=lambda n: None, should_stop=lambda: False,
    )
    print(*done)
"""


def in_two_processes(folder: Path, *blocks: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), *blocks]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_what_a_worker_keeps_open_is_closed_in_its_process(tmp_path: Path) -> None:
    done = in_two_processes(tmp_path, "a", "b", "c", "d")
    assert {f"closed-{pid}" for pid in done.stdout.split()} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.slow
def test_an_error_that_cannot_travel_still_says_what_went_wrong(tmp_path: Path) -> None:
    """An exception whose constructor takes something else than its message cannot be unpickled,
    which looked as though the worker had died of hunger for memory."""
    failed = in_two_processes(tmp_path, "a", "fail", "b")
    assert failed.returncode != 0
    assert failed.stderr.splitlines()[-1] == "RuntimeError: Failure: 3: the disk is on fire"


@pytest.mark.slow
def test_what_a_worker_logs_is_said_as_the_parent_says_it(tmp_path: Path) -> None:
    done = in_two_processes(tmp_path, "a", "b")
    assert sorted(done.stderr.splitlines()) == ["WARNING: repaired a", "WARNING: repaired b"]


CTRL_C = """
import os, signal
from rv_core import Kernel
from rv_pipeline.commands.workers import Work, do_blocks

class Worker:
    def __init__(self, around): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def __call__(self, block): return block

if __name__ == "__main__":
    done = do_blocks(
        Work("CHIP", Worker, ()), "ab", 2, Kernel(plugins=[]),
        on_tick=lambda n: None, should_stop=lambda: False,
    )
    print(*done)
else:
    os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.slow
def test_ctrl_c_does_not_reach_a_worker_that_is_just_starting(tmp_path: Path) -> None:
    """A terminal sends it to every process, and a worker's traceback is nobody's concern."""
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["a", "b"], "")


BUSY = """
import os, sys, time
from pathlib import Path
from rv_core import Kernel
from rv_pipeline.commands.workers import Work, do_blocks

class Worker:
    def __init__(self, around): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def __call__(self, block):
        Path(f"up-{os.getpid()}").touch()
        time.sleep(600)

if __name__ == "__main__":
    blocks = do_blocks(
        Work("CHIP", Worker, ()), "ab", 2, Kernel(plugins=[]),
        on_tick=lambda n: None, should_stop=lambda: False,
    )
    try:
        list(blocks)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
def test_a_second_ctrl_c_ends_workers_that_do_not_listen(tmp_path: Path) -> None:
    """It left the parent hanging at its end, and the workers with it."""
    script = tmp_path / "script.py"
    script.write_text(BUSY)
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    while len(pids := [int(p.name[3:]) for p in tmp_path.glob("up-*")]) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    try:
        process.send_signal(signal.SIGINT)
        for _ in range(4):  # two that come too soon after each other are one
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
                break
        assert process.poll() == 130
    finally:
        process.kill()
    end = time.monotonic() + 60
    while left := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < end, f"{left} are left"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
