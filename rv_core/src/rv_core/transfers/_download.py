"""One remote file to one local path: in parallel ranges where that helps, whole or not at all."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from rv_core._errors import IntegrityError, TransferError
from rv_core._filesystem import FileInfo, copy_stream
from rv_core._progress import OnProgress, Progress, ignore_progress
from rv_core._scheme import without_secrets
from rv_core.local_files import AtomicWriter, open_for_writing, storage_error
from rv_core.transfers._flights import Cancelled, Flights
from rv_core.transfers._parallel import GRACE_SECONDS
from rv_core.transfers._reader import RangeReader
from rv_core.transfers._retries import Retries
from rv_core.transfers._source import ChangedError
from rv_core.transfers._speed import SpeedGuard

if TYPE_CHECKING:
    from rv_core.transfers._source import Piece, RangeSource

PART_BYTES: Final = 16 << 20
READ_BYTES: Final = 1 << 20
"""Taken from a connection at a time, at most: the less, the more of the time is Python's."""
RESTARTS: Final = 3

Split = Callable[[int, float, FileInfo], bool]
Verify = Callable[[Path, FileInfo], None]


class _RangesIgnoredError(Exception):
    """Ranges do not bring this file: the server answered one with the whole file, after it had
    kept to ranges before, or does not say how many bytes lie beyond one."""


@attrs.define(eq=False)
class _Part:
    """Bytes ``pos`` to before ``stop`` are still to come; ``None``: all there are."""

    pos: int
    stop: int | None

    @property
    def left(self) -> int:
        return READ_BYTES if self.stop is None else self.stop - self.pos


