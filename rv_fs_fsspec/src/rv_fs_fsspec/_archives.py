"""Archives inside any other storage: ``zip://name::s3://bucket/archive.zip``."""

from __future__ import annotations

import re
import tarfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from zipfile import BadZipFile

import attrs
from fsspec import AbstractFileSystem

from rv_core import (
    FileInfo,
    FileSystem,
    ListedFile,
    Mode,
    NotWritableError,
    OnProgress,
    OpenMode,
    StorageError,
    ignore_progress,
    same_version,
    scheme_of,
    without_secrets,
)
from rv_fs_fsspec._address import Address
from rv_fs_fsspec._filesystem import FsspecFileSystem

if TYPE_CHECKING:
    from rv_core import Kernel

_KEPT_OPEN: Final = 4
# Where the archive's own URI begins; what else stands after a "::" is part of a name.
_BORDER: Final = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.\-]*:(//|[\\/])|file:|[/~])")
_COMPRESSIONS: Final = {
    ".bz2": "bz2",
    ".gz": "gzip",
    ".tbz2": "bz2",
    ".tgz": "gzip",
    ".txz": "xz",
    ".xz": "xz",
    ".zst": "zstd",
}
_DAMAGED: Final = (BadZipFile, EOFError, tarfile.TarError, zlib.error)


class Archives:
    """Archives that were used last, so that not every file of one reads its index again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str], tuple[FileInfo, OpenArchive]] = OrderedDict()

    def get(
        self, scheme: str, inner: str, kernel: Kernel, options: Mapping[str, Any]
    ) -> OpenArchive:
        """The archive at another URI, as it is now."""
        version = kernel.files.info(inner)
        key = scheme, inner
        with self._lock:
            if key in self._open and same_version(self._open[key][0], version):
                self._open.move_to_end(key)
                return self._open[key][1]
            found = OpenArchive(scheme, inner, kernel, options, version)
            self._open[key] = version, found
            while len(self._open) > _KEPT_OPEN:
                self._open.popitem(last=False)
        return found


class OpenArchive(FsspecFileSystem):
    """The files in one version of an archive, at ``zip://name``."""

    def __init__(
        self,
        scheme: str,
        inner: str,
        kernel: Kernel,
        options: Mapping[str, Any],
        version: FileInfo,
    ) -> None:
        super().__init__(scheme, options)
        self._inner = inner
        self._version = version
        self._storage = kernel.filesystem(inner)

    def _make(self, arguments: Mapping[str, Any]) -> AbstractFileSystem:
        """Over a stream where members can be read from that one by one, else over a local copy."""
        stream: BinaryIO | None = None
        if self._scheme == "zip":
            stream = self._storage.open(self._inner)
            if not stream.seekable():
                stream.close()
                stream = None
        given = dict(self._options)
        if self._scheme == "tar":
            ending = Path(without_secrets(self._inner)).suffix.lower()
            given = {"compression": _COMPRESSIONS.get(ending)} | given
        stream = stream or self._storage.local_path(self._inner).open("rb")
        cls = self._cls
        if self._scheme == "tar":
            from rv_fs_fsspec._tar import Tar

            cls = Tar
        try:
            return cls(fo=stream, **given, skip_instance_cache=True)
        except BaseException as error:
            stream.close()
            if not isinstance(error, _DAMAGED):
                raise
        raise StorageError(
            f"{without_secrets(self._inner)} is no {self._scheme} archive, or a damaged one",
            hint="look at it with another program, or copy it there again",
        )

    def _parse(self, uri: str) -> Address:
        """Messages name the archive too."""
        return attrs.evolve(super()._parse(uri), uri=f"{uri}::{without_secrets(self._inner)}")

    def _info_of(self, told: Mapping[str, Any]) -> FileInfo:
        """Where an archive keeps no checksums, a file in it is as old as the archive: times and
        sizes in there may be the same in every version of it."""
        found = super()._info_of(told)
        if found.etag is not None:
            return found
        of = self._version
        if of.etag is None and of.last_modified is None:
            return attrs.evolve(found, last_modified=None)
        return attrs.evolve(found, etag=f"{of.etag or of.last_modified} {of.size}")


class ArchiveFileSystem(FileSystem):
    """Reads files in archives, wherever the kernel finds those."""

    writable = False

    def __init__(
        self, scheme: str, kernel: Kernel, archives: Archives, options: Mapping[str, Any]
    ) -> None:
        self._scheme = scheme
        self._kernel = kernel
        self._archives = archives
        self._options = options

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return mode == "r" and scheme_of(uri) == self._scheme

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        if mode != "rb":
            raise _refusal(uri)
        archive, name = self._split(uri)
        return archive.open(name)

    def info(self, uri: str) -> FileInfo:
        archive, name = self._split(uri)
        return archive.info(name)

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        for found in self.list_files(uri, ext):
            yield found.uri

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        archive, folder = self._split(uri)
        _, inner = _parts(uri)
        for found in archive.list_files(folder, ext):
            yield ListedFile(f"{found.uri}::{inner}", found.name, found.info)

    def delete(self, uri: str) -> None:
        """Raises `NotWritableError`."""
        raise _refusal(uri)

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> FileInfo:
        archive, name = self._split(uri)
        return archive.copy_from(name, path, on_progress)

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Raises `NotWritableError`."""
        raise _refusal(uri)

    def uri_below(self, folder: str, name: str) -> str:
        place, inner = _parts(folder)
        return f"{super().uri_below(place, name)}::{inner}"

    def name_below(self, folder: str, uri: str) -> str:
        return super().name_below(_parts(folder)[0], _parts(uri)[0])

    def _split(self, uri: str) -> tuple[OpenArchive, str]:
        name, inner = _parts(uri)
        if not inner:
            raise StorageError(
                f"{without_secrets(uri)} does not say which archive is meant",
                hint=f"{self._scheme}://name/in/it::s3://bucket/archive, or ::/a/local/path",
            )
        return self._archives.get(self._scheme, inner, self._kernel, self._options), name


def _parts(uri: str) -> tuple[str, str]:
    """The name in the archive and the archive's own URI. A slash at the end says that a folder in
    the archive is meant: the archive itself is none."""
    border = _BORDER.search(uri)
    at = border.start() if border else uri.rfind("::")
    name, inner = (uri[:at], uri[at + 2 :]) if at >= 0 else (uri, "")
    archive = inner.rstrip("/")
    return (name if archive == inner else f"{name}/"), archive


def _refusal(uri: str) -> NotWritableError:
    return NotWritableError(
        f"{without_secrets(uri)} cannot be written: archives are read-only here",
        hint="write to another place, such as a local path",
    )
