"""All that lies below a folder, in full or as an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import attrs
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem

from rv_fs_fsspec._address import Address
from rv_fs_fsspec._ways import Ways


@attrs.frozen
class Entry:
    """A file or folder as the implementation names it, with what it tells."""

    path: str
    told: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        # A name that ends in a slash is an object store's mark of a folder.
        return self.told.get("type", "file") != "directory" and not self.path.endswith("/")


def entries(
    instance: AbstractFileSystem, at: Address, ways: Ways, *, with_folders: bool = False
) -> Iterator[Entry]:
    """What is at a place or below it; nothing where nothing is."""
    if not with_folders and _lists_all(instance):
        with suppress(FileNotFoundError):
            found = instance.find(at.path, detail=True)
            yield from (Entry(path, told) for path, told in found.items() if told)
        return
    try:
        root = ways.info(instance, at.path)
    except FileNotFoundError:
        return
    if root.get("type") != "directory":
        yield Entry(at.path, root)
        return
    todo = [at.path]
    while todo:
        folder = todo.pop()
        try:
            listed = list(ways.listing(instance, folder))
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone since
        for told in listed:
            path = told["name"]
            if path.strip("/") == folder.strip("/"):
                continue
            if told["type"] == "directory":
                todo.append(path)
                yield Entry(path.rstrip("/"), told)
            elif told["type"] == "file":
                yield Entry(path, told)
            else:
                yield from _behind(instance, path, ways)


def folders(at: Address, found: Iterable[Entry]) -> list[str]:
    """The folders among what was found and the place itself, the innermost first."""
    inner = [entry.path for entry in found if not entry.is_file]
    return sorted({at.path, *inner}, key=lambda path: path.count("/"), reverse=True)


def _lists_all(instance: AbstractFileSystem) -> bool:
    """Whether the implementation lists what is below by itself. The common way goes from folder
    to folder, and takes one that it may not list for an empty one."""
    if instance.async_impl:
        return type(instance)._find is not AsyncFileSystem._find
    return type(instance).find is not AbstractFileSystem.find


def _behind(instance: AbstractFileSystem, path: str, ways: Ways) -> Iterator[Entry]:
    """What a symbolic link leads to, where that is a file; there may be no end to folders."""
    with suppress(FileNotFoundError):
        told = ways.info(instance, path)
        if told.get("type") == "file":
            yield Entry(path, told)
