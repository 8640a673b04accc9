"""Reading from pipes: all that comes, and Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rv_core.local_files import copy_into, open_for_reading, open_for_writing

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX systems")


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """What holds the pipe open, given up after a while, so that a reader that hangs ends."""
    found: list[int] = []
    timer = threading.Timer(120, lambda: os.close(found.pop()))
    timer.start()
    yield found
    timer.cancel()
    for end in found:
        os.close(end)


@pytest.mark.parametrize("way", ["read", "copy", "upload"])
def test_ctrl_c_that_comes_right_before_a_read_is_heard(
    way: str,
    pipe: str,
    ends: list[int],
    make_shelf: Callable[..., object],
    tmp_path: Path,
) -> None:
    ends.append(os.open(pipe, os.O_RDWR))
    os.write(ends[0], b"x" * 1000)

    def interrupt() -> None:
        # By another thread, the signal does not break off the call to the system that the main
        # one is in, just as one that came before it.
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=interrupt).start()
        if way == "read":
            with open_for_reading(pipe) as stream:
                stream.read()
        elif way == "copy":
            with open_for_writing(str(tmp_path / "copy"), "copy") as sink:
                copy_into(pipe, pipe, sink)
        else:
            make_shelf().copy_to(pipe, "shelf://a/x")  # type: ignore[attr-defined]
    assert not (tmp_path / "copy").exists()


def test_a_pipe_is_read_to_its_end(pipe: str) -> None:
    data = os.urandom(300_000)
    for read in (
        lambda stream: stream.read(),
        lambda stream: b"".join(iter(lambda: stream.read(100_000), b"")),
        lambda stream: b"".join(stream),
        lambda stream: stream.raw.read(),
    ):
        writer = threading.Thread(target=lambda: Path(pipe).write_bytes(data))
        writer.start()
        with open_for_reading(pipe) as stream:
            assert read(stream) == data
        writer.join()


def test_other_files_are_just_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    with open_for_reading(str(tmp_path / "a")) as stream:
        stream.seek(0, os.SEEK_END)
        assert stream.tell() == 1
    with open_for_reading(os.devnull) as stream:
        assert stream.read() == b""
    with pytest.raises(IsADirectoryError):
        open_for_reading(str(tmp_path))
