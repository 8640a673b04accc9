"""Copying a file of this machine by the fastest means there are."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Final

from rv_core._progress import OnProgress, Progress, ignore_progress
from rv_core.local_files._atomic import AtomicWriter
from rv_core.local_files._failures import failures
from rv_core.local_files._reading import open_for_reading

_CHUNK_BYTES: Final = 8 << 20


def copy_into(
    path: str, uri: str, sink: BinaryIO, on_progress: OnProgress = ignore_progress
) -> os.stat_result:
    """Copy the file at ``path`` into a stream that nothing was written to yet.

    The system does it where it can: by sharing what lies on the disk, or at least without a way
    through this process. Raises `StorageError` where the file cannot be read; ``uri`` is what it
    is called in the message.
    """
    with _opened(path, uri) as stream:
        source = stream.raw
        found = os.fstat(stream.fileno())
        done = 0
        while moved := _within_the_system(stream.fileno(), sink):
            done += moved
            if isinstance(sink, AtomicWriter):
                sink.settle(moved)
            on_progress(Progress("copy", done, found.st_size, "B"))
        while True:
            with failures("read", uri):
                chunk = source.read(_CHUNK_BYTES)
            if not chunk:
                return found
            sink.write(chunk)
            done += len(chunk)
            on_progress(Progress("copy", done, found.st_size, "B"))


def _opened(path: str, uri: str) -> io.BufferedReader:
    with failures("read", uri):
        return open_for_reading(path)


def _within_the_system(source: int, sink: BinaryIO) -> int:
    """Move some bytes; 0 at the end or where it cannot be done: whether that is a failure, and
    whose, the ordinary way of copying tells."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, sink.fileno(), _CHUNK_BYTES)
    except OSError:
        return 0