def download(
    source: RangeSource,
    uri: str,
    path: str | Path,
    *,
    retries: Retries | None = None,
    part_bytes: int = PART_BYTES,
    connections: int = 8,
    split: Split | None = None,
    verify: Verify | None = None,
    durable: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> FileInfo:
    """Download to ``path``, which then holds one whole version, or stays as it was.

    The first request asks for ``part_bytes``; what lies beyond is asked for in ranges of that
    size by up to ``connections`` threads, each written at its place. With ``split``, the first
    request asks for the whole file, and ranges are taken over by others only once
    ``split(bytes so far, seconds so far, info)`` says so. A part that breaks goes on at its byte,
    and its attempts are counted anew once ``part_bytes`` more have come; a file that is replaced
    meanwhile is begun again, three times at most. Memory is constant.

    ``verify(file, info)`` may refuse the complete file before it stands under its name; where it
    raises `ChangedError`, the download is begun again. ``durable``: wait until the file would
    survive a power cut. ``on_progress`` is called by this thread alone; what it raises ends the
    download. Returns what is known of the version downloaded. Raises `IntegrityError` where the
    size is not the promised one, `TransferError` where the server gave up or the file kept
    changing, and the errors of ``source``.
    """
    retries = retries or Retries()
    target = str(path)
    for _ in range(RESTARTS + 1):
        stop = None if split is not None or connections == 1 else part_bytes
        # Asked before anything is made: a file that is not there leaves no trace here.
        first = retries(partial(source.read_range, 0, stop, None))
        with _opened(target, durable, first) as writer:
            if not isinstance(writer, AtomicWriter):  # a pipe or a device
                first.body.close()
                return _pour(source, uri, writer, retries, on_progress)
            transfer = _Transfer(
                source, uri, target, writer, retries, part_bytes, connections, split, on_progress
            )
            try:
                info = transfer.run(first)
                if verify is not None:
                    verify(Path(writer.part), info)
            except ChangedError:
                writer.abort()
                continue
            except _RangesIgnoredError:
                writer.abort()
                connections, split = 1, None
                continue
        return info
    raise TransferError(
        f"{without_secrets(uri)} changed each of the {RESTARTS + 1} times it was being read",
        hint="wait until whoever writes it is done",
    )


def _opened(target: str, durable: bool, first: Piece) -> io.BufferedWriter:
    try:
        return open_for_writing(target, target, follow=False, durable=durable)
    except BaseException:
        first.body.close()
        raise


def _pour(
    source: RangeSource,
    uri: str,
    writer: io.BufferedWriter,
    retries: Retries,
    on_progress: OnProgress,
) -> FileInfo:
    with RangeReader(source, uri, retries) as reader:
        stream = io.BufferedReader(reader, READ_BYTES)
        copy_stream(stream, writer, reader.info.size, on_progress)
        return reader.info


class _Transfer:
    """One attempt at one version. Its threads share what is left to do."""

    def __init__(
        self,
        source: RangeSource,
        uri: str,
        target: str,
        writer: AtomicWriter,
        retries: Retries,
        part_bytes: int,
        connections: int,
        split: Split | None,
        on_progress: OnProgress,
    ) -> None:
        self._source = source
        self._target = target
        self._shown = without_secrets(uri)
        self._writer = writer
        self._retries = retries
        self._part_bytes = part_bytes
        self._connections = connections
        self._split = split
        self._on_progress = on_progress
        self._info = FileInfo(None)
        self._pending: deque[_Part] = deque()
        self._threads: list[threading.Thread] = []
        self._flights = Flights(connections)
        self._owner = threading.get_ident()
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._done = 0
        self._active = 0
        self._failure: BaseException | None = None
        self._stopped = False

    def run(self, first: Piece) -> FileInfo:
        """Bring the file of which ``first`` is the beginning."""
        sink: io.RawIOBase = self._writer.raw  # type: ignore[assignment]  # a FileIO
        try:
            with self._flights.one():
                self._fill(_Part(0, None), sink, first)
            # Where the server takes fewer at a time, the others do the rest, and this one reports.
            while not self._flights.cuts and (part := self._take()) is not None:
                with self._flights.one():
                    self._fill(part, sink)
            self._wait()
        except Cancelled:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            self._stopped = True
            self._flights.close()
            end = time.monotonic() + GRACE_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, end - time.monotonic()))
        if self._info.size is not None and self._done != self._info.size:
            raise IntegrityError(
                f"{self._shown} should have {self._info.size} bytes, {self._done} arrived",
                hint="what the server says of its size is not what it sends",
            )
        return self._info

    def _fill(self, part: _Part, sink: io.RawIOBase, answer: Piece | None = None) -> None:
        """Bring all bytes of a part, going on where a broken attempt ended. ``answer``: to the
        first request, which has been made."""

        def attempt() -> None:
            nonlocal answer
            first, answer = answer, None
            if first is None:
                self._check()
            piece = first or self._source.read_range(part.pos, part.stop, self._info)
            try:
                if first is not None:
                    self._begin(part, piece)
                elif piece.start != part.pos:
                    self._begin_again(part, piece, sink)
                self._pump(part, piece, sink)
            finally:
                piece.body.close()

        while True:
            begun = part.pos
            try:
                self._retries(attempt)
            except TransferError as error:
                # Where a part's worth came all the same, the rest will come too.
                if error.retry_after is not None or part.pos - begun < self._part_bytes:
                    raise
            else:
                return

    def _begin(self, part: _Part, piece: Piece) -> None:
        """Learn from the first answer what there is to do."""
        self._info = piece.info
        size = piece.info.size
        asked_for_all = self._split is not None or self._connections == 1
        if size is None and piece.stop is not None and not asked_for_all:
            raise _RangesIgnoredError
        part.stop = size if piece.stop is None or not piece.ranges else piece.stop
        if size is not None and part.stop is not None and part.stop < size:
            self._share(part.stop, size)

    def _begin_again(self, part: _Part, piece: Piece, sink: io.RawIOBase) -> None:
        """The server sends the file from its start, whatever it was asked for."""
        if piece.start != 0 or self._threads or self._pending:
            raise _RangesIgnoredError
        self._moved(-part.pos)
        part.pos, part.stop = 0, piece.info.size
        self._info = piece.info
        sink.truncate(0)

    def _share(self, start: int, stop: int) -> None:
        """Leave the bytes of an interval to other threads."""
        step = self._part_bytes
        self._pending.extend(_Part(at, min(at + step, stop)) for at in range(start, stop, step))
        for _ in range(min(self._connections - 1, len(self._pending))):
            thread = threading.Thread(target=self._work, daemon=True, name="rv download")
            self._threads.append(thread)
            with self._changed:
                self._active += 1
            thread.start()

    def _check(self) -> None:
        if self._stopped or self._failure is not None:
            raise Cancelled

    def _take(self) -> _Part | None:
        with self._changed:
            return self._pending.popleft() if self._pending and not self._failure else None

    def _work(self) -> None:
        try:
            # A handle of its own: the owner may be gone, and its handle given to another file.
            with io.FileIO(self._writer.part, "r+b") as sink:
                while not self._stopped and (part := self._take()) is not None:
                    with self._flights.one():
                        self._fill(part, sink)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001  the owner raises it
            with self._changed:
                self._failure = self._failure or error
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def _wait(self) -> None:
        """Wait for the other threads, and raise what one of them met."""
        while True:
            with self._changed:
                if not self._active or self._failure is not None:
                    break
                self._changed.wait(0.1)
            self._report()
        if self._failure is not None:
            raise self._failure

    def _pump(self, part: _Part, piece: Piece, sink: io.RawIOBase) -> None:
        guard = SpeedGuard(f"reading {self._shown}")
        sink.seek(part.pos)
        while part.left > 0:
            self._check()
            asked = time.monotonic()
            data = piece.body.read1(min(READ_BYTES, part.left))
            if not data:
                break
            guard.saw(len(data), time.monotonic() - asked)
            self._write(sink, data)
            part.pos += len(data)
            self._moved(len(data))
            if piece.ranges:
                self._consider_splitting(part)
        if part.stop is not None and part.pos < part.stop:
            raise TransferError(
                f"reading {self._shown} ended at byte {part.pos} of {part.stop}",
                hint="the connection broke: try again",
            )

    def _write(self, sink: io.RawIOBase, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[sink.write(view) or 0 :]
        except OSError as error:
            raise storage_error(error, "write", self._target) from error

    def _consider_splitting(self, part: _Part) -> None:
        if self._split is None or self._threads or part.stop is None:
            return
        border = (part.pos // self._part_bytes + 1) * self._part_bytes
        seconds = time.monotonic() - self._began
        if border < part.stop and self._split(self._done, seconds, self._info):
            size, part.stop = part.stop, border
            self._share(border, size)

    def _moved(self, count: int) -> None:
        with self._changed:
            self._done += count
        if threading.get_ident() == self._owner:
            self._report()

    def _report(self) -> None:
        self._on_progress(Progress("copy", self._done, self._info.size, "B"))
