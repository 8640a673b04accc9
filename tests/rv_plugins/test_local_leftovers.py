"""What writers leave that die, who removes it, and what waits for the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from rv_core.local_files import is_part
from rv_plugins.local import LocalFileSystem

from rv_core import Kernel

posix = pytest.mark.skipif(os.name == "nt", reason="processes of POSIX systems")
PART = re.compile(r"\.rv-([0-9a-f]{8})-([0-9a-f]+)-[0-9a-f]{8}\.part")


def run_python(code: str, *args: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


def killed_writer(folder: Path) -> Path:
    """Let a process die in the middle of writing; returns what it left."""
    before = set(folder.iterdir())
    run_python(
        """
        import os, signal, sys
        from rv_plugins.local import LocalFileSystem
        stream = LocalFileSystem().open(sys.argv[1] + "/target", "wb")
        stream.write(b"half")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        folder,
    )
    (left,) = set(folder.iterdir()) - before
    return left


def write_elsewhere(folder: Path) -> None:
    """Write in the folder by another process, which has not looked at it yet."""
    run_python(
        """
        import sys
        from rv_plugins.local import LocalFileSystem
        for n in range(3):
            LocalFileSystem().write_str(f"{sys.argv[1]}/new {n}", "x")
        """,
        folder,
    )


@pytest.fixture
def own_part(local: LocalFileSystem, tmp_path: Path) -> Iterator[Path]:
    """A file that this process is writing."""
    with local.open(f"{tmp_path}/mine", "wb") as stream:
        stream.write(b"x")
        yield next(path for path in tmp_path.iterdir() if is_part(path.name))


@posix
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    left = killed_writer(tmp_path)
    assert is_part(left.name)
    write_elsewhere(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new 0", "new 1", "new 2"]


@posix
def test_what_is_being_written_stays(own_part: Path, tmp_path: Path) -> None:
    write_elsewhere(tmp_path)
    assert own_part.exists()


@posix
@pytest.mark.parametrize("whose", ["another machine's", "one whose number is taken"])
def test_where_nobody_can_be_asked_a_day_decides(
    own_part: Path, tmp_path: Path, whose: str
) -> None:
    found = PART.fullmatch(own_part.name)
    assert found is not None
    machine = "0" * 8 if whose == "another machine's" else found[1]
    pid = "7fffffff" if whose == "another machine's" else f"{os.getpid():x}"
    young, old = (tmp_path / f".rv-{machine}-{pid}-{n * 8}.part" for n in "12")
    for path, hours in ((young, 23), (old, 25)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - hours * 3600,) * 2)
    write_elsewhere(tmp_path)
    assert young.exists()
    assert not old.exists()


