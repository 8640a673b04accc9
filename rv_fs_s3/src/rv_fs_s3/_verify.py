"""Making sure that a downloaded file is the object that the server keeps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from rv_core.transfers import ChangedError, Piece, run_parallel

from rv_core import FileInfo, StorageError, TransferError
from rv_fs_s3._checksums import Checksum, damaged, of_file, told
from rv_fs_s3._client import Client
from rv_fs_s3._locations import Location
from rv_fs_s3._source import S3Source
from rv_fs_s3._upload import MOST_PARTS

logger = logging.getLogger(__name__)

_PARTS_AT_ONCE: Final = 16


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
        sizes: list[int] | None = None
        for sizes in self._part_sizes(info, expected):
            if of_file(path, algorithm, sizes) == expected.value:
                return
        if sizes is None:
            logger.info("%s is not verified: its parts are not told", self._location.shown)
            return
        # The sizes may be those of an object that has taken its place meanwhile.
        _Asking(self._client, self._location, info).answer()
        raise damaged(self._location.shown, algorithm)

    def _part_sizes(self, info: FileInfo, expected: Checksum) -> Iterator[list[int]]:
        """The sizes of the parts that a composite checksum may be made of: those of parts of one
        size, which most objects have, then those that the server tells of each part."""
        if info.size is None:
            return
        try:
            first, parts = self._part(1)
            size = first or info.size
            count = expected.parts or parts or 1
            alike: list[int] = []
            if size * (count - 1) < info.size <= size * count:
                alike = [min(size, info.size - at) for at in range(0, info.size, size)]
                yield alike
            if size < info.size and count <= MOST_PARTS:
                told = self._told_sizes(count)
                if sum(told) == info.size and told != alike:
                    yield told
        except (ChangedError, TransferError):
            raise
        except StorageError as error:
            logger.info("%s", error)

    def _told_sizes(self, count: int) -> list[int]:
        sizes: dict[int, int] = {}
        numbers = range(1, count + 1)
        asked = run_parallel(lambda number, _: self._part(number)[0], numbers, _PARTS_AT_ONCE)
        with closing(asked) as results:
            for number, result in results:
                if isinstance(result, BaseException):
                    raise result
                sizes[number] = result
        return [sizes[number] for number in numbers]

    def _part(self, number: int) -> tuple[int, int]:
        """The size of a part, and how many there are; 0 for what is not told."""
        # Without a condition, which some servers compare with the part's own etag.
        found: dict[str, Any] = self._client.ask(
            "head_object", "read", self._location, Key=self._location.key, PartNumber=number
        )
        return found.get("ContentLength") or 0, found.get("PartsCount") or 0


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
