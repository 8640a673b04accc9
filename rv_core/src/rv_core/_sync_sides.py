"""The two sides of a sync: a folder on this machine, or one in any storage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rv_core._errors import NotFoundError, StorageError
from rv_core._scheme import without_secrets

if TYPE_CHECKING:
    from rv_core._filesystem import FileInfo, FileSystem

Version = list[str | int]
"""What tells one version of a file from another; made for JSON."""


@attrs.frozen
class Item:
    """A file on one side: its path or URI, its size, when it changed (seconds since the epoch)."""

    place: str
    size: int | None
    changed: float | None
    version: Version | None


class Folder:
    """A folder on this machine. Only its regular files take part: what symbolic links lead to may
    lie outside. ``required``: as the source, it must be there."""

    def __init__(self, path: str | os.PathLike[str], *, required: bool = True) -> None:
        self.path = Path(path).absolute()
        self.required = required
        self.shown = os.fspath(path)

    def identity(self) -> str:
        """One and the same, however the folder is spelled."""
        return f"{Path(os.path.realpath(self.path)).as_posix().rstrip('/')}/"

    def listing(self) -> dict[str, Item]:
        """What is below, by name; raises `StorageError` where this is no folder."""
        from rv_core.local_files import failures

        with failures("list", self.shown):
            missing = self.required and not self.path.exists()
        if missing:
            raise NotFoundError(f"{self.shown} is not a folder: nothing is there")
        return self.listing_as_target()

    def listing_as_target(self) -> dict[str, Item]:
        """What is below, by name; nothing where there is no folder yet."""
        from rv_core.local_files import failures, walk

        with failures("list", self.shown):
            is_file = self.path.exists() and not self.path.is_dir()
        if is_file:
            raise StorageError(
                f"{self.shown} is a file, not a folder", hint="only folders can be synced"
            )
        found = {}
        for name, entry in walk(str(self.path), self.shown):
            with failures("list", self.shown), suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found[name] = _item(entry.path, entry.stat(follow_symlinks=False))
        return found

    def place_of(self, name: str) -> str:
        return str(self.path.joinpath(*name.split("/")))

    @staticmethod
    def item(path: str) -> Item:
        """What is known of a file now."""
        return _item(path, os.lstat(path))

    def has_lost(self, item: Item) -> bool:
        """Whether a file that was listed is gone: itself, not the folder with all that is in it,
        nor the disk that would tell."""
        try:
            os.lstat(item.place)
        except FileNotFoundError:
            return self.path.is_dir()
        except OSError:
            pass
        return False

    def delete(self, items: Mapping[str, Item]) -> None:
        """Delete files, and the folders that this leaves empty."""
        from rv_core.local_files import failures

        emptied = set()
        for item in items.values():
            with failures("delete", item.place):
                Path(item.place).unlink(missing_ok=True)
            emptied.add(Path(item.place).parent)
        for folder in sorted(emptied, key=lambda path: len(path.parts), reverse=True):
            empty = folder
            with suppress(OSError):  # it holds something
                while empty != self.path:
                    empty.rmdir()
                    empty = empty.parent


class Place:
    """A folder in storage. ``required``: it is an error where, as the source, it holds no file."""

    def __init__(self, fs: FileSystem, uri: str, *, required: bool = False) -> None:
        self.fs = fs
        self.uri = fs.uri_below(uri, "")
        self.shown = without_secrets(uri)
        self.required = required

    def identity(self) -> str:
        from rv_core.cache import unsigned

        return unsigned(self.uri)

    def listing(self) -> dict[str, Item]:
        """What is below, by name. The empty files that stand for folders in object stores, whose
        names end in a slash, are left out."""
        return {
            file.name: self.item(file.uri, file.info)
            for file in self.fs.list_files(self.uri)
            if file.info.size or not (file.name == "" or file.name.endswith("/"))
        }

    listing_as_target = listing

    def place_of(self, name: str) -> str:
        return self.fs.uri_below(self.uri, name)

    @staticmethod
    def item(uri: str, info: FileInfo) -> Item:
        changed = None if info.last_modified is None else info.last_modified.timestamp()
        version: Version | None = None
        if info.etag is not None:
            version = [info.etag]
        elif info.size is not None and changed is not None:
            version = [info.size, f"{changed:.6f}"]
        return Item(uri, info.size, changed, version)

    def delete(self, items: Mapping[str, Item]) -> None:
        self.fs.delete_files(_places(items))


Side = Folder | Place


def side_of(fs: FileSystem, uri: str, *, required: bool = False) -> Side:
    """The folder that a URI names: by its path where the storage is this machine's."""
    from rv_core.local_files import path_of

    if fs.is_local:
        return Folder(path_of(uri), required=required)
    return Place(fs, uri, required=required)


def refuse_overlap(source: Side, target: Side, delete: bool) -> None:
    """Raise `StorageError` where a sync would copy its own copies, or delete what it copies from:
    where the source holds the target, or with ``delete`` the target holds the source."""
    one, other = source.identity(), target.identity()
    if other.startswith(one) or (delete and one.startswith(other)):
        raise StorageError(
            f"cannot sync {source.shown} to {target.shown}: "
            + ("they are one folder" if one == other else "one folder is in the other"),
            hint="choose two folders beside each other",
        )


def _item(path: str, found: os.stat_result) -> Item:
    version: Version = [found.st_size, found.st_mtime_ns]
    return Item(path, found.st_size, found.st_mtime, version)


def _places(items: Mapping[str, Item]) -> Iterable[str]:
    return [item.place for item in items.values()]
