"""Walking and removing folders without being led astray by symbolic links."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from rv_core import StorageError
from rv_core.local_files import failures, is_part


def walk(folder: str, uri: str) -> Iterator[str | None]:
    """The files below a folder, relative to it with ``/`` between, sorted as whole names.

    ``None`` stands for each symbolic link that is left out: it leads to a folder, to nothing or
    out of ``folder``. ``uri``: what was asked for, for the message of a `StorageError`.
    """
    return _walk(folder, "", os.path.realpath(folder).rstrip(os.sep) + os.sep, uri)


def _walk(folder: str, prefix: str, top: str, uri: str) -> Iterator[str | None]:
    with failures("list", uri):
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=_order)
        except FileNotFoundError:  # gone since its parent was read
            return
    for entry in found:
        name = prefix + entry.name
        if entry.is_symlink():
            inside = os.path.realpath(entry.path).startswith(top)
            yield name if inside and os.path.isfile(entry.path) else None
        elif entry.is_dir():
            yield from _walk(entry.path, f"{name}/", top, uri)
        elif not is_part(entry.name):
            yield name


def _order(entry: os.DirEntry[str]) -> bytes:
    """Folders sort with their slash, so that whole names come out in order."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")


def refuse_precious(path: str, uri: str) -> None:
    """Raise `StorageError` where a folder is, or holds, the home or the working folder."""
    target = os.path.realpath(path)
    for name, folder in (("home", os.path.expanduser("~")), ("working", os.getcwd())):
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
