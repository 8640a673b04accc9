"""The way back: RV's storage as an fsspec filesystem, for pandas, xarray, dask, zarr and others."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from glob import has_magic
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import isfilelike, stringify_path
from rv_core.local_files import is_file_uri, path_of

from rv_core import (
    FileInfo,
    FileSystem,
    Kernel,
    ListedFile,
    NotFoundError,
    Progress,
    copy_stream,
    default_kernel,
)
from rv_fs_fsspec._os_errors import as_os_errors
from rv_fs_fsspec._rv_files import PackedFile, ReadFile, TextFile, WriteFile

if TYPE_CHECKING:
    from rv_core import Files

_SCHEME: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.\-]+)://")
_LOCAL: Final = "file"


class RVFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Any storage that RV reads and writes.

    ``source``: a `Kernel`, or one `FileSystem` for every path; the process's default kernel if
    not given. fsspec finds this class by itself: ``fsspec.open("rv://s3://bucket/key")``.

    Paths are ``<scheme>/<rest of the URI>``, so that they can be taken apart at slashes:
    ``s3/bucket/key`` is ``s3://bucket/key``, ``file/data/x.csv`` the local ``/data/x.csv``. URIs
    and absolute local paths are taken too, with or without ``rv://`` before them.

    What RV promises holds: a file appears when it is closed, and not at all where its ``with``
    block is left by an exception. There are no empty folders: `mkdir` does nothing. RV lists all
    that is below a folder, and so does every `ls`.
    """

    protocol = "rv"
    root_marker = ""
    cachable = False
    blocksize = 1 << 20

    def __init__(self, source: Kernel | FileSystem | None = None, **storage_options: Any) -> None:
        super().__init__(**storage_options)
        if "fo" in storage_options or "target_protocol" in storage_options:
            raise ValueError("rv:// stands on no other URL: spell the whole chain behind rv://")
        self._source = source

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: value for name, value in self.storage_options.items() if name != "source"}
        if isinstance(self._source, Kernel):
            return _with_kernel, (self._source.spec(), options)
        return partial(RVFileSystem, **options), (self._source,)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        if isinstance(path, PurePath):
            path = path.as_posix()
        path = stringify_path(path).removeprefix("rv://")
        if is_file_uri(path) or path.startswith("/") or re.match(r"[A-Za-z]:[\\/]", path):
            path = f"{_LOCAL}/{path_of(path).replace(os.sep, '/').lstrip('/')}"
        else:
            path = _SCHEME.sub(lambda found: f"{found[1].lower()}/", path)
        return path.rstrip("/")

    @classmethod
    def _parent(cls, path: str) -> str:
        return str(cls._strip_protocol(path)).rpartition("/")[0]

    @classmethod
    def uri_of(cls, path: str) -> str:
        """The URI, or local path, that a path stands for."""
        scheme, _, rest = str(cls._strip_protocol(path)).partition("/")
        if scheme == _LOCAL:
            return rest if os.name == "nt" and rest[1:2] == ":" else f"/{rest}"
        return f"{scheme}://{rest}"

    @property
    def fsid(self) -> str:
        return f"rv_{self._fs_token}"

    # Reading

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if not path:  # all schemes
            return _folder(path)
        with self._asking(path) as (fs, uri):
            try:
                return _told(path, fs.info(uri))
            except NotFoundError:
                if fs.file_exists(uri):  # as a folder
                    return _folder(path)
                raise

    def exists(self, path: str, **kwargs: Any) -> bool:
        path = self._strip_protocol(path)
        if not path:  # all schemes
            return True
        with self._asking(path) as (fs, uri):
            return fs.file_exists(uri)

    def isfile(self, path: str) -> bool:
        path = self._strip_protocol(path)
        if not path:
            return False
        with self._asking(path) as (fs, uri):
            return fs.file_exists(uri, include_dir=False)

    def isdir(self, path: str) -> bool:
        try:
            return bool(self.info(path)["type"] == "directory")
        except FileNotFoundError:
            return False

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As fsspec's, by one listing."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        found = self._below(path, maxdepth, folders=withdirs)
        if withdirs and found and path not in found:
            found[path] = _folder(path)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        path = self._strip_protocol(path)
        found = self._below(path, 1, folders=True)
        if not found:
            raise FileNotFoundError(path)
        return [found[name] for name in sorted(found)] if detail else sorted(found)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        with self.open(path, "rb") as stream:
            if (start or 0) < 0 or (end or 0) < 0:
                size = stream.size if stream.size is not None else stream.seek(0, os.SEEK_END)
                start = max(0, size + start) if start is not None and start < 0 else start
                end = size + end if end is not None and end < 0 else end
            start = start or 0
            if not stream.seekable():
                stream.read(start)
            elif stream.tell() != start:
                stream.seek(start)
            data: bytes = stream.read() if end is None else stream.read(max(0, end - start))
            return data

    def get_file(
        self,
        rpath: str,
        lpath: Any,
        callback: Any = DEFAULT_CALLBACK,
        outfile: Any = None,
        **kwargs: Any,
    ) -> None:
        rpath = self._strip_protocol(rpath)
        sink = outfile or (lpath if isfilelike(lpath) else None)
        if sink is None and self.isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        with self._asking(rpath) as (fs, uri):
            if sink is None:
                fs.copy_from(uri, Path(lpath), _telling(callback))
            else:
                with fs.open(uri) as stream:
                    while chunk := stream.read(self.blocksize):
                        sink.write(chunk)
                        callback.relative_update(len(chunk))

    def created(self, path: str) -> datetime:
        raise NotImplementedError("RV does not tell when a file was created")

    def modified(self, path: str) -> datetime:
        found = self.info(path).get("LastModified")
        if not isinstance(found, datetime):
            raise NotImplementedError(f"this storage does not tell when {path} changed")
        return found

    def checksum(self, path: str) -> str:
        """Changes when the content does."""
        return str(self.ukey(path))

    # Writing

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        with self.open(path, "xb" if mode == "create" else "wb") as stream:
            stream.write(value)

    def put_file(
        self,
        lpath: Any,
        rpath: str,
        callback: Any = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        **kwargs: Any,
    ) -> None:
        source = Path(lpath)
        if source.is_dir():
            return
        rpath = self._strip_protocol(rpath)
        callback.set_size(source.stat().st_size)
        if mode == "create" or self._intrans:
            how = "xb" if mode == "create" else "wb"
            with source.open("rb") as stream, self.open(rpath, how) as sink:
                while chunk := stream.read(self.blocksize):
                    sink.write(chunk)
                    callback.relative_update(len(chunk))
            return
        with self._asking(rpath, "w") as (fs, uri):
            fs.copy_to(source, uri, _telling(callback))

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(path1):
            return
        if self._files is None or self._intrans:
            with self.open(path1) as reader, self.open(path2, "wb") as writer:
                copy_stream(reader, writer, None)
            return
        with self._asking(path1) as (_, src), self._asking(path2, "w") as (_, dst):
            self._files.copy(src, dst)

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)
        with self._asking(path, "w") as (fs, uri):
            fs.info(uri)  # a folder is not deleted by this name
            fs.delete(uri)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        paths = path if isinstance(path, list) else [path]
        if recursive and maxdepth is None and not any(has_magic(each) for each in paths):
            for each in map(self._strip_protocol, paths):
                with self._asking(each, "w") as (fs, uri):
                    fs.delete(uri)
            return
        for each in reversed(self.expand_path(path, recursive=recursive, maxdepth=maxdepth)):
            try:
                self.rm_file(each)
            except FileNotFoundError:
                # Where folders are but parts of names, they went with their last file.
                if not recursive:
                    raise

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Nothing: a folder is there while it holds a file."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: a folder is there while it holds a file."""

    def rmdir(self, path: str) -> None:
        """Nothing: a folder is there while it holds a file."""

    # Streams

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Any = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As fsspec's; compressed files and text too are dropped where the ``with`` block is left
        by an exception."""
        text = {name: kwargs.pop(name) for name in _TEXT & kwargs.keys()}
        file: Any = super().open(path, mode.replace("b", "").replace("t", "") + "b", **kwargs)
        packing = get_compression(self._strip_protocol(path), compression)
        if packing is not None:
            packer = compr[packing](file, mode=mode[0])
            file = PackedFile(packer, file) if isinstance(file, WriteFile) else packer
        return file if "b" in mode else TextFile(file, **text)

    def _open(
        self, path: str, mode: str = "rb", autocommit: bool = True, **kwargs: Any
    ) -> ReadFile | WriteFile:
        path = self._strip_protocol(path)
        if mode == "rb":
            with self._asking(path) as (fs, uri):
                stream = fs.open(uri)
                return ReadFile(stream, path, _size_of(stream, fs, uri))
        if mode not in ("wb", "xb"):
            raise NotImplementedError(f"RV opens files with 'rb', 'wb' or 'xb', not {mode!r}")
        with self._asking(path, "w") as (fs, uri):
            return WriteFile(fs.open(uri, "wb" if mode == "wb" else "xb"), path, autocommit)

    # Asking RV

    @property
    def _files(self) -> Files | None:
        return None if isinstance(self._source, FileSystem) else self._kernel.files

    @property
    def _kernel(self) -> Kernel:
        if isinstance(self._source, Kernel):
            return self._source
        return default_kernel()

    @contextmanager
    def _asking(self, path: str, mode: Any = "r") -> Iterator[tuple[FileSystem, str]]:
        """The system of a path and its URI; what RV raises is raised as fsspec's users expect."""
        if not path:
            raise FileNotFoundError("a path of rv:// begins with a scheme, such as s3/bucket/key")
        uri = self.uri_of(path)
        with as_os_errors():
            if isinstance(self._source, FileSystem):
                yield self._source, uri
            else:
                yield self._kernel.filesystem(uri, mode), uri

    def _below(
        self, path: str, maxdepth: int | None, *, folders: bool
    ) -> dict[str, dict[str, Any]]:
        """What is below, by path; a file's own path where it is one."""
        found: dict[str, dict[str, Any]] = {}
        with self._asking(path) as (fs, uri):
            for file in fs.list_files(uri):
                name = _name(fs, uri, file)
                if name is None:
                    found[path] = _told(path, file.info)
                    continue
                parts = name.split("/")
                if maxdepth is None or len(parts) <= maxdepth:
                    # Not the names joined: URIs may be encoded, or have something behind them.
                    own = self._strip_protocol(file.uri)
                    found[own] = _told(own, file.info)
                for depth in range(1, len(parts)) if folders else ():
                    if maxdepth is None or depth <= maxdepth:
                        below = fs.uri_below(uri, "/".join(parts[:depth]))
                        folder = self._strip_protocol(below)
                        found.setdefault(folder, _folder(folder))
        return found


_TEXT: Final = frozenset({"encoding", "errors", "newline"})


def _name(fs: FileSystem, folder: str, file: ListedFile) -> str | None:
    """The name of a listed file below a folder; ``None`` for what was listed itself."""
    return None if file.uri.rstrip("/") == folder.rstrip("/") else file.name


def _told(path: str, info: FileInfo) -> dict[str, Any]:
    told: dict[str, Any] = {"name": path, "size": info.size, "type": "file"}
    if info.last_modified is not None:
        told |= {"LastModified": info.last_modified, "mtime": info.last_modified.timestamp()}
    if info.etag is not None:
        told["ETag"] = info.etag
    return told


def _folder(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _telling(callback: Any) -> Any:
    def tell(progress: Progress) -> None:
        if progress.total is not None:
            callback.set_size(int(progress.total))
        callback.absolute_update(int(progress.done))

    return tell


def _size_of(stream: BinaryIO, fs: FileSystem, uri: str) -> int | None:
    """fsspec's users ask for it, and a stream that can be sought knows it."""
    if not stream.seekable():
        return fs.info(uri).size
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def _with_kernel(spec: Any, options: Mapping[str, Any]) -> RVFileSystem:
    return RVFileSystem(Kernel.from_spec(spec), **options)
