"""Files on their way: whole or not at all, in constant memory, while others write."""

from __future__ import annotations

import hashlib
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, Event
from typing import BinaryIO, Final

import pytest

from rv_core._errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TransferError,
)
from rv_core._filesystem import FileSystem
from rv_core._progress import Progress
from rv_core.testing._filesystem_contract._base import (
    Put,
    Remove,
    Storage,
    lacks,
    listed,
    needs,
    pattern,
    same_bytes,
    same_files,
    tree_of,
)

_MIB: Final = 1 << 20
_LARGE_MIB: Final = 128


class Transfers(Storage):
    @pytest.mark.parametrize("size", [0, 1, 3 * _MIB + 1])
    def test_a_download_is_the_file(
        self, fs: FileSystem, put: Put, tmp_path: Path, size: int
    ) -> None:
        uri = put("folder/file.bin", pattern(size))
        target = tmp_path / "new" / "folder" / "file.bin"
        fs.copy_from(uri, target)
        same_bytes(target.read_bytes(), pattern(size))
        target.write_bytes(b"longer than nothing")
        fs.copy_from(uri, str(target))
        same_files(tree_of(tmp_path / "new"), {"folder/file.bin": pattern(size)})

    @needs("write")
    @pytest.mark.parametrize("size", [0, 1, 3 * _MIB + 1])
    def test_an_upload_is_the_file(
        self, fs: FileSystem, root: str, tmp_path: Path, size: int
    ) -> None:
        source = tmp_path / "file.bin"
        source.write_bytes(pattern(size))
        uri = fs.uri_below(root, "folder/file.bin")
        for path in (source, str(source)):
            fs.copy_to(path, uri)
            same_bytes(fs.read_bytes(uri), pattern(size))
            assert fs.info(uri).size == size

    @pytest.mark.slow
    @pytest.mark.parametrize("size", [n * _MIB + more for n in (16, 32) for more in (-1, 0, 1)])
    def test_the_borders_of_parts_are_no_borders_of_files(
        self, fs: FileSystem, put: Put, tmp_path: Path, size: int
    ) -> None:
        data = pattern(size)
        uri = put("file.bin", data)
        fs.copy_from(uri, tmp_path / "down")
        same_bytes((tmp_path / "down").read_bytes(), data)
        if "write" in self.capabilities:
            fs.copy_to(tmp_path / "down", uri)
            same_bytes(fs.read_bytes(uri), data)

    def test_a_download_reports_its_progress(
        self, fs: FileSystem, put: Put, tmp_path: Path
    ) -> None:
        uri = put("file.bin", pattern(3 * _MIB))
        seen: list[Progress] = []
        fs.copy_from(uri, tmp_path / "file.bin", seen.append)
        _check_progress(seen, 3 * _MIB)

    @needs("write")
    def test_an_upload_reports_its_progress(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file.bin").write_bytes(pattern(3 * _MIB))
        seen: list[Progress] = []
        fs.copy_to(tmp_path / "file.bin", fs.uri_below(root, "file.bin"), seen.append)
        _check_progress(seen, 3 * _MIB)

    def test_an_interrupted_download_keeps_the_old_file(
        self, fs: FileSystem, put: Put, tmp_path: Path
    ) -> None:
        uri = put("file.bin", pattern(3 * _MIB))
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "file.bin").write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt):
            fs.copy_from(uri, tmp_path / "here" / "file.bin", _interrupt)
        same_files(tree_of(tmp_path / "here"), {"file.bin": b"old"})

    @needs("write")
    def test_an_interrupted_upload_keeps_the_old_file(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        (tmp_path / "new.bin").write_bytes(pattern(3 * _MIB))
        old, new = fs.uri_below(root, "old.bin"), fs.uri_below(root, "new.bin")
        fs.write_bytes(old, b"old")
        for uri in (old, new):
            with pytest.raises(KeyboardInterrupt):
                fs.copy_to(tmp_path / "new.bin", uri, _interrupt)
        same_bytes(fs.read_bytes(old), b"old")
        assert not fs.file_exists(new)
        if "list" in self.capabilities:
            assert listed(fs, root) == ["old.bin"]

    @needs("write")
    def test_an_upload_of_nothing_is_an_error(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        uri = fs.uri_below(root, "file.bin")
        fs.write_bytes(uri, b"old")
        with pytest.raises((OSError, NotFoundError)):
            fs.copy_to(tmp_path / "missing", uri)
        same_bytes(fs.read_bytes(uri), b"old")

    def test_what_is_known_already_is_not_downloaded(
        self, fs: FileSystem, put: Put, tmp_path: Path
    ) -> None:
        uri, target = put("file.txt", b"one"), tmp_path / "file.txt"
        first = fs.copy_if_changed(uri, target, None)
        assert first is not None
        assert target.read_bytes() == b"one"
        if not self.capabilities.isdisjoint(("etag", "last_modified")):
            target.write_bytes(b"marked")
            assert fs.copy_if_changed(uri, target, first) is None
            assert target.read_bytes() == b"marked", "it was downloaded again"
        put("file.txt", b"another")
        second = fs.copy_if_changed(uri, target, first)
        assert target.read_bytes() == b"another"
        assert second is not None
        assert second.size == 7

    def test_a_local_path_holds_what_is_there_now(
        self, fs: FileSystem, put: Put, remove: Remove
    ) -> None:
        uri = put("folder/a b.tif", b"one")
        path = fs.local_path(uri)
        assert path.read_bytes() == b"one"
        assert path.suffix == ".tif", "libraries go by the ending"
        assert fs.local_path(uri).read_bytes() == b"one"
        put("folder/a b.tif", b"another")
        assert fs.local_path(uri).read_bytes() == b"another"
        put("folder/a b.tif", b"")
        assert fs.local_path(uri).read_bytes() == b""
        remove("folder/a b.tif")
        with pytest.raises(NotFoundError):
            fs.local_path(uri)

    @pytest.mark.skipif(os.name == "nt", reason="Windows lets no open file be replaced")
    def test_a_local_path_does_not_change_under_a_reader(self, fs: FileSystem, put: Put) -> None:
        uri = put("file.tif", b"one")
        with fs.local_path(uri).open("rb") as stream:
            put("file.tif", b"another")
            assert fs.local_path(uri).read_bytes() == b"another"
            assert stream.read() == b"one"

    @needs("etag")
    def test_a_local_path_goes_by_the_etag(self, fs: FileSystem, put: Put) -> None:
        for data in (b"one", b"two", b"six"):  # of one size, and within one second
            assert fs.local_path(put("file.txt", data)).read_bytes() == data

    @needs("write")
    def test_readers_see_one_whole_version_while_others_write(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        uri = fs.uri_below(root, "file.bin")
        versions = [bytes([65 + n]) * (300_000 + 50_000 * n) for n in range(4)]
        whole = {hashlib.sha256(version).hexdigest() for version in versions}
        fs.write_bytes(uri, versions[0])
        done, start = Event(), Barrier(7)
        start_of_test = time.monotonic()

        def write(number: int) -> int:
            version, path = versions[number], tmp_path / f"up {number}"
            path.write_bytes(version)
            ways: list[Callable[[], object]] = [
                lambda: self._write_in_pieces(fs, uri, version),
                lambda: fs.write_bytes(uri, version),
                lambda: fs.copy_to(path, uri),
            ]
            start.wait(60)
            count = 0
            for n in range(6):
                try:
                    ways[(number + n) % 3]()
                except IntegrityError:
                    continue  # "somebody else has written it at the same time" is an answer
                count += 1
            return count

        def copy() -> bytes:
            fs.copy_from(uri, tmp_path / "down")
            return (tmp_path / "down").read_bytes()

        def read(have: Callable[[], bytes]) -> tuple[int, set[str]]:
            count, found = 0, set()
            start.wait(60)
            while not done.is_set() or (count == 0 and time.monotonic() < start_of_test + 60):
                try:
                    data = have()
                except (IntegrityError, TransferError):
                    continue  # "it changed meanwhile" is an answer
                count += 1
                found.add(hashlib.sha256(data).hexdigest())
            return count, found

        haves = (copy, lambda: fs.read_bytes(uri), lambda: self._read_in_pieces(fs, uri))
        with ThreadPoolExecutor(7) as pool:
            readers = [pool.submit(read, have) for have in haves]
            writers = [pool.submit(write, number) for number in range(4)]
            try:
                written = sum(writer.result() for writer in writers)
            finally:
                done.set()
            assert written > 12, "most were refused"
            for reader in readers:
                count, found = reader.result(60)
                assert count, "not one read came through"
                assert found <= whole, "a reader saw a mixture of versions, or a part of one"
        assert hashlib.sha256(fs.read_bytes(uri)).hexdigest() in whole

    def test_a_stream_reads_the_version_that_it_began(self, fs: FileSystem, put: Put) -> None:
        """To its end and back to its start; that the file was replaced is an answer too."""
        old, new = pattern(3 * _MIB), pattern(4 * _MIB, seed=1)
        uri = put("file.bin", old)
        with fs.open(uri) as stream:
            found = stream.read(1000)
            put("file.bin", new)
            with suppress(StorageError):
                same_bytes(found + stream.read(), old)
                if "seek" in self.capabilities:
                    stream.seek(500)
                    same_bytes(stream.read(), old[500:])
        same_bytes(fs.read_bytes(uri), new)

    @needs("write")
    def test_many_threads_may_use_one_system(self, fs: FileSystem, root: str) -> None:
        def work(thread: int) -> None:
            for n in range(4):
                uri = fs.uri_below(root, f"{thread}/{n}")
                fs.write_bytes(uri, pattern(10_000, seed=thread))
                same_bytes(fs.read_bytes(uri), pattern(10_000, seed=thread))
                assert fs.info(uri).size == 10_000

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        if "list" in self.capabilities:
            assert len(listed(fs, root)) == 64

    @needs("write", "exclusive")
    def test_of_many_that_create_a_file_one_succeeds(self, fs: FileSystem, root: str) -> None:
        uri, start = fs.uri_below(root, "lock"), Barrier(8)

        def create(thread: int) -> int | None:
            start.wait(60)
            try:
                with fs.open(uri, "xb") as stream:
                    stream.write(b"%d" % thread)
            except AlreadyExistsError:
                return None
            return thread

        with ThreadPoolExecutor(8) as pool:
            winners = [n for n in pool.map(create, range(8)) if n is not None]
        assert len(winners) == 1, f"the threads {winners} all believe that the file is theirs"
        assert fs.read_bytes(uri) == b"%d" % winners[0]

    @needs("write", "constant_memory")
    @pytest.mark.slow
    def test_memory_does_not_grow_with_the_file(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        uri = fs.uri_below(root, "large.bin")
        fs.write_bytes(uri, b"small")  # what the first use of all imports and makes stays anyway
        with self._little_memory("writing a stream"), fs.open(uri, "wb") as sink:
            written = _write_large(sink)
        with self._little_memory("reading a stream"), fs.open(uri) as source:
            assert _hash(source) == written
        target = tmp_path / "large.bin"
        with self._little_memory("a download"):
            fs.copy_from(uri, target)
        with target.open("rb") as source:
            assert _hash(source) == written
        with self._little_memory("an upload"):
            fs.copy_to(target, fs.uri_below(root, "again.bin"))
        assert fs.info(fs.uri_below(root, "again.bin")).size == _LARGE_MIB * _MIB

    @needs("constant_memory")
    @lacks("write")
    @pytest.mark.slow
    def test_memory_does_not_grow_with_what_is_read(
        self, fs: FileSystem, put: Put, tmp_path: Path
    ) -> None:
        data = pattern(_LARGE_MIB * _MIB)
        expected = hashlib.sha256(data).hexdigest()
        uri = put("large.bin", data)
        del data
        with self._little_memory("reading a stream"), fs.open(uri) as source:
            assert _hash(source) == expected
        with self._little_memory("a download"):
            fs.copy_from(uri, tmp_path / "large.bin")
        with (tmp_path / "large.bin").open("rb") as source:
            assert _hash(source) == expected

    def _write_in_pieces(self, fs: FileSystem, uri: str, data: bytes) -> None:
        with fs.open(uri, "wb") as stream:
            for offset in range(0, len(data), 100_000):
                stream.write(data[offset : offset + 100_000])

    def _read_in_pieces(self, fs: FileSystem, uri: str) -> bytes:
        with fs.open(uri) as stream:
            return b"".join(iter(lambda: stream.read(70_000), b""))

    @contextmanager
    def _little_memory(self, what: str) -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most <= self.memory_bytes, (
            f"{what} of {_LARGE_MIB} MiB took {most / _MIB:.0f} MiB of memory, "
            f"more than memory_bytes allows"
        )


def _interrupt(progress: Progress) -> None:
    raise KeyboardInterrupt


def _check_progress(seen: list[Progress], size: int) -> None:
    done = [progress.done for progress in seen]
    assert done, "no progress was reported"
    assert done == sorted(done), f"progress goes back: {done}"
    assert done[-1] == size, f"progress ends at {done[-1]} of {size}"
    assert {progress.unit for progress in seen} == {"B"}
    assert {progress.total for progress in seen} <= {size, None}


def _write_large(sink: BinaryIO) -> str:
    found = hashlib.sha256()
    block = pattern(_MIB)
    for n in range(_LARGE_MIB):
        piece = bytes([n % 256]) + block[1:]
        found.update(piece)
        sink.write(piece)
    return found.hexdigest()


def _hash(source: BinaryIO) -> str:
    found = hashlib.sha256()
    while piece := source.read(_MIB):
        found.update(piece)
    return found.hexdigest()
