"""Any of fsspec's implementations as a FileSystem that keeps RV's promises."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from fsspec import AbstractFileSystem
from rv_core.local_files import AtomicWriter, failures, is_part, open_for_writing
from rv_core.transfers import Retries, download, open_reader

from rv_core import (
    AlreadyExistsError,
    FileInfo,
    FileSystem,
    IntegrityError,
    ListedFile,
    Mode,
    NotFoundError,
    NotWritableError,
    OnProgress,
    OpenMode,
    StorageError,
    TransferError,
    ignore_progress,
    scheme_of,
)
from rv_fs_fsspec._address import Address, Addresses, shown
from rv_fs_fsspec._connections import Connections
from rv_fs_fsspec._failures import failures as failures_of
from rv_fs_fsspec._implementations import implementation, traits_of, ways_of
from rv_fs_fsspec._info import changed, info_of
from rv_fs_fsspec._listing import Entry, entries, folders
from rv_fs_fsspec._publishing import Publisher
from rv_fs_fsspec._reading import Source
from rv_fs_fsspec._ways import Watched
from rv_fs_fsspec._writing import Upload

_ATTEMPTS_AT_ONE_VERSION: Final = 4
_PART_BYTES: Final = 16 << 20
_RANGES_AT_ONCE: Final = 4
_MAGIC: Final = frozenset("*?[")


class FsspecFileSystem(FileSystem):
    """What lies behind one scheme of fsspec.

    ``options``: what the implementation's constructor takes; a user, password, host or port in a
    URI goes before them. Files go up whole, from a temporary file on this machine, and appear
    under their names by whatever way the implementation has that is never seen half done.
    Listings are never kept. May be used from several threads, and in forked processes.
    """

    def __init__(self, scheme: str, options: Mapping[str, Any] | None = None) -> None:
        self._scheme = scheme
        self._options = dict(options or {})
        self._cls = implementation(scheme)
        self._traits = traits_of(scheme, self._cls)
        self._ways = ways_of(scheme)
        self._publish = Publisher(self._traits, self._ways)
        refused = None if self._options.get("version_aware") else self._traits.refused
        self._addresses = Addresses(scheme, self._cls, refused)
        self._connections = Connections(
            self._make, shared=self._traits.shared, abandon=self._ways.abandon
        )
        self._retries = Retries()
        # Where a folder is something in itself, and not only a part of names.
        self._has_folders = self._traits.publish != "put"
        self.writable = self._traits.writable  # type: ignore[misc]  # known only of this one
        self.transfers_at_once = self._traits.at_once  # type: ignore[misc]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._scheme, self._options), {"cache": self.cache}

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return scheme_of(uri) == self._scheme and (mode == "r" or self._traits.writable)

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """``"rb"`` can be sought. What is written goes up on closing; ``"xb"`` is left to the
        server where the protocol can do that, elsewhere it is looked at before and after."""
        if mode in ("wb", "xb"):
            at = self._to_write(uri)
            if mode == "xb" and self._is_there(at):
                raise AlreadyExistsError(f"cannot create {at.shown}: it exists already")
            return Upload(partial(self._upload, at=at, exclusive=mode == "xb"))
        if mode != "rb":
            raise ValueError(f"mode must be 'rb', 'wb' or 'xb', got {mode!r}")
        at = self._to_read(uri)
        if self._traits.read == "fetch":
            return self._fetched(at)
        return open_reader(self._source(at), at.uri, retries=self._retries)

    def info(self, uri: str) -> FileInfo:
        at = self._to_read(uri)
        return self._retries(lambda: self._info(at))

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        for found in self.list_files(uri, ext):
            yield found.uri

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        """One listing of all that is below where the implementation has that, else one for every
        folder. A folder that cannot be listed is an error, never an empty one."""
        at = self._parse(uri)
        for entry in self._retries(lambda: list(self._entries(at))):
            if entry.path.endswith(ext) and self._is_seen(entry):
                name = at.name_of(entry.path)
                info = self._info_of(entry.told)
                if name is not None:
                    yield ListedFile(self.uri_below(uri, name), name, info)
                elif at.is_at(entry.path) and not at.is_folder:
                    yield ListedFile(uri, self.name_below(uri, uri), info)

    def delete(self, uri: str) -> None:
        """Folders that are left empty go too, where the implementation has such."""
        at = self._to_write(uri, folder=True)
        if not at.path.strip("/"):
            raise StorageError(
                f"refusing to delete everything at {at.shown}", hint="name what is to go"
            )
        if not at.is_folder:
            with suppress(NotFoundError):
                self._retries(lambda: self._info(at))
                self._retries(lambda: self._remove(at, at.path))
                return
        found = self._retries(lambda: list(self._entries(at, with_folders=self._has_folders)))
        below = [entry for entry in found if entry.is_file and not at.is_at(entry.path)]
        self._remove_all(at, [entry.path for entry in below])
        for folder in folders(at, found) if self._has_folders else ():
            with suppress(StorageError), self._use("delete", at) as instance:
                instance.rmdir(folder)
        if not any(map(self._is_seen, below)):
            raise NotFoundError(f"cannot delete {at.shown}: there is no such file or folder")

    def delete_files(self, uris: Iterable[str]) -> None:
        places = [self._to_write(uri) for uri in uris]
        for at in {repr(at.connection): at for at in places}.values():
            self._remove_all(at, [p.path for p in places if p.connection == at.connection])

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        at = self._parse(uri)
        if not at.is_folder and self._is_there(at):
            return True
        return include_dir and self._retries(lambda: any(map(self._is_seen, self._entries(at))))

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> FileInfo:
        """Download one version, to a path that holds the whole file or is left as it was. Goes on
        where it broke if the implementation reads ranges, else begins again."""
        return self._download(self._to_read(uri), Path(path), on_progress)

    def copy_if_changed(
        self,
        uri: str,
        path: str | Path,
        known: FileInfo | None,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        if known is None:  # nothing to ask for first
            return self.copy_from(uri, path, on_progress)
        return super().copy_if_changed(uri, path, known, on_progress)

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> FileInfo | None:
        at = self._to_write(uri)
        with failures("read", os.fspath(path)):
            if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe is read once, and has no size
                return super().copy_to(path, uri, on_progress)
            with Path(path).open("rb"):
                pass
        return self._upload(Path(path), at, on_progress=on_progress)

    # Places

    def _parse(self, uri: str) -> Address:
        return self._addresses.parse(uri)

    def _to_read(self, uri: str) -> Address:
        at = self._parse(uri)
        if at.is_folder:
            raise NotFoundError(f"cannot read {at.shown}: it names a folder, not a file")
        return at

    def _to_write(self, uri: str, *, folder: bool = False) -> Address:
        if not self._traits.writable:
            _refuse(uri)
        at = self._parse(uri)
        if at.is_folder and not folder:
            raise StorageError(f"cannot write {at.shown}: it names a folder, not a file")
        return at

    def _is_seen(self, entry: Entry) -> bool:
        """Whether it is a file, and not one that is still on its way."""
        hidden = self._traits.publish == "rename" and is_part(entry.path.rpartition("/")[2])
        return entry.is_file and not hidden

    # Instances

    def _make(self, arguments: Mapping[str, Any]) -> AbstractFileSystem:
        given = {**self._traits.options, **self._options, **arguments}
        return self._ways.make(self._cls, given)

    def _use(
        self, action: str, at: Address, *, exclusive: bool = False
    ) -> AbstractContextManager[AbstractFileSystem]:
        failures = partial(self._failures, action, at, exclusive=exclusive)
        return self._connections.use(at.connection, failures)

    def _failures(
        self, action: str, at: Address, *, exclusive: bool = False
    ) -> AbstractContextManager[None]:
        return failures_of(action, at, self._options, exclusive=exclusive)

    # Reading

    def _info(self, at: Address) -> FileInfo:
        with self._use("read", at) as instance:
            return self._ask(at, instance)

    def _ask(self, at: Address, instance: AbstractFileSystem) -> FileInfo:
        told = self._ways.info(instance, at.path)
        if told.get("type") == "directory":
            raise NotFoundError(f"cannot read {at.shown}: it is a folder, not a file")
        return self._info_of(told)

    def _info_of(self, told: Mapping[str, Any]) -> FileInfo:
        return info_of(told, self._scheme)

    def _is_there(self, at: Address) -> bool:
        with suppress(NotFoundError):
            self._retries(lambda: self._info(at))
            return True
        return False

    def _source(self, at: Address) -> Source:
        return Source(
            self._connections,
            at,
            partial(self._failures, "read", at),
            partial(self._ask, at),
            self._info_of,
            self._ways,
            stays_open=self._traits.read == "stream",
        )

    def _fetched(self, at: Address) -> BinaryIO:
        """A copy in a file that has no name any more, and ends with the stream."""
        folder = tempfile.TemporaryDirectory(prefix="rv-read-", ignore_cleanup_errors=True)
        with folder as name:
            local = Path(name, "file")
            self._download(at, local, ignore_progress)
            if os.name == "nt":  # where a file that is open cannot be removed
                return io.BytesIO(local.read_bytes())
            return local.open("rb")

    def _download(self, at: Address, path: Path, on_progress: OnProgress) -> FileInfo:
        if self._traits.read == "ranges":
            return download(
                self._source(at),
                at.uri,
                path,
                retries=self._retries,
                part_bytes=_PART_BYTES,
                connections=_RANGES_AT_ONCE,
                on_progress=on_progress,
            )
        for _ in range(_ATTEMPTS_AT_ONE_VERSION):
            found = self._retries(lambda: self._get(at, path, on_progress))
            if found is not None:
                return found
        raise TransferError(
            f"{at.shown} changed each of the {_ATTEMPTS_AT_ONE_VERSION} times it was being read",
            hint="wait until whoever writes it is done",
        )

    def _get(self, at: Address, path: Path, on_progress: OnProgress) -> FileInfo | None:
        """Download with one request; ``None`` where the file was replaced meanwhile."""
        before = self._info(at)
        with open_for_writing(str(path), str(path), follow=False, durable=False) as writer:
            if not isinstance(writer, AtomicWriter):
                raise StorageError(f"cannot write {path}: it is no ordinary file")
            watched = Watched(on_progress, before.size)
            with watched.passing_on(), self._use("read", at) as instance:
                self._ways.get(instance, at.path, writer.part, watched)
                after = self._ask(at, instance)
            arrived = Path(writer.part).stat().st_size
            if changed(before, after):
                writer.abort()
                return None
            if after.size is not None and arrived != after.size:
                raise IntegrityError(
                    f"{at.shown} should have {after.size} bytes, {arrived} arrived",
                    hint="it changed on the way or the connection broke: try again",
                )
            watched.finished(arrived)
        return after

    # Listing and removing

    def _entries(self, at: Address, *, with_folders: bool = False) -> Iterator[Entry]:
        with self._use("list", at) as instance:
            yield from entries(instance, at, self._ways, with_folders=with_folders)

    def _remove(self, at: Address, path: str) -> None:
        with self._use("delete", at) as instance:
            instance.rm_file(path)

    def _remove_all(self, at: Address, paths: list[str]) -> None:
        """Remove files, many with one request where that is safe: in a list, fsspec takes some
        characters for patterns."""
        left = paths
        if self._cls.async_impl and len(paths) > 1:
            plain = [path for path in paths if not _MAGIC & set(path)]
            with suppress(StorageError), self._use("delete", at) as instance:
                instance.rm(plain)
                left = [path for path in paths if _MAGIC & set(path)]
        for path in left:
            with suppress(NotFoundError):
                self._retries(lambda path=path: self._remove(at, path))  # type: ignore[misc]

    # Writing

    def _upload(
        self,
        source: Path,
        at: Address,
        *,
        exclusive: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        def attempt() -> Mapping[str, Any] | None:
            watched = Watched(on_progress, source.stat().st_size)
            watched.begin()
            using = self._use("write", at, exclusive=exclusive)
            with watched.passing_on(), using as instance:
                return self._publish(
                    instance, source, at.path, at.shown, watched, exclusive=exclusive
                )

        told = self._retries(attempt)
        return None if told is None else self._info_of(told)


def _refuse(uri: str) -> NoReturn:
    raise NotWritableError(
        f"{shown(uri)} cannot be written: {scheme_of(uri)}:// is read-only here",
        hint="write to another place, such as a local path",
    )
