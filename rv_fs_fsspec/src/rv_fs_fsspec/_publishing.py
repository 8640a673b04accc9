"""How a local file becomes a remote one that is never seen in part."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from fsspec import AbstractFileSystem
from rv_core.local_files import part_name

from rv_core import IntegrityError
from rv_fs_fsspec._implementations import Traits
from rv_fs_fsspec._ways import Watched, Ways

_CHUNK_BYTES: Final = 8 << 20

_one_at_a_time = threading.Lock()


@attrs.frozen
class Publisher:
    """Makes a local file the remote one at a path, which is the old one, or none, until then.

    What is raised besides `IntegrityError` is the implementation's own; FileExistsError where
    the file was to be new and is not.
    """

    traits: Traits
    ways: Ways

    def __call__(
        self,
        instance: AbstractFileSystem,
        source: Path,
        path: str,
        shown: str,
        watched: Watched,
        *,
        exclusive: bool,
    ) -> Mapping[str, Any] | None:
        """What is told of the file where it has been looked at under its name."""
        told: Mapping[str, Any] | None = None
        size = source.stat().st_size
        if exclusive and self.ways.exists(instance, path):
            raise FileExistsError(path)
        if self.traits.publish == "pipe":
            data = _read(source, watched)
            with _one_at_a_time:
                if exclusive and self.ways.exists(instance, path):
                    raise FileExistsError(path)
                instance.pipe_file(path, data)
        elif self.traits.publish == "put":
            new = exclusive and self.traits.creates
            self.ways.put(instance, str(source), path, watched, new=new)
            if not self.traits.acknowledges:
                told = self._check(instance, path, size, shown)
        else:
            self._put_and_move(instance, source, path, shown, watched, exclusive)
        watched.finished(size)
        return told

    def _put_and_move(
        self,
        instance: AbstractFileSystem,
        source: Path,
        path: str,
        shown: str,
        watched: Watched,
        exclusive: bool,
    ) -> None:
        folder, slash, _ = path.rpartition("/")
        part = f"{folder}{slash}{part_name()}"
        if folder:
            _make_folders(instance, folder)
        try:
            self.ways.put(instance, str(source), part, watched)
            self._check(instance, part, source.stat().st_size, shown)
            if exclusive:
                self.ways.move_to_new(instance, part, path)
            else:
                self._move(instance, part, path)
        except BaseException:
            self.ways.drop(instance, part)
            raise

    def _move(self, instance: AbstractFileSystem, part: str, path: str) -> None:
        if self.traits.replaces:
            instance.mv(part, path)
            return
        # Some refuse to replace, some say nothing and leave both.
        try:
            instance.mv(part, path)
            if not self.ways.exists(instance, part):
                return
        except Exception:
            if not (self.ways.exists(instance, part) and instance.isfile(path)):
                raise
        instance.rm_file(path)
        instance.mv(part, path)
        if self.ways.exists(instance, part):
            raise OSError("the uploaded file cannot be moved to its name")

    def _check(
        self, instance: AbstractFileSystem, path: str, size: int, shown: str
    ) -> Mapping[str, Any]:
        told = self.ways.info(instance, path)
        found = told.get("size")
        if isinstance(found, int) and found != size:
            raise IntegrityError(
                f"{shown} should have {size} bytes, {found} arrived",
                hint="the connection broke, or another writer was faster: try again",
            )
        return told


def _read(source: Path, watched: Watched) -> bytes:
    found = bytearray()
    with source.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found += chunk
            watched.absolute_update(len(found))
    return bytes(found)


def _make_folders(instance: AbstractFileSystem, folder: str) -> None:
    """Make a folder and those above it; others may be making each of them too."""
    left = folder.count("/") + 1
    while True:
        try:
            instance.makedirs(folder, exist_ok=True)
        except (TimeoutError, ConnectionError, EOFError):
            raise
        except Exception:
            left -= 1
            if left < 0 and not instance.isdir(folder):
                raise
            if left < 0:
                return
        else:
            return