@posix
def test_only_such_files_go(tmp_path: Path) -> None:
    name = killed_writer(tmp_path).name
    others = ["notes.part", ".rv-notes", name + ".bak", "x" + name, ".rv-0-0-0.part"]
    for other in others:
        (tmp_path / other).write_text("mine")
        os.utime(tmp_path / other, (1, 1))
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    write_elsewhere(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {*others, name}


def test_names_tell_machine_and_process(own_part: Path) -> None:
    found = PART.fullmatch(own_part.name)
    assert found is not None
    assert int(found[2], 16) == os.getpid()


@posix
def test_writing_many_files_looks_once_for_leftovers(tmp_path: Path) -> None:
    """A look at a folder of many files for each that is written would cost a day."""
    code = """
        import os, sys
        from rv_plugins.local import LocalFileSystem
        looked = []
        sys.addaudithook(lambda event, args: looked.append(args) if event == "os.scandir" else None)
        for n in range(200):
            LocalFileSystem(fsync=False).write_str(f"{sys.argv[1]}/{n}", "x")
        print(len(looked))
    """
    assert int(run_python(code, tmp_path)) == 1


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the disk was waited for."""
    seen: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(handle), fsync(handle)))
    return seen


def test_a_file_is_flushed_to_the_disk_unless_the_settings_say_no(
    flushes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{tmp_path}/a"
    Kernel().files.write_str(uri, "x")
    assert len(flushes) == (1 if os.name == "nt" else 2)  # the file, and its folder
    Kernel().files.copy(uri, f"{tmp_path}/b")
    assert len(flushes) == (2 if os.name == "nt" else 4)
    flushes.clear()
    Kernel(config={"local": {"fsync": False}}).files.write_str(uri, "y")
    monkeypatch.setenv("RV_LOCAL_FSYNC", "false")
    Kernel().files.write_str(uri, "z")
    Kernel().files.copy(uri, f"{tmp_path}/b")
    assert flushes == []
    assert (tmp_path / "b").read_text() == "z"


def test_what_can_be_had_again_does_not_wait_for_the_disk(
    flushes: list[int], tmp_path: Path
) -> None:
    for n in range(5):
        (tmp_path / "from" / str(n)).parent.mkdir(exist_ok=True)
        (tmp_path / "from" / str(n)).write_text("x")
    Kernel().files.sync(f"{tmp_path}/from", f"{tmp_path}/to")
    assert len(list((tmp_path / "to").iterdir())) == 5
    assert flushes == []


@posix
@pytest.mark.parametrize("way", ["stream", "copy"])
def test_a_large_file_goes_to_the_disk_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Nobody hears Ctrl-C while the disk is waited for: so it never is for long."""
    step, seen = 16 << 20, [0]
    monkeypatch.setattr("rv_core.local_files._atomic._SETTLE_BYTES", step)
    for name in ("fsync", "fdatasync"):
        known = getattr(os, name, os.fsync)
        monkeypatch.setattr(
            os,
            name,
            lambda handle, known=known: (seen.append(os.fstat(handle).st_size), known(handle)),
            raising=False,
        )
    (tmp_path / "large").write_bytes(b"x" * (2 * step + 1))
    if way == "copy":
        Kernel().files.copy(f"{tmp_path}/large", f"{tmp_path}/target")
    else:
        with Kernel().files.open(f"{tmp_path}/target", "wb") as stream:
            for _ in range(32):
                stream.write(b"x" * (step // 16))
            stream.write(b"x")
    assert (tmp_path / "target").stat().st_size == 2 * step + 1
    waits = [after - before for before, after in pairwise(seen[:-1])]  # the last: of the folder
    assert len(waits) == 3, "twice on the way, and at the end"
    assert max(waits) == step


@posix
def test_a_sync_to_a_full_disk_keeps_what_was_there_and_says_so(tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys
        from pathlib import Path
        from rv_core import Kernel, StorageError
        source, disk = Path(sys.argv[1]), Path(sys.argv[2])
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            sys.exit(print("no"))
        try:
            for n in range(200):
                (disk / f"{n:03}").write_text("old")
            try:
                Kernel().files.sync(str(source), str(disk), delete=True)
            except StorageError as error:
                print(error)
                print(error.hint)
            found = [path.read_bytes() for path in disk.iterdir()]
            print(len(found), all(data in (b"old", b"new" * 10_000) for data in found))
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    """
    source, disk = tmp_path / "source", tmp_path / "disk"
    source.mkdir()
    disk.mkdir()
    for n in range(199):
        (source / f"{n:03}").write_bytes(b"new" * 10_000)
    done = run_python(code, source, disk).splitlines()
    if done == ["no"]:
        pytest.skip("no small disk can be mounted here")
    assert "the disk is full" in done[0]
    assert "were not tried" in done[0]
    assert "free some space" in done[1]
    assert done[2] == "200 True"


@pytest.mark.slow
def test_four_writers_and_a_reader_never_show_a_torn_file(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    code = """
        import sys
        from rv_plugins.local import LocalFileSystem
        fs = LocalFileSystem(fsync=False)
        own = sys.argv[2].encode()
        size = 0
        for _ in range(400):
            size = size % 300_000 + 10_001
            with fs.open(sys.argv[1], "wb") as stream:
                for _ in range(3):
                    stream.write(own * size)
    """
    uri = f"{tmp_path}/a"
    local.write_bytes(uri, b"0" * 3)
    writers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), uri, str(n)])
        for n in range(1, 5)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        data = local.read_bytes(uri)
        assert data == data[:1] * len(data), "the contents of two writers are mixed"
        assert len(data) == 3 or (len(data) % 3 == 0 and len(data) > 30_000), "not whole"
        seen.add(data[:1])
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(seen) > 2
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
