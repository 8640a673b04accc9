"""What lies below a folder, without being led astray by symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterator

from rv_core.local_files._failures import failures
from rv_core.local_files._parts import is_part


def walk(folder: str, uri: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder but the folders: the name, ``/`` between, and the entry.

    Sorted as whole names. Symbolic links are given as what they are, and not followed; files that
    are still being written are left out. Raises `StorageError`, also where a folder further down
    cannot be read; ``uri`` is what ``folder`` is called in the message.
    """
    # By a list of its own: folders may lie deeper than Python calls itself.
    left = [("", _last_first(folder, uri))]
    while left:
        prefix, entries = left[-1]
        if not entries:
            left.pop()
            continue
        entry = entries.pop()
        if entry.is_dir(follow_symlinks=False):
            left.append((f"{prefix}{entry.name}/", _last_first(entry.path, uri)))
        elif not is_part(entry.name):
            yield prefix + entry.name, entry


def _last_first(folder: str, uri: str) -> list[os.DirEntry[str]]:
    with failures("list", uri):
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=_order, reverse=True)
        except FileNotFoundError:  # gone since its parent was read
            return []


def _order(entry: os.DirEntry[str]) -> bytes:
    """Folders sort with their slash, so that whole names come out in order."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
