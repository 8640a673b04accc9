"""What becomes of transfers when servers, processes and listeners fail in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem

from rv_core import FileSystem, Kernel, Progress, StorageError, TransferError
from rv_fs_fsspec import FsspecFileSystem

DATA = bytes(range(256)) * (64 << 10)  # 16 MiB
MIB = 1 << 20


@pytest.fixture
def anybody() -> FileSystem:
    """SFTP that trusts the servers that a test starts."""
    return FsspecFileSystem("sftp", {"host_key_policy": "auto_add"})


def run(code: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


# Servers


@pytest.mark.slow
def test_a_connection_that_died_while_it_lay_idle_is_made_anew(
    own_sftp_server: Callable[..., Any], anybody: FileSystem
) -> None:
    server = own_sftp_server()
    anybody.write_bytes(f"{server.url}/a", b"1")
    server.process.kill()
    server.process.wait()
    own_sftp_server()
    assert anybody.read_bytes(f"{server.url}/a") == b"1"


@pytest.mark.slow
def test_a_server_that_dies_in_mid_transfer_leaves_nothing_here_and_the_old_file_there(
    own_sftp_server: Callable[..., Any], anybody: FileSystem, tmp_path: Path
) -> None:
    server = own_sftp_server()
    anybody.write_bytes(f"{server.url}/big", DATA)
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "new").write_bytes(DATA)

    def kill(progress: Progress) -> None:
        if progress.done > MIB:
            server.process.kill()

    with pytest.raises(TransferError) as caught:
        anybody.copy_from(f"{server.url}/big", tmp_path / "old", kill)
    assert "HUSH" not in f"{caught.value!r} {caught.value}"
    assert (tmp_path / "old").read_bytes() == b"old"
    assert parts(tmp_path) == []

    (server.folder / "big").write_bytes(b"old")
    server = own_sftp_server()
    with pytest.raises(TransferError):
        anybody.copy_to(tmp_path / "new", f"{server.url}/big", kill)
    server.process.wait()
    assert (server.folder / "big").read_bytes() == b"old"
    own_sftp_server()
    assert list(anybody.list_paths(f"{server.url}/")) == [f"{server.url}/big"]


@pytest.mark.slow
def test_a_server_that_falls_silent_is_given_up(
    own_sftp_server: Callable[..., Any], anybody: FileSystem, tmp_path: Path
) -> None:
    server = own_sftp_server()
    anybody.write_bytes(f"{server.url}/big", DATA)
    stopped = threading.Event()

    def stop(progress: Progress) -> None:
        if progress.done > MIB:
            server.process.send_signal(signal.SIGSTOP)
            stopped.set()

    def ask() -> None:
        assert stopped.wait(60)
        with pytest.raises(TransferError):
            anybody.info(f"{server.url}/big")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        with pytest.raises(TransferError):
            anybody.copy_from(f"{server.url}/big", tmp_path / "here", stop)
        asked.result(300)
    assert list(tmp_path.glob("here*")) == []


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    kernel: Kernel, root: str, tmp_path: Path
) -> None:
    files = kernel.files
    files.write_bytes(f"{root}/big", b"a" * (8 * MIB))
    with files.open(f"{root}/big") as stream:
        assert stream.read(10) == b"a" * 10
        files.write_bytes(f"{root}/big", b"b" * (9 * MIB))
        try:
            rest = stream.read()
        except StorageError as error:
            assert "replaced" in str(error)
        else:
            assert rest == b"a" * (8 * MIB - 10)
    assert files.read_bytes(f"{root}/big") == b"b" * (9 * MIB)


# Sizes


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_a_listing_has_no_page_limit(
    kernel: Kernel, scheme: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"{scheme}_server")
    names = [f"pages/{n % 2}/{n:05} é.txt" for n in range(1500)]
    for name in names:
        (server.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (server.folder / name).touch()
    found = sorted(kernel.files.list_paths(f"{server.url}/pages"))
    assert found == sorted(f"{server.url}/{name}" for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_the_file(
    scheme: str, known_hosts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"{scheme}_server")
    process = run(
        """
        import re, sys
        from pathlib import Path
        from rv_fs_fsspec import FsspecFileSystem

        scheme, known_hosts, place, uri = sys.argv[1:]
        fs = FsspecFileSystem(scheme, {"known_hosts": known_hosts} if scheme == "sftp" else {})
        def peak():  # what resource tells begins with the peak of the process that started this one
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024
        def copy(source, sink):
            while piece := source.read(1 << 20):
                sink.write(piece)
        fs.write_bytes(uri, bytes(8 << 20))
        fs.copy_from(uri, place)
        fs.read_bytes(uri)
        before = peak()
        with open(place, "wb") as stream:
            stream.truncate(64 << 20)
        fs.copy_to(place, uri)
        fs.copy_from(uri, place)
        with fs.open(uri) as source, fs.open(f"{uri}.again", "wb") as sink:
            copy(source, sink)
        assert fs.info(f"{uri}.again").size == 64 << 20
        print(peak() - before)
        """,
        scheme,
        str(known_hosts),
        str(tmp_path / "large"),
        f"{server.url}/large/file",
    )
    assert int(process.communicate(timeout=600)[0]) < 28 << 20


# Processes


def test_a_writer_that_is_killed_leaves_the_old_file(
    sftp_server: Any, known_hosts: Path, kernel: Kernel
) -> None:
    uri = f"{sftp_server.url}/killed/file"
    kernel.files.write_bytes(uri, b"old")
    process = run(
        """
        import sys, time
        from pathlib import Path
        from rv_fs_fsspec import FsspecFileSystem

        def hold(progress):
            if progress.done > 1 << 20:
                sys.stdout.write("now\\n"); sys.stdout.flush()
                time.sleep(600)

        Path(sys.argv[3]).write_bytes(bytes(8 << 20))
        fs = FsspecFileSystem("sftp", {"known_hosts": sys.argv[2]})
        fs.copy_to(sys.argv[3], sys.argv[1], hold)
        """,
        uri,
        str(known_hosts),
        str(known_hosts.with_name("big")),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.kill()
    process.wait()
    (half,) = parts(sftp_server.folder / "killed")  # it is there, and nobody sees it
    assert list(kernel.files.list_paths(f"{sftp_server.url}/killed")) == [uri]
    assert kernel.files.read_bytes(uri) == b"old"
    kernel.files.delete(f"{sftp_server.url}/killed")
    assert not (sftp_server.folder / "killed").exists()
    (sftp_server.folder / "halves").mkdir()
    (sftp_server.folder / "halves" / half).write_bytes(b"half")
    assert not kernel.files.file_exists(f"{sftp_server.url}/halves")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_parent_and_child_of_a_fork_do_not_share_connections(
    sftp_server: Any, known_hosts: Path
) -> None:
    process = run(
        """
        import os, sys
        import fsspec
        from rv_fs_fsspec import FsspecFileSystem

        root, known_hosts = sys.argv[1:]
        fs = FsspecFileSystem("sftp", {"known_hosts": known_hosts})
        fs.write_bytes(f"{root}/forked/a", b"1")
        reading = fs.open(f"{root}/forked/a")
        child = os.fork()
        if child == 0:
            assert fs.read_bytes(f"{root}/forked/a") == b"1"
            fs.write_bytes(f"{root}/forked/b", b"2")
            assert reading.read() == b"1"
            sys.exit(0)  # with all the cleaning up that Python does
        assert os.waitpid(child, 0)[1] == 0
        assert reading.read() == b"1"
        assert fs.read_bytes(f"{root}/forked/b") == b"2"
        fs.write_bytes(f"{root}/forked/c", b"3")
        sys.stdout.write("done\\n")
        """,
        sftp_server.url,
        str(known_hosts),
    )
    assert process.communicate(timeout=120)[0] == "done\n"
    assert process.returncode == 0


def test_a_stream_that_is_open_in_a_fork_is_its_parent_s_to_publish(kernel: Kernel) -> None:
    files = kernel.files
    stream = files.open("memory://forked/a", "wb")
    stream.write(b"1")
    stream._pid += 1  # type: ignore[attr-defined]  # as it looks from the child
    stream.close()
    assert not files.file_exists("memory://forked/a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_that_closes_its_parent_s_stream_adds_nothing_to_it() -> None:
    process = run(
        """
        import os, sys
        from rv_fs_fsspec import FsspecFileSystem
        fs = FsspecFileSystem("memory")
        with fs.open("memory://a", "wb") as stream:
            stream.write(b"once")
            child = os.fork()
        if child:
            os.waitpid(child, 0)
            sys.stdout.write(fs.read_str("memory://a"))
        """
    )
    assert process.communicate(timeout=120)[0] == "once"


def test_what_killed_writers_left_here_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run(
        """
        import os, signal, sys
        from rv_fs_fsspec import FsspecFileSystem
        stream = FsspecFileSystem("memory").open("memory://a", "wb")
        stream.write(bytes(1 << 20))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        TMPDIR=str(tmp_path),
    )
    process.wait()
    assert len(parts(tmp_path)) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    FsspecFileSystem("memory").write_bytes("memory://a", b"1")
    assert parts(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_comes_through_a_pipe_goes_up_whole(
    kernel: Kernel, sftp_server: Any, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = run(
        "import sys; open(sys.argv[1], 'wb').write(bytes(1 << 20))", str(tmp_path / "pipe")
    )
    kernel.files.copy(str(tmp_path / "pipe"), f"{sftp_server.url}/piped/a")
    assert writer.wait(60) == 0
    assert kernel.files.read_bytes(f"{sftp_server.url}/piped/a") == bytes(1 << 20)


# Implementations with an event loop


class Loop(AsyncFileSystem):  # type: ignore[misc]
    """Somebody's own: asynchronous, and it tells how far it is from the thread of its loop."""

    protocol = "loop"
    store: dict[str, bytes] = {}  # noqa: RUF012

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.store:
            return {"name": path, "type": "file", "size": len(self.store[path])}
        if any(name.startswith(f"{path}/") for name in self.store):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    async def _find(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        names = [name for name in self.store if f"{name}/".startswith(f"{path}/")]
        return {name: await self._info(name) for name in names} if detail else names

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        return self.store[path][start:end]

    async def _put_file(self, lpath: str, rpath: str, callback: Any = None, **kwargs: Any) -> None:
        data = Path(lpath).read_bytes()
        for done in range(MIB, len(data) + 1, MIB):
            callback.absolute_update(done)
        self.store[rpath] = data

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        del self.store[path]


@pytest.fixture
def loop() -> Iterator[FileSystem]:
    fsspec.register_implementation("loop", Loop, clobber=True)
    yield FsspecFileSystem("loop")
    Loop.store.clear()


def test_ctrl_c_in_an_upload_does_not_end_the_event_loop(loop: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(DATA)
    loop.write_bytes("loop://a/big", b"old")

    def interrupt(progress: Progress) -> None:
        if progress.done > 4 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.copy_to(tmp_path / "big", "loop://a/big", interrupt)
    assert loop.read_bytes("loop://a/big") == b"old"  # others can still ask, and are answered

    def stumble(progress: Progress) -> None:
        if progress.done > 4 * MIB:
            raise LookupError("the listener's own")

    with pytest.raises(LookupError, match="the listener's own"):
        loop.copy_to(tmp_path / "big", "loop://a/big", stumble)
    assert loop.read_bytes("loop://a/big") == b"old"


def test_an_implementation_nobody_has_heard_of_moves_whole_files(
    loop: FileSystem, tmp_path: Path
) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "big").write_bytes(DATA + b"x")
    (tmp_path / "up" / "small").write_bytes(b"1")
    loop.sync_to_dir(tmp_path / "up", "loop://root")
    assert sorted(loop.list_paths("loop://root")) == ["loop://root/big", "loop://root/small"]
    loop.sync_from_dir("loop://root", tmp_path / "down")
    assert (tmp_path / "down" / "big").read_bytes() == DATA + b"x"
    with loop.open("loop://root/big") as stream:
        stream.seek(-2, os.SEEK_END)
        assert stream.read() == DATA[-1:] + b"x"
    loop.delete("loop://root")
    assert not loop.file_exists("loop://root")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_an_event_loop_is_made_anew_in_a_fork() -> None:
    code = Path(__file__).read_text("utf-8")
    loop = code[code.index("class Loop(") : code.index("@pytest.fixture\ndef loop")]
    process = run(
        f"""
import os, sys
from pathlib import Path
from typing import Any
import fsspec
from fsspec.asyn import AsyncFileSystem
from rv_fs_fsspec import FsspecFileSystem
MIB = 1 << 20
{loop}
fsspec.register_implementation("loop", Loop)
fs = FsspecFileSystem("loop")
fs.write_bytes("loop://a", b"1")
child = os.fork()
assert fs.read_bytes("loop://a") == b"1"
if child:
    assert os.waitpid(child, 0)[1] == 0
    sys.stdout.write("done\\n")
"""
    )
    assert process.communicate(timeout=120)[0] == "done\n"
