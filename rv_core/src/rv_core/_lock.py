"""A lock between processes, given back by the operating system when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_POLL_SECONDS = 0.05
_MOST_TRIES = 100
"""How often a folder is made anew that is not there after all: if others do not keep removing it,
it is a link that leads nowhere."""


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at ``path``; yields whether it is held (always, with ``wait``).

    Whoever holds it may remove the file, and its folder: those who wait make a new one.
    """
    handle = _opened(path)
    try:
        while True:
            held = _try_lock(handle)
            if _is_at(path, handle):
                if held or not wait:
                    break
                time.sleep(_POLL_SECONDS)
            else:  # it was removed, and what we hold keeps nobody out
                if held:
                    _unlock(handle)
                handle.close()
                handle = _opened(path)
        try:
            yield held
        finally:
            if held:
                _unlock(handle)
    finally:
        handle.close()


def _opened(path: Path) -> IO[bytes]:
    for _ in range(_MOST_TRIES):
        # Again, where others remove the folder meanwhile.
        with suppress(FileNotFoundError):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                if path.parent.exists() and not path.parent.is_dir():
                    raise
                continue
            return path.open("ab")
    raise FileNotFoundError(errno.ENOENT, "its folder cannot be made", str(path))


def _is_at(path: Path, handle: IO[bytes]) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: IO[bytes]) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
