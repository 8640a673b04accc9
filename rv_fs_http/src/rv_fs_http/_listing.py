"""The files below a folder, by the indexes that its server shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rv_core import FileInfo, ListedFile, StorageError, without_secrets
from rv_fs_http._index import Entry
from rv_fs_http._urls import as_folder, entry_below

# A folder that leads back to one above it shows the same index for ever. Folders that are alike
# by chance, such as those of tiles, do not lie in each other so deep.
_SAME_IN_EACH_OTHER: Final = 16
_DEEPEST: Final = 128

Index = Callable[[str], list[Entry] | None]
"""The entries of a folder's index; ``None`` where there is no such folder."""


class NoIndexError(StorageError):
    """What the server shows of a folder is not an index."""


def files_below(index: Index, folder: str, first: list[Entry]) -> Iterator[ListedFile]:
    """The files below a folder, of which ``first`` is the index.

    A name that would lead out of the folder is listed, so that whoever makes files of names can
    refuse it, but never followed. Raises `StorageError` where folders lie in each other endlessly.
    """

    def walk(below: str, entries: list[Entry], above: list[list[Entry]]) -> Iterator[ListedFile]:
        if above.count(entries) >= _SAME_IN_EACH_OTHER or len(above) >= _DEEPEST:
            raise StorageError(
                f"cannot list {without_secrets(folder)}: its folders lead in circles, at {below!r}",
                hint="a link on the server leads to a folder above; list folders beside it",
            )
        for entry in entries:
            name = below + entry.name
            info = FileInfo(entry.size, entry.last_modified)
            if not entry.is_folder:
                yield ListedFile(entry_below(folder, below, entry.name), name, info)
            elif "/" in entry.name:
                yield ListedFile(entry_below(folder, below, entry.name), f"{name}/", info)
            else:
                inside = index(as_folder(entry_below(folder, below, entry.name)))
                yield from walk(f"{name}/", inside or [], [*above, entries])

    yield from walk("", first, [])
