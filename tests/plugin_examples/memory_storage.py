"""A storage plugin that keeps files in memory: complete, and as small as one gets."""

import threading
from datetime import UTC, datetime
from io import BytesIO

from rv_core import AlreadyExistsError, FileInfo, FileSystem, NotFoundError, hookimpl


class MemoryFile(BytesIO):
    """What is written, until it is published by closing it."""

    def __init__(self, fs, uri, exclusive):
        super().__init__()
        self.fs, self.uri, self.exclusive = fs, uri, exclusive

    def close(self):
        if not self.closed:
            data = self.getvalue()
            super().close()
            self.fs.publish(self.uri, data, self.exclusive)

    def __exit__(self, exc_type, exc, traceback):
        if exc_type is None:
            self.close()
        else:
            super().close()

    def __del__(self):
        """A stream that nobody closed is not published."""
        super().close()


class MemoryFileSystem(FileSystem):
    def __init__(self):
        self.files = {}
        self.count = 0
        self.lock = threading.Lock()

    def open(self, uri, mode="rb"):
        if mode == "rb":
            return BytesIO(self.found(uri)[0])
        if mode == "xb" and uri in self.files:
            raise AlreadyExistsError(f"cannot create {uri}: it exists already")
        return MemoryFile(self, uri, exclusive=mode == "xb")

    def info(self, uri):
        return self.found(uri)[1]

    def list_paths(self, uri, ext=""):
        below = uri.rstrip("/") + "/"
        for found in sorted(self.files):
            if (found == uri or found.startswith(below)) and found.endswith(ext):
                yield found

    def delete(self, uri):
        found = list(self.list_paths(uri))
        if not found:
            raise NotFoundError(f"cannot delete {uri}: nothing is there")
        for name in found:
            self.files.pop(name, None)

    def publish(self, uri, data, exclusive):
        with self.lock:
            if exclusive and uri in self.files:
                raise AlreadyExistsError(f"cannot create {uri}: it exists already")
            self.count += 1
            info = FileInfo(len(data), datetime.now(UTC), etag=f"v{self.count}")
            self.files[uri] = data, info

    def found(self, uri):
        try:
            return self.files[uri]
        except KeyError:
            raise NotFoundError(f"nothing is at {uri}") from None


STORAGE = MemoryFileSystem()


@hookimpl
def rv_filesystem(uri, mode, kernel):
    return STORAGE if uri.startswith("mem://") else None
