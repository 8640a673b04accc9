"""What two folders held when they were last made equal: the record that a sync goes by."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from rv_core._errors import StorageError
from rv_core._scheme import without_secrets
from rv_core._sync_sides import Item, Side, Version
from rv_core.local_files import open_for_writing

logger = logging.getLogger(__name__)

FOLDER: Final = "synced"
"""Where the records lie in the cache's folder, a file for every pair of folders."""

_FORMAT: Final = 1
_UNUSED_SECONDS: Final = 90 * 24 * 3600


class Record:
    """The versions of each file that were found, or made, equal; by name.

    A record that is missing or cannot be read is empty, one that cannot be written is not kept:
    the sync then goes by sizes and times.
    """

    def __init__(self, cache_folder: Path, source: Side, target: Side) -> None:
        ids = source.identity(), target.identity()
        name = hashlib.sha256("\n".join(ids).encode(errors="backslashreplace")).hexdigest()[:32]
        self._path = cache_folder / FOLDER / f"{name}.json"
        self._about = {"source": without_secrets(ids[0]), "target": without_secrets(ids[1])}
        self._lock = threading.Lock()
        self._old = _read(self._path)
        self._files = dict(self._old)

    def __contains__(self, name: str) -> bool:
        return name in self._old

    def holds(self, name: str, source: Item, target: Item) -> bool:
        """Whether these are the versions that were equal."""
        return self._old.get(name) == [source.version, target.version]

    def keep(self, name: str, source: Item, target: Item) -> None:
        """Note that these versions are equal."""
        with self._lock:
            if source.version is not None and target.version is not None:
                self._files[name] = [source.version, target.version]
            else:
                self._files.pop(name, None)

    def keep_only(self, names: set[str]) -> None:
        """Forget all other files."""
        with self._lock:
            self._files = {name: pair for name, pair in self._files.items() if name in names}

    def save(self) -> None:
        with self._lock:
            files = dict(self._files)
        try:
            if files == self._old:
                with suppress(FileNotFoundError):
                    os.utime(self._path)  # which tells when it was last of use
                return
            if not self._path.exists():
                _forget_unused(self._path.parent)
            data = {"format": _FORMAT, **self._about, "files": files}
            path = str(self._path)
            with open_for_writing(path, path, durable=False) as stream:
                stream.write(json.dumps(data, separators=(",", ":")).encode())
        except (OSError, StorageError) as error:
            logger.info("what was synced is not recorded: %s", error)


def forget(cache_folder: Path, unused_seconds: float) -> None:
    """Delete the records that no sync has used for so long."""
    _forget_unused(cache_folder / FOLDER, unused_seconds)


def _forget_unused(folder: Path, seconds: float = _UNUSED_SECONDS) -> None:
    before = time.time() - seconds
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json"):
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= before:
                        Path(entry.path).unlink()


def _read(path: Path) -> dict[str, list[Version]]:
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != _FORMAT:
            return {}
        files: dict[str, list[Version]] = data["files"]
        return dict(files)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        logger.info("the record %s of an earlier sync cannot be read: %s", path, error)
        return {}
