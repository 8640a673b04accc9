"""Somebody's own implementations of fsspec, each with habits that must break no promise."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile

from rv_core import AlreadyExistsError, FileSystem, NotFoundError, Progress, StorageError
from rv_fs_fsspec import FsspecFileSystem, RVFileSystem

MIB = 1 << 20


class BlockFile(AbstractBufferedFile):  # type: ignore[misc]
    """Reads a range whenever it needs one; what is written is published on closing."""

    data = b""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.store[self.path][0][start:end])

    def _upload_chunk(self, final: bool = False) -> bool:
        self.data += self.buffer.getvalue()
        if final:
            self.fs.store[self.path] = self.data, time.time()
        return True

    def _initiate_upload(self) -> None:
        pass


class Blocks(AbstractFileSystem):  # type: ignore[misc]
    """By files that are buffered in blocks, as fsspec's documentation has it."""

    protocol = "blocks"
    store: ClassVar[dict[str, tuple[bytes, float]]] = {}

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        if path in self.store:
            data, written = self.store[path]
            return {"name": path, "type": "file", "size": len(data), "mtime": written}
        if any(name.startswith(f"{path}/") for name in self.store):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BlockFile:
        return BlockFile(self, path, mode, MIB)


class Numbers(Blocks):
    """Tells what is wrong by numbers alone, as smbprotocol does."""

    protocol = "numbers"

    class Error(OSError):
        def __init__(self, number: int) -> None:
            super().__init__(number, os.strerror(number))

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            return super().info(path)
        except FileNotFoundError:
            raise self.Error(errno.ENOENT) from None


class Late(AsyncFileSystem):  # type: ignore[misc]
    """Uploads in an event loop, and minds nothing that its listener raises."""

    protocol = "late"
    store: ClassVar[dict[str, bytes]] = {}
    minds = True
    steps = 10
    begun: ClassVar[threading.Event] = threading.Event()
    ended: ClassVar[threading.Event] = threading.Event()

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        if path in self.store:
            return {"name": path, "type": "file", "size": len(self.store[path])}
        raise FileNotFoundError(path)

    async def _put_file(self, lpath: str, rpath: str, callback: Any = None, **kwargs: Any) -> None:
        data = Path(lpath).read_bytes()
        try:
            for done in range(1, self.steps + 1):
                await asyncio.sleep(0.05)
                self.begun.set()
                try:
                    callback.absolute_update(done)
                except Exception:
                    if self.minds:
                        raise
            self.store[rpath] = data
        finally:
            self.ended.set()

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        return self.store[path][start:end]


@pytest.fixture
def made() -> Callable[[type[AbstractFileSystem]], FileSystem]:
    def make(cls: type[AbstractFileSystem]) -> FileSystem:
        fsspec.register_implementation(cls.protocol, cls, clobber=True)
        cls.store.clear()
        return FsspecFileSystem(cls.protocol)

    return make


def test_an_open_file_that_asks_for_ranges_does_not_mix_versions(
    made: Callable[..., FileSystem],
) -> None:
    blocks = made(Blocks)
    Blocks.store["a/big"] = b"a" * (8 * MIB), 1.0
    with blocks.open("blocks://a/big") as stream:
        assert stream.read(MIB) == b"a" * MIB
        Blocks.store["a/big"] = b"b" * (8 * MIB), 2.0
        with pytest.raises(StorageError, match="replaced"):
            stream.read()
    with blocks.open("blocks://a/big") as stream:
        stream.seek(5 * MIB)
        assert stream.read() == b"b" * (3 * MIB)


def test_an_upload_that_is_given_up_publishes_no_half(
    made: Callable[..., FileSystem], tmp_path: Path
) -> None:
    blocks = made(Blocks)
    blocks.write_bytes("blocks://a/big", b"old")
    (tmp_path / "big").write_bytes(bytes(12 * MIB))

    def interrupt(progress: Progress) -> None:
        if progress.done > 6 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blocks.copy_to(tmp_path / "big", "blocks://a/big", interrupt)
    assert blocks.read_bytes("blocks://a/big") == b"old"
    blocks.copy_to(tmp_path / "big", "blocks://a/big")
    assert blocks.read_bytes("blocks://a/big") == bytes(12 * MIB)


def test_errors_that_are_numbers_alone_are_understood(made: Callable[..., FileSystem]) -> None:
    numbers = made(Numbers)
    assert not numbers.file_exists("numbers://a/b")
    assert list(numbers.list_paths("numbers://a")) == []
    with pytest.raises(NotFoundError):
        numbers.read_bytes("numbers://a/b")
    with numbers.open("numbers://a/b", "xb") as stream:
        stream.write(b"1")
    with pytest.raises(AlreadyExistsError):
        numbers.open("numbers://a/b", "xb")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_an_upload_does_not_go_on_behind_the_back_of_who_stopped_it(
    made: Callable[..., FileSystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = made(Late)
    Late.store["a/b"] = b"old"
    (tmp_path / "new").write_bytes(b"new")
    monkeypatch.setattr(Late, "steps", 2000)  # a hundred seconds
    main = threading.get_ident()
    Late.begun.clear()
    Late.ended.clear()

    def interrupt() -> None:
        Late.begun.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=interrupt).start()
        late.copy_to(tmp_path / "new", "late://a/b")
    assert Late.ended.wait(120)
    assert Late.store["a/b"] == b"old"


def test_ctrl_c_is_heard_by_those_who_asked_though_the_implementation_does_not_mind(
    made: Callable[..., FileSystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Late, "minds", False)
    late = made(Late)
    (tmp_path / "new").write_bytes(b"new")

    def interrupt(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        late.copy_to(tmp_path / "new", "late://a/b", interrupt)


def test_one_system_goes_to_other_processes_with_its_settings() -> None:
    system = FsspecFileSystem("sftp", {"host_key_policy": "auto_add", "username": "me"})
    again = pickle.loads(pickle.dumps(system))
    assert vars(again)["_options"] == vars(system)["_options"]
    memory = FsspecFileSystem("memory")
    memory.write_bytes("memory://pickled/a", b"1")
    over = pickle.loads(pickle.dumps(RVFileSystem(memory)))
    assert over.cat_file("memory://pickled/a") == b"1"
