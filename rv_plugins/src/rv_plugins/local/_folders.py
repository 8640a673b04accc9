"""Walking and removing folders without being led astray by symbolic links."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from rv_core import StorageError
from rv_core.local_files import walk

logger = logging.getLogger(__name__)


def files_below(folder: str, uri: str, ext: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below a folder whose names end with ``ext``: name and entry, sorted by name.

    Of symbolic links, those that lead to a file in the folder; the log says how many were left
    out. ``uri``: what was asked for, for the message of a `StorageError`.
    """
    top = os.path.realpath(folder).rstrip(os.sep) + os.sep
    left_out = 0
    for name, entry in walk(folder, uri):
        if entry.is_symlink():
            if not (os.path.realpath(entry.path).startswith(top) and os.path.isfile(entry.path)):
                left_out += 1
                continue
        elif not entry.is_file(follow_symlinks=False):  # a pipe or a device
            continue
        if name.endswith(ext):
            yield name, entry
    if left_out:
        logger.warning(
            "%s: left out %d symbolic link(s) that lead to a folder or elsewhere", uri, left_out
        )


def refuse_precious(path: str, uri: str) -> None:
    """Raise `StorageError` where a folder is, or holds, the home or the working folder."""
    target = os.path.realpath(path)
    kept = [("home", os.path.expanduser("~"))]
    with suppress(FileNotFoundError):  # the working folder may be gone
        kept.append(("working", os.getcwd()))
    for name, folder in kept:
        precious = os.path.realpath(folder)
        if (precious + os.sep).startswith(target.rstrip(os.sep) + os.sep):
            raise StorageError(
                f"refusing to delete {uri}: it is, or holds, the {name} folder {folder}",
                hint="delete what is in it, by name",
            )


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, following no link, while others may do the same."""
    while True:
        try:
            shutil.rmtree(path)
            return
        except FileNotFoundError:
            if not os.path.lexists(path):
                return
