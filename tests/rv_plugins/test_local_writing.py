"""A file appears whole or not at all, with sane permissions."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rv_plugins.local import LocalFileSystem

from rv_core import AccessDeniedError, AlreadyExistsError, NotFoundError, StorageError

posix = pytest.mark.skipif(os.name == "nt", reason="permissions and signals of POSIX systems")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_file_is_there_when_it_is_closed_and_not_before(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    uri = f"{tmp_path}/new/folder/a.bin"
    with local.open(uri, "wb") as stream:
        stream.write(b"x" * 3_000_000)
        stream.flush()
        assert not local.file_exists(uri)
        assert list(local.list_paths(str(tmp_path))) == []
    assert local.read_bytes(uri) == b"x" * 3_000_000
    assert names_in(tmp_path / "new/folder") == ["a.bin"]


def test_the_old_file_stays_until_the_new_one_is_whole(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    uri = f"{tmp_path}/a.txt"
    local.write_str(uri, "old")
    with local.open(uri, "wb") as stream:
        stream.write(b"new")
        stream.flush()
        assert local.read_str(uri) == "old"
    assert local.read_str(uri) == "new"


@pytest.mark.parametrize("mode", ["wb", "xb"])
def test_an_exception_in_the_block_leaves_nothing(
    local: LocalFileSystem, tmp_path: Path, mode: str
) -> None:
    with pytest.raises(KeyboardInterrupt), local.open(f"{tmp_path}/a", mode) as stream:  # type: ignore[arg-type]
        stream.write(b"half")
        raise KeyboardInterrupt
    assert names_in(tmp_path) == []


def test_a_stream_that_is_forgotten_publishes_nothing(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    stream = local.open(f"{tmp_path}/a", "wb")
    stream.write(b"half")
    del stream
    assert names_in(tmp_path) == []


def test_closing_twice_is_closing_once(local: LocalFileSystem, tmp_path: Path) -> None:
    stream = local.open(f"{tmp_path}/a", "wb")
    stream.write(b"1")
    stream.close()
    stream.close()
    assert stream.closed
    assert local.read_bytes(f"{tmp_path}/a") == b"1"


def test_a_stream_can_be_told_and_sought(local: LocalFileSystem, tmp_path: Path) -> None:
    with local.open(f"{tmp_path}/a", "wb") as stream:
        stream.write(b"0123456789")
        stream.seek(2)
        stream.write(b"xx")
        assert stream.tell() == 4
    assert local.read_bytes(f"{tmp_path}/a") == b"01xx456789"


@posix
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o027, 0o077, 0o000])
def test_a_new_file_has_what_the_umask_leaves(
    local: LocalFileSystem, tmp_path: Path, mask: int
) -> None:
    with umask(mask):
        local.write_str(f"{tmp_path}/wb", "x")
        local.open(f"{tmp_path}/xb", "xb").close()
        local.copy_from(f"{tmp_path}/wb", tmp_path / "copied")
    for name in ("wb", "xb", "copied"):
        assert mode_of(tmp_path / name) == 0o666 & ~mask


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o664])
def test_an_overwritten_file_keeps_its_permissions_also_while_it_is_written(
    local: LocalFileSystem, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(mode)
    with umask(0o022), local.open(str(path), "wb") as stream:
        part = next(p for p in tmp_path.iterdir() if p != path)
        assert mode_of(part) == mode
        stream.write(b"new")
    assert mode_of(path) == mode
    assert path.read_text() == "new"


def test_xb_refuses_what_is_there(local: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(AlreadyExistsError):
            local.open(f"{tmp_path}/{name}", "xb")
    assert (tmp_path / "a").read_text() == "mine"


def test_xb_refuses_what_appeared_meanwhile(local: LocalFileSystem, tmp_path: Path) -> None:
    stream = local.open(f"{tmp_path}/a", "xb")
    stream.write(b"late")
    (tmp_path / "a").write_text("first")
    with pytest.raises(AlreadyExistsError):
        stream.close()
    assert (tmp_path / "a").read_text() == "first"
    assert names_in(tmp_path) == ["a"]


def test_of_many_xb_writers_one_wins(local: LocalFileSystem, tmp_path: Path) -> None:
    uri, start = f"{tmp_path}/lock", threading.Barrier(16)

    def take(owner: int) -> int | None:
        stream = local.open(uri, "xb")
        start.wait()
        try:
            with stream:
                stream.write(str(owner).encode())
        except AlreadyExistsError:
            return None
        return owner

    with ThreadPoolExecutor(16) as pool:
        winners = [owner for owner in pool.map(take, range(16)) if owner is not None]
    assert len(winners) == 1
    assert local.read_str(uri) == str(winners[0])
    assert names_in(tmp_path) == ["lock"]


@pytest.mark.slow
def test_of_two_processes_with_xb_one_wins(tmp_path: Path) -> None:
    code = """
        import sys, time
        from rv_core import AlreadyExistsError
        from rv_plugins.local import LocalFileSystem
        while time.time() < float(sys.argv[2]): pass
        won = 0
        for n in range(200):
            try:
                with LocalFileSystem().open(f"{sys.argv[1]}/{n}", "xb") as stream:
                    stream.write(b"x")
                won += 1
            except AlreadyExistsError:
                pass
        print(won)
    """
    start = time.time() + 1.0
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: run_python(code, tmp_path, start), range(2)))
    assert [p.stderr for p in done] == ["", ""]
    assert sum(int(p.stdout) for p in done) == 200


def test_a_reader_sees_the_old_file_or_the_new_one(local: LocalFileSystem, tmp_path: Path) -> None:
    uri = f"{tmp_path}/a"
    whole = {bytes([n]) * 200_000 for n in range(3)}
    local.write_bytes(uri, bytes([0]) * 200_000)
    stop = threading.Event()

    def rewrite() -> None:
        n = 0
        while not stop.is_set():
            n = (n + 1) % 3
            local.write_bytes(uri, bytes([n]) * 200_000)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(200):
            assert local.read_bytes(uri) in whole
    finally:
        stop.set()
        writer.join()


@posix
def test_a_process_killed_in_mid_write_leaves_the_old_file(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    local.write_str(f"{tmp_path}/a", "old")
    code = """
        import sys, time
        from rv_plugins.local import LocalFileSystem
        with LocalFileSystem().open(sys.argv[1], "wb") as stream:
            stream.write(b"new" * 1_000_000)
            stream.flush()
            print("written", flush=True)
            time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), f"{tmp_path}/a"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert local.read_str(f"{tmp_path}/a") == "old"
    assert list(local.list_paths(str(tmp_path))) == [f"{tmp_path}/a"]


