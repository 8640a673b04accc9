"""The hidden files that writers work in: what they are called, and removing those of the dead."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Final

STALE_SECONDS: Final = 24 * 3600
"""How long a file may go unwritten before it is given up, where its process cannot be asked for."""

_PART: Final = re.compile(r"\.rv-([0-9a-f]{8})-([0-9a-f]{1,8})-[0-9a-f]{8}(-.+)?\.part\Z")
_SWEEP_SECONDS: Final = 3600
_MOST_ENTRIES: Final = 100_000
_MOST_FOLDERS: Final = 10_000

_swept: dict[str, float] = {}


def part_name() -> str:
    """A new name for a file that is being written, which tells whose it is: hidden, and short on
    any file system."""
    return f".rv-{_machine()}-{os.getpid():x}-{secrets.token_hex(4)}.part"


def is_part(name: str) -> bool:
    """Whether a file of this name is one that a writer has not published (yet)."""
    return _PART.match(name) is not None


def names_that_fold(folder: str) -> tuple[bool, bool]:
    """Whether the disk of a folder takes names for the same that differ in upper and lower case,
    and that differ in how an accent is spelled: composed, or as a character of its own.

    Found out with an empty hidden file. Raises `OSError` where none can be made.
    """
    composed, decomposed = "\u00e9", "e\u0301"
    name = f"{part_name().removesuffix('.part')}-{composed}.part"
    path = os.path.join(folder, name)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except UnicodeEncodeError:  # a disk of ASCII names, as far as this process knows
        return False, False
    try:
        case = os.path.lexists(os.path.join(folder, name.replace("part", "PART")))
        form = os.path.lexists(os.path.join(folder, name.replace(composed, decomposed)))
    finally:
        os.unlink(path)
    return case, form


def sweep(folder: str) -> None:
    """Remove what dead writers left in a folder.

    Their process is gone; or nothing was written for a day, where that cannot be known: on a disk
    that other machines share, or where another process has got the number. Looks once an hour per
    folder and process, so that it costs writers of many files nothing; never fails.
    """
    now = time.monotonic()
    name = os.path.abspath(folder)
    if now - _swept.get(name, -_SWEEP_SECONDS) < _SWEEP_SECONDS:
        return
    if len(_swept) >= _MOST_FOLDERS:
        _swept.clear()
    _swept[name] = now
    with suppress(OSError), os.scandir(name) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            with suppress(OSError):
                if _is_stale(entry):
                    os.unlink(entry.path)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    found = _PART.match(entry.name)
    if found is None or not entry.is_file(follow_symlinks=False):
        return False
    pid = int(found[2], 16)
    if found[1] == _machine():
        if pid == os.getpid():
            return False
        if not _may_be_alive(pid):
            return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS


def _may_be_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # where os.kill(pid, 0) does not ask, but ends
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # such as PermissionError: somebody else's, and alive
        return True
    return True


def _machine() -> str:
    return _machine_of(os.getpid())


@cache
def _machine_of(pid: int) -> str:
    """What tells process numbers that can be compared from those of other machines and containers:
    the boot of the system, and in it the namespace of the numbers."""
    try:
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        namespace = ""
    return _hash(_boot(), namespace)


@cache
def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
            return stream.read().strip().hex()
    except OSError:
        import socket
        import uuid

        return f"{socket.gethostname()} {uuid.getnode():x}"
