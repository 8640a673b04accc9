"""Storage in a folder, as a server would have it: any key, etags, times in seconds, and a count of
the requests that were made. What it is told to refuse or to delay it does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from rv_core.local_files import open_for_writing

from rv_core import FileInfo, FileSystem, ListedFile, NotFoundError, OpenMode, hookimpl, scheme_of

FILES = {f"{n % 7}/file {n}.tif": f"content {n}".encode() for n in range(100)}


class Shelf(FileSystem):
    """``shelf://key`` is the file ``quote(key)`` in a folder."""

    transfers_at_once = 64

    def __init__(self, folder: Path, *, etags: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.etags = etags
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda request, uri: None
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def asked(self, request: str, uri: str) -> None:
        with self._lock:
            self.requests[request] += 1
            self.log.append((request, uri))
        self.before(request, uri)

    def forget(self) -> None:
        self.requests.clear()
        self.log.clear()

    def path(self, uri: str) -> Path:
        return self.folder / f"k{quote(uri.removeprefix('shelf://'), safe='')}"

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        if mode == "rb":
            self.asked("get", uri)
            try:
                return self.path(uri).open("rb")
            except FileNotFoundError:
                raise NotFoundError(f"nothing at {uri}") from None
        self.asked("put", uri)
        return open_for_writing(str(self.path(uri)), uri, exclusive=mode == "xb", durable=False)

    def info(self, uri: str) -> FileInfo:
        self.asked("info", uri)
        try:
            return self.info_of(self.path(uri))
        except FileNotFoundError:
            raise NotFoundError(f"nothing at {uri}") from None

    def info_of(self, path: Path) -> FileInfo:
        found = path.stat()
        etag = None
        if self.etags:
            etag = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return FileInfo(found.st_size, datetime.fromtimestamp(int(found.st_mtime), UTC), etag)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        for file in self.list_files(uri, ext):
            yield file.uri

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        self.asked("list", uri)
        root = uri.rstrip("/") + "/" if uri != "shelf://" else uri
        for path in sorted(self.folder.glob("k*")):
            found = "shelf://" + unquote(path.name[1:])
            if found.startswith(root) and found.endswith(ext):
                yield ListedFile(found, found.removeprefix(root), self.info_of(path))
        self.asked("listed", uri)

    def delete(self, uri: str) -> None:
        self.asked("delete", uri)
        try:
            self.path(uri).unlink()
        except FileNotFoundError:
            raise NotFoundError(f"nothing at {uri}") from None

    def copy_from(self, *args: Any, **kwargs: Any) -> FileInfo | None:
        with self.counted():
            return super().copy_from(*args, **kwargs)

    def copy_to(self, *args: Any, **kwargs: Any) -> FileInfo | None:
        with self.counted():
            return super().copy_to(*args, **kwargs)

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1

    def put(self, files: dict[str, bytes], root: str = "shelf://a") -> None:
        """Change what is there from behind."""
        for name, data in files.items():
            self.path(f"{root}/{name}").write_bytes(data)

    def tree(self, root: str = "shelf://a") -> dict[str, bytes]:
        found = {}
        for path in self.folder.glob("k*"):
            uri = "shelf://" + unquote(path.name[1:])
            if uri.startswith(root + "/"):
                found[uri.removeprefix(root + "/")] = path.read_bytes()
        return found


class Scheme(FileSystem):
    """A shelf under another scheme."""

    def __init__(self, shelf: Shelf, scheme: str) -> None:
        self.shelf, self.scheme = shelf, scheme

    def to(self, uri: str) -> str:
        return uri.replace(f"{self.scheme}://", "shelf://", 1)

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        return self.shelf.open(self.to(uri), mode)

    def info(self, uri: str) -> FileInfo:
        return self.shelf.info(self.to(uri))

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        return (file.uri for file in self.list_files(uri, ext))

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        for file in self.shelf.list_files(self.to(uri), ext):
            own = file.uri.replace("shelf://", f"{self.scheme}://", 1)
            yield ListedFile(own, file.name, file.info)

    def delete(self, uri: str) -> None:
        self.shelf.delete(self.to(uri))


def plugin_of(shelves: dict[str, Shelf]) -> Any:
    """A plugin that serves each of them under its scheme."""

    class Shelves:
        @staticmethod
        @hookimpl
        def rv_filesystem(uri: str, mode: str, kernel: Any) -> FileSystem | None:
            scheme = scheme_of(uri)
            return Scheme(shelves[scheme], scheme) if scheme in shelves else None

    return Shelves


def write(folder: Path, files: dict[str, bytes], age: float = 10.0) -> Path:
    """Make local files that changed ``age`` seconds ago."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time.time() - age, time.time() - age))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """The local files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