@posix
@pytest.mark.parametrize("end", ["del stream", "stream.close()"])
def test_a_fork_does_not_take_the_file_from_its_parent(tmp_path: Path, end: str) -> None:
    code = f"""
        import os, sys
        from pathlib import Path
        from rv_plugins.local import LocalFileSystem
        stream = LocalFileSystem().open(sys.argv[1], "wb")
        stream.write(b"whole ")
        child = os.fork()
        if child == 0:
            {end}
            os._exit(0)
        os.waitpid(child, 0)
        assert not Path(sys.argv[1]).exists()
        stream.write(b"file")
        stream.close()
    """
    done = run_python(code, tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a").read_bytes() == b"whole file"


@posix
def test_a_disk_that_fails_while_seeking_is_an_error_of_storage(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys
        from rv_core import StorageError
        from rv_plugins.local import LocalFileSystem
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            with LocalFileSystem().open(sys.argv[1], "wb") as stream:
                stream.write(b"n" * 40_000)
                stream.seek(0)
        except StorageError as error:
            print(error)
    """
    done = run_python(code, tmp_path / "a")
    assert f"cannot write {tmp_path}/a" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("size", [40_000, 5_000_000])
def test_a_full_disk_says_so_and_leaves_the_old_file(tmp_path: Path, size: int) -> None:
    """A disk of 1 MB (or, where none can be mounted, a limit on the file's size)."""
    code = """
        import os, resource, signal, subprocess, sys
        from rv_core import StorageError
        from rv_plugins.local import LocalFileSystem
        folder, size = sys.argv[1], int(sys.argv[2])
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
                                 capture_output=True).returncode == 0
        try:
            fs = LocalFileSystem()
            fs.write_str(f"{folder}/a", "old")
            if mounted:
                free = os.statvfs(folder)
                with open(f"{folder}/filler", "wb") as filler:
                    filler.write(b"x" * (free.f_bavail * free.f_frsize - 12_000))
            else:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            try:
                with fs.open(f"{folder}/a", "wb") as stream:
                    stream.write(b"n" * size)
                print("written")
            except StorageError as error:
                print("full" if mounted else "limit", "|", error, "|", error.hint)
            with open(f"{sys.argv[3]}", "wb") as big:
                big.write(b"n" * 20_000)
                big.truncate(size)
            try:
                fs.copy_to(sys.argv[3], f"{folder}/a")
                print("copied")
            except StorageError as error:
                print("full" if mounted else "limit", "|", error, "|", error.hint)
            print(fs.read_str(f"{folder}/a"), sorted(set(os.listdir(folder)) - {"filler"}))
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)
    """
    (tmp_path / "disk").mkdir()
    done = run_python(code, tmp_path / "disk", size, tmp_path / "big")
    assert done.returncode == 0, done.stderr
    said, also_said, left = done.stdout.splitlines()
    assert said == also_said
    if said.startswith("full"):
        assert "the disk is full" in said
        assert "free some space" in said
    else:
        assert said.startswith("limit")
    assert str(tmp_path / "disk/a") in said
    assert left == "old ['a']"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_written_not_replaced(local: LocalFileSystem, tmp_path: Path) -> None:
    before = Path("/dev/null").stat()
    local.write_bytes("/dev/null", b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert Path("/dev/null").stat().st_ino == before.st_ino
    with pytest.raises(OSError, match="No space left"):
        local.write_bytes("/dev/full", b"x")


def test_writing_through_a_link_keeps_the_link(local: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("old")
    (tmp_path / "link").symlink_to("real/a")
    local.write_str(f"{tmp_path}/link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/a").read_text() == "new"


def test_a_folder_in_the_way_is_named(local: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="it is a folder"):
        local.write_str(f"{tmp_path}/folder", "x")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        local.write_str(f"{tmp_path}/file/below/a", "x")
    with pytest.raises(StorageError, match="too long"):
        local.write_str(f"{tmp_path}/{'n' * 300}", "x")
    assert names_in(tmp_path) == ["file", "folder"]


def test_a_path_that_is_no_text_is_an_error_of_storage(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    for ask in (local.info, local.read_bytes, local.delete, local.file_exists):
        with pytest.raises(StorageError, match="is not valid text"):
            ask(f"{tmp_path}/\ud800")


@settings(max_examples=40)
@given(
    st.binary(min_size=1, max_size=255).filter(
        lambda b: b"\0" not in b and b"/" not in b and b not in (b".", b"..")
    )
)
def test_every_name_that_the_disk_takes_survives(name: bytes) -> None:
    local = LocalFileSystem()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{os.fsdecode(name)}"
        local.write_bytes(path, name)
        assert list(local.list_paths(folder)) == [path]
        (uri,) = local.list_paths(f"file://{folder}")
        assert local.read_bytes(uri) == name
        local.delete(uri)
        assert names_in(Path(folder)) == []


@posix
def test_refusals_of_the_system_are_told_apart() -> None:
    code = """
        import os, sys
        from rv_core import StorageError
        from rv_plugins.local import LocalFileSystem
        folder = sys.argv[1]
        if os.geteuid() == 0:
            os.setegid(65534), os.seteuid(65534)
        fs = LocalFileSystem()
        for ask in (
            lambda: fs.open(f"{folder}/closed"),
            lambda: fs.write_str(f"{folder}/closed", "x"),
            lambda: fs.write_str(f"{folder}/new", "x"),
            lambda: fs.delete(f"{folder}/closed"),
            lambda: list(fs.list_paths(f"{folder}/locked")),
            lambda: fs.file_exists(f"{folder}/locked/a"),
        ):
            try:
                ask()
                print("done")
            except StorageError as error:
                print(type(error).__name__, error.hint is not None)
    """
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        (folder / "closed").write_text("x")
        (folder / "locked").mkdir()
        (folder / "closed").chmod(0)
        (folder / "locked").chmod(0)
        folder.chmod(0o555)
        done = run_python(code, folder)
        folder.chmod(0o755)
        (folder / "locked").chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == [f"{AccessDeniedError.__name__} True"] * 6


def test_a_read_only_file_is_not_overwritten(local: LocalFileSystem, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write to any file")
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(AccessDeniedError):
        local.write_str(f"{tmp_path}/a", "new")
    assert (tmp_path / "a").read_text() == "old"


def test_what_is_not_there_is_not_found(local: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for uri in (f"{tmp_path}/no", f"{tmp_path}/file/no", f"{tmp_path}"):
        for ask in (local.open, local.info, local.local_path, local.read_str):
            with pytest.raises(NotFoundError, match=str(tmp_path)):
                ask(uri)
    with pytest.raises(NotFoundError) as caught:
        local.open("no/such/file")
    assert str(Path.cwd()) in str(caught.value.hint)
