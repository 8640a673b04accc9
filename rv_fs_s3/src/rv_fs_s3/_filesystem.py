"""Buckets of S3 as a FileSystem."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from rv_core.transfers import PART_BYTES, download, open_reader

from rv_core import (
    AlreadyExistsError,
    FileInfo,
    FileSystem,
    GdalAccess,
    ListedFile,
    Mode,
    NotFoundError,
    OnProgress,
    OpenMode,
    StorageError,
    ignore_progress,
    scheme_of,
)
from rv_fs_s3._client import client_of
from rv_fs_s3._copying import upload
from rv_fs_s3._deleting import batches_by_bucket, delete_object, delete_objects
from rv_fs_s3._errors import NotModifiedError, RefusedHeadError
from rv_fs_s3._listing import holds_any, list_below
from rv_fs_s3._locations import Location, locate
from rv_fs_s3._settings import S3Settings
from rv_fs_s3._source import S3Source, info_of
from rv_fs_s3._verify import VerifiedSource
from rv_fs_s3._writer import S3Writer

CONNECTIONS: Final = 8
"""How many move one large file."""
_RESTARTS: Final = 3


class S3FileSystem(FileSystem):
    """Amazon S3, and the servers that speak its protocol.

    A URI's key is taken as it stands: ``#``, ``?`` and ``%20`` are part of it. An object whose key
    ends in a slash is a file as any other; folders are what keys have in common. Permissions that
    are needed, and what is promised: see the package's README.
    """

    def __init__(self, settings: S3Settings | None = None) -> None:
        settings = settings or S3Settings()
        self.transfers_at_once = settings.connections  # type: ignore[misc]
        self._client = client_of(settings)

    def matches_uri(self, uri: str, mode: Mode = "r") -> bool:
        return scheme_of(uri) == "s3"

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        """A stream. One for reading can seek, and goes on after breaks; read from its start to
        its end, it is compared with the checksum that the server keeps, and raises
        `IntegrityError` with its last bytes. One for writing keeps up to 32 MiB in memory, and
        sends what is more in parts, which are seen when it is closed."""
        location = locate(uri)
        if mode == "rb":
            return open_reader(S3Source(self._client, location), uri, retries=self._client.retries)
        exclusive = mode == "xb"
        _refuse_bucket(location)
        if exclusive and self.file_exists(uri, include_dir=False):
            # Asked beforehand too: older servers do not know conditions.
            raise AlreadyExistsError(f"cannot create {location.shown}: it exists already")
        return cast("BinaryIO", S3Writer(self._client, location, exclusive=exclusive))

    def info(self, uri: str) -> FileInfo:
        location = locate(uri)
        source = S3Source(self._client, location)  # which refuses a bucket
        try:
            answer = self._client.ask("head_object", "read", location, Key=location.key)
        except RefusedHeadError:
            # The answer to a GET says why, or what was asked for.
            piece = self._client.retries(lambda: source.read_range(0, 1, None))
            piece.body.close()
            return piece.info
        return info_of(answer, answer.get("ContentLength"))

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        return (file.uri for file in self.list_files(uri, ext))

    def list_files(self, uri: str, ext: str = "") -> Iterator[ListedFile]:
        location = locate(uri)
        empty = True
        for file in list_below(self._client, location):
            empty = False
            if file.uri.endswith(ext):
                yield file
        if empty and location.key and not location.key.endswith("/") and uri.endswith(ext):
            try:
                yield ListedFile(location.uri, location.key.rpartition("/")[2], self.info(uri))
            except NotFoundError:
                return

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        location = locate(uri)
        try:
            if location.key:
                self.info(uri)
                return True
        except NotFoundError:
            pass
        try:
            return include_dir and holds_any(self._client, location)
        except NotFoundError:  # not even the bucket is there
            return False

    def delete(self, uri: str) -> None:
        location = locate(uri)
        if location.key and self.file_exists(uri, include_dir=False):
            delete_object(self._client, location)
            return
        files = list_below(self._client, location)
        first = next(files, None)
        if first is None:
            raise NotFoundError(
                f"cannot delete {location.shown}: there is neither an object nor a folder"
            )
        delete_object(self._client, locate(first.uri))
        delete_objects(self._client, location.bucket, (locate(file.uri).key for file in files))

    def delete_files(self, uris: Iterable[str]) -> None:
        for bucket, keys in batches_by_bucket(map(locate, uris)):
            delete_objects(self._client, bucket, keys)

    def read_bytes(self, uri: str) -> bytes:
        """One request. Verified where the server keeps a checksum of the whole object."""
        location = locate(uri)
        for attempt in range(_RESTARTS + 1):
            source = S3Source(self._client, location)
            try:
                with open_reader(source, uri, retries=self._client.retries) as stream:
                    return stream.read()
            except StorageError:
                if not source.cannot_go_on or attempt == _RESTARTS:
                    raise
        raise AssertionError("unreachable")

    def write_bytes(self, uri: str, data: bytes) -> None:
        with self.open(uri, "wb") as stream:
            stream.write(data)

    def copy_from(
        self, uri: str, path: str | Path, on_progress: OnProgress = ignore_progress
    ) -> FileInfo:
        """Download in parallel ranges of one version, verified against the checksum that the
        server keeps. Otherwise as `FileSystem.copy_from`."""
        return self._download(VerifiedSource(self._client, locate(uri)), uri, path, on_progress)

    def copy_listed(
        self,
        uri: str,
        path: str | Path,
        listed: FileInfo,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo:
        """A small object comes with one request, which tells its checksum too."""
        source = VerifiedSource(self._client, locate(uri))
        whole = listed.size is not None and listed.size <= PART_BYTES
        return self._download(source, uri, path, on_progress, whole=whole)

    def copy_if_changed(
        self,
        uri: str,
        path: str | Path,
        known: FileInfo | None,
        on_progress: OnProgress = ignore_progress,
    ) -> FileInfo | None:
        source = VerifiedSource(self._client, locate(uri), known)
        whole = known is not None and known.size is not None and known.size <= PART_BYTES
        try:
            return self._download(source, uri, path, on_progress, whole=whole)
        except NotModifiedError:
            return None

    def copy_to(
        self, path: str | Path, uri: str, on_progress: OnProgress = ignore_progress
    ) -> FileInfo | None:
        """Upload with one request, or in parallel parts; the object is there whole, or as it was.
        Raises `StorageError` where the file is written to meanwhile."""
        location = locate(uri)
        _refuse_bucket(location)
        if not Path(path).is_file():  # a pipe, of which nobody knows the size; or nothing
            return super().copy_to(path, uri, on_progress)
        return upload(self._client, location, os.fspath(path), on_progress)

    def gdal_access(self, uri: str, version: FileInfo) -> GdalAccess | None:
        """By ``/vsis3/``, with the credentials of this moment."""
        from rv_fs_s3._gdal import access_to

        return access_to(self._client, locate(uri), version)

    def _download(
        self,
        source: VerifiedSource,
        uri: str,
        path: str | Path,
        on_progress: OnProgress,
        *,
        whole: bool = False,
    ) -> FileInfo:
        return download(
            source,
            uri,
            path,
            retries=self._client.retries,
            connections=1 if whole else min(CONNECTIONS, self.transfers_at_once),
            verify=source.verify,
            on_progress=on_progress,
        )


def _refuse_bucket(location: Location) -> None:
    if not location.key:
        raise StorageError(
            f"cannot write {location.shown}: it is a bucket, not an object",
            hint="name an object in it",
        )
