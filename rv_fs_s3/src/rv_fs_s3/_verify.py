"""Making sure that a downloaded file is the object that the server keeps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rv_core.transfers import ChangedError, Piece

from rv_core import FileInfo, StorageError, TransferError
from rv_fs_s3._checksums import Checksum, damaged, of_file, told
from rv_fs_s3._client import Client
from rv_fs_s3._locations import Location
from rv_fs_s3._source import S3Source

logger = logging.getLogger(__name__)


class VerifiedSource(S3Source):
    """An object whose file can be compared with the checksum that the server keeps of it.

    Where the first answer does not have the whole object, the checksum is asked for beside it.
    """

    def __init__(self, client: Client, location: Location, unless: FileInfo | None = None) -> None:
        super().__init__(client, location, unless)
        self._asking: _Asking | None = None

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        piece = super().read_range(start, stop, version)
        if version is None:
            self._asking = None
            if self._client.settings.checksums and not self.has_told and piece.info.size:
                self._asking = _Asking(self._client, self._location, piece.info)
                if piece.stop != piece.info.size:
                    self._asking.start()
        return piece

    def verify(self, path: Path, info: FileInfo) -> None:
        """Raises `IntegrityError` where the file is not the object, and `ChangedError` where the
        object is another meanwhile. Objects without a checksum, and those whose checksum may not
        be asked for, are not verified."""
        if self.verified:
            return
        expected = self.checksum or (self._asking.answer() if self._asking else None)
        if expected is None or not info.size:
            return
        algorithm = expected.algorithm
        if not expected.composite:
            if of_file(path, algorithm) == expected.value:
                return
            if expected.composite is False:
                raise damaged(self._location.shown, algorithm)
        sizes = self._part_sizes(info, expected)
        if sizes is None:
            logger.info("%s is not verified: its parts are not told", self._location.shown)
        elif of_file(path, algorithm, sizes) != expected.value:
            # The sizes may be those of an object that has taken its place meanwhile.
            _Asking(self._client, self._location, info).answer()
            raise damaged(self._location.shown, algorithm)

    def _part_sizes(self, info: FileInfo, expected: Checksum) -> list[int] | None:
        """The sizes of the parts that a composite checksum is made of, as far as they are told."""
        if info.size is None:
            return None
        key = self._location.key
        try:
            # Without a condition, which some servers compare with the part's own etag.
            first = self._client.ask("head_object", "read", self._location, Key=key, PartNumber=1)
            size = first.get("ContentLength") or info.size
            count = expected.parts or first.get("PartsCount") or 1
            if size * (count - 1) < info.size <= size * count:
                return [min(size, info.size - at) for at in range(0, info.size, size)]
            sizes = list(self._attributes())
            return sizes if sum(sizes) == info.size else None
        except (ChangedError, TransferError):
            raise
        except StorageError as error:
            logger.info("%s", error)
            return None

    def _attributes(self) -> Iterator[int]:
        """The sizes of parts that are not all of one size."""
        marker = 0
        while True:
            found: dict[str, Any] = self._client.ask(
                "get_object_attributes",
                "read",
                self._location,
                Key=self._location.key,
                ObjectAttributes=["ObjectParts"],
                PartNumberMarker=marker,
            ).get("ObjectParts", {})
            parts = found.get("Parts", [])
            yield from (part["Size"] for part in parts)
            if not found.get("IsTruncated") or not parts:
                return
            marker = found["NextPartNumberMarker"]


class _Asking(threading.Thread):
    """Asks for the checksum of a version, beside its download or when it is needed."""

    def __init__(self, client: Client, location: Location, info: FileInfo) -> None:
        super().__init__(daemon=True, name="rv checksum")
        self._client = client
        self._location = location
        self._info = info
        self._found: Checksum | None = None
        self._error: StorageError | None = None

    def run(self) -> None:
        condition = {"IfMatch": self._info.etag} if self._info.etag is not None else {}
        try:
            self._found = told(
                self._client.ask(
                    "head_object",
                    "read",
                    self._location,
                    Key=self._location.key,
                    ChecksumMode="ENABLED",
                    **condition,
                )
            )
        except StorageError as error:
            self._error = error

    def answer(self) -> Checksum | None:
        """Raises what may be otherwise next time; a checksum that is refused is not known."""
        if self.ident is None:
            self.run()
        while self.is_alive():
            self.join(0.2)  # not for ever: on Windows, Ctrl-C would not be heard
        if isinstance(self._error, ChangedError | TransferError):
            raise self._error
        if self._error is not None:
            logger.info("%s is not verified: %s", self._location.shown, self._error)
        return self._found
