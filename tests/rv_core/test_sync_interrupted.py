"""Ctrl-C, kill -9 and memory: what a sync does as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rv_core.local_files import is_part
from shelf import FILES, tree, write

SCRIPT = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from shelf import Shelf

class Slow(Shelf):
    # Some time for each MiB, so that there is always something in the middle.
    def open(self, uri, mode="rb"):
        stream = super().open(uri, mode)
        name = "read" if mode == "rb" else "write"
        own = getattr(stream, name)
        pieces = iter(range(10**9))
        class Stream(type(stream)):
            pass
        def slowly(*args):
            if "slow" in uri and next(pieces):
                print("moving", flush=True)
                time.sleep({pause})
            return own(*args)
        if mode == "rb":
            import io
            class Raw(io.RawIOBase):
                def read(self, size=-1):
                    return slowly(size)
                def close(self):
                    stream.close()
                    super().close()
            return Raw()
        stream.write = slowly
        return stream

shelf = Slow(Path(sys.argv[1]))
try:
    if sys.argv[3] == "down":
        shelf.sync_from_dir("shelf://a", sys.argv[2], delete=True)
    else:
        shelf.sync_to_dir(sys.argv[2], "shelf://a", delete=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise
"""
TREE = {**{name: FILES[name] for name in list(FILES)[:20]}, "slow 1": bytes(3 << 20)}
OLD = {"old": b"old", "slow 1": b"old"}


def begin(shelf, folder: Path, way: str, pause: float) -> subprocess.Popen[str]:
    script = SCRIPT.format(tests=str(Path(__file__).parent), pause=pause)
    process = subprocess.Popen(
        [sys.executable, "-c", script, shelf.folder, folder, way],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moving\n"
    time.sleep(0.2)
    return process


def prepared(shelf, tmp_path: Path, way: str) -> Path:
    there, here = (TREE, OLD) if way == "down" else (OLD, TREE)
    shelf.put(there)
    return write(tmp_path / "here", here)


def result(shelf, folder: Path, way: str) -> dict[str, bytes]:
    found = tree(folder) if way == "down" else shelf.tree()
    return {name: data for name, data in found.items() if not is_part(Path(name).name)}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
@pytest.mark.parametrize("way", ["down", "up"])
@pytest.mark.parametrize("pause", [1.5, 600], ids=["slow", "hanging"])
def test_ctrl_c_ends_a_sync_soon_and_nothing_is_half_there(shelf, tmp_path, way, pause):
    folder = prepared(shelf, tmp_path, way)
    process = begin(shelf, folder, way, pause)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert "interrupted" in said
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode in (1, 130, -signal.SIGINT)
    found = result(shelf, folder, way)
    assert found.pop("slow 1") == b"old"
    assert found.pop("old") == b"old", "nothing is deleted"
    assert found.items() <= TREE.items(), "all others are whole"
    shelf.forget()
    if way == "down":
        shelf.sync_from_dir("shelf://a", folder, delete=True)
    else:
        shelf.sync_to_dir(folder, "shelf://a", delete=True)
    assert result(shelf, folder, way) == TREE
    moved = shelf.requests["get" if way == "down" else "put"]
    assert moved == len(TREE) - len(found), "what was done was kept"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
@pytest.mark.parametrize("way", ["down", "up"])
def test_a_sync_that_is_killed_is_made_good_by_the_next(shelf, tmp_path, way):
    folder = prepared(shelf, tmp_path, way)
    process = begin(shelf, folder, way, 600)
    process.kill()
    process.communicate(timeout=60)
    found = result(shelf, folder, way)
    assert found.pop("slow 1") == found.pop("old") == b"old"
    assert found.items() <= TREE.items()
    if way == "down":
        shelf.sync_from_dir("shelf://a", folder, delete=True)
    else:
        shelf.sync_to_dir(folder, "shelf://a", delete=True)
    assert result(shelf, folder, way) == TREE
    assert list(tmp_path.rglob(".rv-*")) == [], "the next removes what the dead one left"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_the_file(shelf, tmp_path):
    with shelf.path("shelf://a/large").open("wb") as stream:
        stream.truncate(200 << 20)
    code = """
import re, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from shelf import Shelf, plugin_of
from rv_core import Kernel
fs = Shelf(Path(sys.argv[1]), etags=False)
files = Kernel(plugins=[plugin_of({"left": fs})]).files
def peak():  # what resource tells begins with the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
fs.sync_from_dir("shelf://none", sys.argv[3])
before = peak()
files.copy("left://a/large", "left://b/large")
fs.sync_from_dir("shelf://a", sys.argv[3])
fs.sync_to_dir(sys.argv[3], "shelf://c")
print(peak() - before)
"""
    place = [str(shelf.folder), str(Path(__file__).parent), str(tmp_path / "down")]
    done = subprocess.run(
        [sys.executable, "-c", code, *place], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 30 << 20
    assert shelf.path("shelf://c/large").stat().st_size == 200 << 20
