"""A storage plugin that keeps files in memory: complete, and as small as one gets."""

from io import BytesIO

from rv_core import AlreadyExistsError, FileInfo, FileSystem, NotFoundError, hookimpl


class MemoryFile(BytesIO):
    def __init__(self, fs, uri):
        super().__init__()
        self.fs, self.uri = fs, uri

    def close(self):
        if not self.closed:
            self.fs.files[self.uri] = self.getvalue()
        super().close()

    def __exit__(self, exc_type, exc, traceback):
        if exc_type is not None:
            super().close()
        else:
            self.close()


class MemoryFileSystem(FileSystem):
    def __init__(self):
        self.files = {}

    def open(self, uri, mode="rb"):
        if mode == "xb" and uri in self.files:
            raise AlreadyExistsError(f"{uri} is there")
        if mode != "rb":
            return MemoryFile(self, uri)
        self.info(uri)
        return BytesIO(self.files[uri])

    def info(self, uri):
        if uri not in self.files:
            raise NotFoundError(f"nothing at {uri}")
        return FileInfo(len(self.files[uri]), etag=str(hash(self.files[uri])))

    def list_paths(self, uri, ext=""):
        folder = uri.rstrip("/") + "/"
        return iter(sorted(u for u in self.files if u.startswith(folder) and u.endswith(ext)))

    def delete(self, uri):
        self.info(uri)
        del self.files[uri]


STORAGE = MemoryFileSystem()


@hookimpl
def rv_filesystem(uri, mode, kernel):
    return STORAGE if uri.startswith("mem://") else None
