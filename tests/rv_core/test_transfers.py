"""Ranged downloads and readers: whole and of one version, or an error that leaves all as it was."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from rv_core.transfers import ChangedError, Piece, Retries, SpeedGuard, download, open_reader

from rv_core import FileInfo, IntegrityError, NotFoundError, Progress, StorageError, TransferError

URI = "acme://host/file?sig=HUSH"
PART = 64 << 10
PATIENT = Retries(min_wait=0.001, max_wait=0.01)


@attrs.define
class Store:
    """A server of one file, which can be replaced, and that fails as it is told."""

    data: bytes = random.Random(0).randbytes(10 * PART + 17)
    version: int = 1
    ranges: bool = True
    sized: bool = True
    breaks: Callable[[int, int], int | None] = lambda request, start: None
    pace: float = 0.0
    stops: bool = False  # until it `flows` again, or for a minute
    flows: threading.Event = attrs.field(factory=threading.Event)
    requests: list[tuple[int, int | None]] = attrs.field(factory=list)
    open_bodies: int = 0
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def replace(self, data: bytes) -> None:
        with self.lock:
            self.data, self.version = data, self.version + 1

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        with self.lock:
            self.requests.append((start, stop))
            number = len(self.requests)
            if not self.ranges:
                start, stop = 0, None
            if version is not None and self.ranges and version.etag != str(self.version):
                raise ChangedError("it is another version now")
            size = len(self.data)
            stop = size if stop is None else min(stop, size)
            info = FileInfo(size if self.sized else None, etag=str(self.version))
            body = Answer(self, self.data[start:stop], self.breaks(number, start))
            return Piece(start, stop if self.sized else None, info, body, self.ranges)


class Answer:
    def __init__(self, store: Store, data: bytes, breaks_after: int | None) -> None:
        self.store, self.stream, self.left = store, io.BytesIO(data), breaks_after
        self.store.open_bodies += 1

    def read1(self, size: int) -> bytes:
        time.sleep(self.store.pace)
        if self.store.stops:
            self.store.flows.wait(60)
        if self.left is None:
            return self.stream.read(min(size, 10_000))
        if self.left == 0:
            raise TransferError("the connection broke")
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        with self.store.lock:
            self.store.open_bodies -= 1


def get(store: Store, path: Path, **options: object) -> FileInfo:
    options = {"part_bytes": PART, "connections": 4, "retries": PATIENT, **options}
    return download(store, URI, path, **options)  # type: ignore[arg-type]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "file"
    path.parent.mkdir()
    path.write_text("old")
    return path


def stands_alone(target: Path, content: bytes) -> bool:
    return target.read_bytes() == content and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 7 * PART, 9 * PART + 5])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("connections", [1, 3, 50])
def test_the_file_arrives(
    target: Path, size: int, ranges: bool, sized: bool, connections: int
) -> None:
    store = Store(random.Random(size).randbytes(size), ranges=ranges and sized, sized=sized)
    info = get(store, target, connections=connections)
    assert stands_alone(target, store.data)
    assert info == FileInfo(size if sized else None, etag="1")
    assert store.open_bodies == 0
    if ranges and sized and connections > 1:
        assert min(store.requests) == (0, PART)
        assert len(store.requests) == max(1, -(-size // PART))


def test_the_first_request_may_be_for_all_and_be_split_later(target: Path) -> None:
    store = Store()
    asked: list[int] = []

    def split(done: int, seconds: float, info: FileInfo) -> bool:
        asked.append(done)
        return done > 2 * PART

    get(store, target, split=split)
    assert stands_alone(target, store.data)
    assert store.requests[0] == (0, None)
    assert sorted(start for start, _ in store.requests[1:]) == [n * PART for n in range(3, 11)]
    assert asked[-1] > 2 * PART

    store.requests.clear()
    get(store, target, split=lambda *_: False)
    assert store.requests == [(0, None)]


def test_a_broken_part_goes_on_at_its_byte(target: Path) -> None:
    store = Store(breaks=lambda request, start: 1000 if request % 2 else None)
    get(store, target)
    assert stands_alone(target, store.data)
    assert any(start % PART == 1000 for start, _ in store.requests)


@pytest.mark.parametrize("sized", [True, False])
def test_a_stream_that_breaks_often_but_gets_on_arrives(target: Path, sized: bool) -> None:
    """As one of many gigabytes may: six attempts are for where it gets no further."""
    store = Store(sized=sized, breaks=lambda request, start: PART // 2)
    get(store, target, connections=1)
    assert stands_alone(target, store.data)
    assert len(store.requests) == 21


@pytest.mark.parametrize("sized", [True, False])
def test_without_ranges_a_break_begins_again(target: Path, sized: bool) -> None:
    store = Store(
        ranges=False, sized=sized, breaks=lambda request, start: 99_999 if request < 3 else None
    )
    get(store, target)
    assert stands_alone(target, store.data)
    assert len(store.requests) == 3


def test_what_always_breaks_is_an_error_and_the_old_file_stays(target: Path) -> None:
    for store in (
        Store(breaks=lambda request, start: 0),
        Store(breaks=lambda request, start: 0 if start >= 5 * PART else None),
        Store(ranges=False, breaks=lambda request, start: 5),
        Store(ranges=False, breaks=lambda request, start: 5 * PART),
    ):
        with pytest.raises(TransferError, match="broke"):
            get(store, target)
        assert stands_alone(target, b"old")
        assert store.open_bodies == 0


def test_an_error_that_does_not_pass_ends_it_at_once(target: Path) -> None:
    store = Store()

    def refuse(request: int, start: int) -> int | None:
        if start >= 3 * PART:
            raise NotFoundError("gone")
        return None

    store.breaks = refuse
    with pytest.raises(NotFoundError):
        get(store, target)
    assert stands_alone(target, b"old")
    assert len(store.requests) < 10


@pytest.mark.parametrize("connections", [1, 4])
def test_a_replaced_file_is_begun_again_and_never_mixed(target: Path, connections: int) -> None:
    new = random.Random(1).randbytes(6 * PART)
    store = Store()

    def replace(request: int, start: int) -> int | None:
        if request == 3 or (connections == 1 and request == 1):
            store.data, store.version = new, 2
            return 0
        return None

    store.breaks = replace
    info = get(store, target, connections=connections)
    assert stands_alone(target, new)
    assert info.etag == "2"


def test_a_file_that_keeps_changing_is_given_up(target: Path) -> None:
    store = Store()

    def replace(request: int, start: int) -> int | None:
        store.version += 1
        return None

    store.breaks = replace
    with pytest.raises(TransferError, match="changed each of the 4 times") as caught:
        get(store, target)
    assert "HUSH" not in str(caught.value)
    assert stands_alone(target, b"old")


def test_a_server_that_stops_keeping_to_ranges_sends_the_whole(target: Path) -> None:
    store = Store()

    def forget(request: int, start: int) -> int | None:
        if request == 4:
            store.ranges = False
        return None

    store.breaks = forget
    get(store, target)
    assert stands_alone(target, store.data)


def test_a_server_that_never_keeps_to_ranges_but_says_so_sends_the_whole(target: Path) -> None:
    class Boaster(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            return attrs.evolve(super().read_range(start, stop, version), ranges=True)

    store = Boaster(ranges=False)
    get(store, target, split=lambda *known: True)
    assert stands_alone(target, store.data)


def test_a_range_of_nobody_knows_how_many_bytes_is_not_taken_for_the_file(target: Path) -> None:
    class Vague(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            piece = super().read_range(start, stop, version)
            return attrs.evolve(piece, info=attrs.evolve(piece.info, size=None))

    store = Vague()
    get(store, target)
    assert stands_alone(target, store.data)


def test_a_size_that_is_not_kept_is_an_error(target: Path) -> None:
    class Liar(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            return attrs.evolve(
                super().read_range(start, stop, version), info=FileInfo(5), stop=None, ranges=False
            )

    with pytest.raises((IntegrityError, TransferError)):
        get(Liar(b"1234"), target)
    assert stands_alone(target, b"old")


def test_what_is_not_verified_is_not_published(target: Path) -> None:
    def refuse(file: Path, info: FileInfo) -> None:
        assert file.read_bytes() == store.data
        raise IntegrityError("another checksum")

    store = Store()
    with pytest.raises(IntegrityError):
        get(store, target, verify=refuse)
    assert stands_alone(target, b"old")


def test_what_turns_out_to_be_another_version_when_it_is_verified_is_begun_again(
    target: Path,
) -> None:
    store = Store()
    verified: list[bytes] = []

    def verify(file: Path, info: FileInfo) -> None:
        verified.append(file.read_bytes())
        if len(verified) == 1:
            store.replace(bytes(3 * PART))
            raise ChangedError("the server keeps another checksum by now")

    info = get(store, target, verify=verify)
    assert info.etag == "2"
    assert stands_alone(target, bytes(3 * PART))
    assert len(verified) == 2


def test_progress_comes_from_the_caller_s_thread_and_ends_at_the_size(target: Path) -> None:
    seen: list[tuple[int, Progress]] = []
    store = Store(pace=0.001)
    get(store, target, on_progress=lambda p: seen.append((threading.get_ident(), p)))
    assert {ident for ident, _ in seen} == {threading.get_ident()}
    done = [progress.done for _, progress in seen]
    assert done == sorted(done)
    assert (done[-1], seen[-1][1].total) == (len(store.data), len(store.data))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_stopping_is_prompt_and_leaves_the_old_file(
    target: Path, error: type[BaseException]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > PART:
            store.stops = True
            raise error

    store = Store(pace=0.01)
    began = time.monotonic()
    with pytest.raises(error):
        get(store, target, on_progress=stop)
    store.flows.set()
    assert time.monotonic() - began < 50, "the others were waited for"
    assert stands_alone(target, b"old")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        get(Store(), tmp_path / "file" / "below")


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    thread.start()
    store = Store()
    get(store, pipe)
    thread.join(60)
    assert found == [store.data]
    assert pipe.is_fifo()


# Reading


def test_reading_in_order_is_one_request() -> None:
    store = Store()
    with open_reader(store, URI) as stream:
        assert stream.read(10) == store.data[:10]
        assert stream.read() == store.data[10:]
        assert stream.read() == b""
    assert store.requests == [(0, None)]
    assert store.open_bodies == 0


def test_seeking_reads_what_is_there() -> None:
    store = Store(random.Random(5).randbytes(5 << 20))
    draw = random.Random(3)
    with open_reader(store, URI) as stream:
        assert stream.seekable()
        for _ in range(200):
            at, count = draw.randrange(len(store.data) + 10), draw.randrange(100_000)
            assert stream.seek(at) == at
            assert stream.read(count) == store.data[at : at + count]
        assert stream.seek(-4, 2) == len(store.data) - 4
        assert stream.read() == store.data[-4:]
        stream.seek(0)
        assert stream.read() == store.data
    assert store.open_bodies == 0


def test_reading_survives_breaks() -> None:
    store = Store(breaks=lambda request, start: 50_001 if request < 6 else None)
    with open_reader(store, URI, retries=PATIENT) as stream:
        assert stream.read() == store.data


def test_reading_gives_up_on_a_server_that_breaks_off_again_and_again() -> None:
    """A few bytes for each request would take days."""
    store = Store(breaks=lambda request, start: 9)
    with open_reader(store, URI, retries=PATIENT) as stream, pytest.raises(TransferError):
        stream.read()
    assert len(store.requests) == 6


def test_reading_gives_up_on_a_server_that_falls_asleep_again_and_again() -> None:
    class Sleepy(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            piece = super().read_range(start, stop, version)
            return attrs.evolve(piece, body=Dozing(self, self.data[start:stop], PART))

    class Dozing(Answer):
        def read1(self, size: int) -> bytes:
            if self.left == 0:
                raise TransferError("it fell silent", stalled=10)
            return super().read1(size)

    store = Sleepy()
    retries = Retries(min_wait=0.2, max_wait=0.2, patience=20.5)
    with open_reader(store, URI, retries=retries) as stream, pytest.raises(TransferError):
        stream.read()
    assert len(store.requests) <= 4
    short = Sleepy(random.Random(1).randbytes(PART + 5))
    with open_reader(short, URI, retries=retries) as stream:
        assert stream.read() == short.data


def test_reading_now_and_then_survives_servers_that_hang_up_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(breaks=lambda request, start: 1)
    monkeypatch.setattr("rv_core.transfers._reader.PATIENT_SECONDS", 0.01)
    with open_reader(store, URI, retries=PATIENT) as stream:
        for offset in range(0, 20, 2):
            time.sleep(0.02)
            assert stream.read(2) == store.data[offset : offset + 2]
    assert len(store.requests) == 20


def test_a_stream_that_cannot_go_on_says_so() -> None:
    store = Store(ranges=False, breaks=lambda request, start: 50_001)
    with open_reader(store, URI, retries=PATIENT) as stream:
        assert not stream.seekable()
        with pytest.raises(TransferError):
            stream.read()
        with pytest.raises(io.UnsupportedOperation):
            stream.seek(0)
    assert len(store.requests) == 1


def test_a_stream_never_mixes_versions() -> None:
    store = Store(breaks=lambda request, start: 50_001 if request == 1 else None)
    with open_reader(store, URI, retries=PATIENT) as stream:
        stream.read(10)
        store.replace(b"x" * len(store.data))
        with pytest.raises(StorageError, match="was replaced while it was being read") as caught:
            stream.read()
    assert "HUSH" not in str(caught.value)


def test_a_stream_goes_on_at_its_byte_after_ctrl_c() -> None:
    class Interrupted(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            piece = super().read_range(start, stop, version)
            return attrs.evolve(piece, body=Losing(self, self.data[start:stop], None))

    class Losing(Answer):
        def read1(self, size: int) -> bytes:
            data = super().read1(size)
            if len(self.store.requests) == 1 and self.stream.tell() > 30_000:
                raise KeyboardInterrupt
            return data

    store = Interrupted()
    with open_reader(store, URI, retries=PATIENT) as stream:
        head = stream.read(15_000)
        with pytest.raises(KeyboardInterrupt):
            stream.read()
        place = stream.tell()
        assert stream.read() == store.data[place:]
        assert store.data.startswith(head)


def test_a_stream_of_unknown_length_ends_where_it_ends() -> None:
    store = Store(sized=False, ranges=False)
    with open_reader(store, URI) as stream:
        assert stream.read() == store.data


# Retries


def failing(times: int, **how: float) -> Callable[[], int]:
    calls = iter(range(1, 1000))

    def do() -> int:
        number = next(calls)
        if number <= times:
            raise TransferError(f"failure {number}", **how)  # type: ignore[arg-type]
        return number

    return do


def test_what_passes_is_tried_six_times() -> None:
    assert PATIENT(failing(5)) == 6
    with pytest.raises(TransferError, match="failure 6"):
        PATIENT(failing(6))


def test_waits_are_drawn_from_a_span_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a thousand clients of a server that fell do not all come back at once."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for _ in range(100):
        with pytest.raises(TransferError):
            Retries()(failing(6))
    assert len(waits) == 500
    for n in range(5):
        drawn, longest = waits[n::5], 0.1 * 2 ** (n + 1)
        assert all(0.1 <= wait <= longest for wait in drawn)
        assert max(drawn) - min(drawn) > (longest - 0.1) / 2


def test_what_does_not_pass_is_tried_once() -> None:
    calls = []

    def do() -> None:
        calls.append(1)
        raise NotFoundError("not there")

    with pytest.raises(NotFoundError):
        PATIENT(do)
    assert len(calls) == 1


def test_the_server_s_wish_to_wait_is_kept_up_to_a_limit() -> None:
    began = time.monotonic()
    assert PATIENT(failing(2, retry_after=0.2)) == 3
    assert time.monotonic() - began >= 0.4
    with pytest.raises(TransferError, match="failure 1"):
        PATIENT(failing(1, retry_after=3600))


def test_time_without_progress_is_bounded() -> None:
    with pytest.raises(TransferError, match="failure 2"):
        PATIENT(failing(6, stalled=10.1))


def test_a_drip_is_a_stall_and_a_pause_of_the_reader_is_not() -> None:
    guard = SpeedGuard("reading x")
    for _ in range(100):
        guard.saw(2000, 1.0)
    guard.saw(1 << 20, 1.0)  # which is no excuse for what follows
    with pytest.raises(TransferError, match="5 bytes in 5 s") as caught:
        for _ in range(100):
            guard.saw(1, 1.0)
    assert caught.value.stalled == 5
    guard.saw(1, 1.0)


def test_what_is_not_there_leaves_no_trace(tmp_path: Path) -> None:
    class Empty(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            raise NotFoundError("nothing is there")

    with pytest.raises(NotFoundError):
        get(Empty(), tmp_path / "new" / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_server_that_takes_few_ranges_at_a_time_sends_the_whole(
    target: Path, at_once: int
) -> None:
    class Crowded(Store):
        def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
            if self.open_bodies >= at_once:
                self.refused += 1
                raise TransferError("slow down", busy=True)
            return super().read_range(start, stop, version)

    store = Crowded(pace=0.005)
    store.refused = 0
    get(store, target, connections=8)
    assert target.read_bytes() == store.data
    assert store.refused > 0
    assert store.open_bodies == 0
