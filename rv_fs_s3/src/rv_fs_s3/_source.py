"""An object read by ranges, as `rv_core.transfers` asks for them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from rv_core.transfers import ChangedError, Piece
from urllib3.exceptions import HTTPError

from rv_core import FileInfo, IntegrityError, NotFoundError, TransferError
from rv_fs_s3._checksums import Checksum, Tally, told
from rv_fs_s3._client import Answer, Client
from rv_fs_s3._errors import RefusedHeadError, UnsatisfiableError, failure
from rv_fs_s3._locations import Location

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


class S3Source:
    """One object. ``unless``: a version that need not be sent again: `NotModifiedError` then."""

    def __init__(self, client: Client, location: Location, unless: FileInfo | None = None) -> None:
        if not location.key:
            raise NotFoundError(
                f"cannot read {location.shown}: it is a bucket, not an object",
                hint="name an object in it",
            )
        self._client = client
        self._location = location
        self._unless = unless
        self._tally: Tally | None = None
        self.checksum: Checksum | None = None
        self.has_told = False
        """Whether the first answer was one that tells a checksum if the server keeps one."""
        self.cannot_go_on = False
        """Whether reading could not go on in the middle, though it might from the start: the
        object became another, or the server sends whole objects only."""

    @property
    def verified(self) -> bool:
        """Whether the whole object went by in order, and had the checksum that the server keeps."""
        return self._tally is not None and self._tally.complete

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        """See `rv_core.transfers.RangeSource`. An answer that has the whole object leaves what it
        tells of its checksum in ``checksum``."""
        if version is None:
            self.checksum, self.has_told, self._tally = None, False, None
        params: dict[str, Any] = {}
        if start > 0 or stop is not None:
            params["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        if version is not None and version.etag is not None:
            params["IfMatch"] = version.etag
        if version is None and self._client.settings.checksums:
            params["ChecksumMode"] = "ENABLED"
        if version is None and self._unless is not None and self._unless.etag is not None:
            params["IfNoneMatch"] = self._unless.etag
        try:
            answer = self._client.ask_once(
                "get_object", "read", self._location, Key=self._location.key, **params
            )
        except ChangedError:
            self.cannot_go_on = True
            raise
        except UnsatisfiableError:
            if version is not None and version.size:
                raise self._changed() from None
            if "Range" not in params:
                raise
            return self.read_range(0, None, version)  # of an empty object there are no ranges
        try:
            return self._piece(answer, start, stop, version)
        except BaseException:
            raw_body(answer).close()
            raise

    def _piece(
        self, answer: Answer, start: int, stop: int | None, version: FileInfo | None
    ) -> Piece:
        length: int | None = answer.get("ContentLength")
        first: int
        last: int | None
        size: int | None
        partial = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        if partial:
            first, last, size = self._range_of(answer, start, stop, length)
        else:
            first, last, size = 0, length, length
            self.cannot_go_on |= start > 0
        info = info_of(answer, size)
        if version is not None and not _may_be_same(info, version):
            raise self._changed()
        if size is None:
            info = self._measured(info)
            last = last if partial else info.size
        whole = first == 0 and last == info.size
        if version is None and whole:
            self.checksum = told(answer)
            self.has_told = self.checksum is not None or not partial
        if whole and self.checksum is not None and info.size and self.checksum.composite is False:
            self._tally = Tally(self.checksum, info.size, self._location.shown)
        body = S3Body(answer, first, last, self._location.shown, self._tally)
        return Piece(first, last, info, body, ranges=partial or (start == 0 and stop is None))

    def _range_of(
        self, answer: Answer, start: int, stop: int | None, length: int | None
    ) -> tuple[int, int, int | None]:
        """First byte, the byte behind the last, and size of the whole, as Content-Range says."""
        said = answer.get("ContentRange", "")
        found = _CONTENT_RANGE.match(said)
        if found is not None:
            first, last = int(found[1]), int(found[2]) + 1
            size = None if found[3] == "*" else int(found[3])
            if size is None:
                ends = stop is None or last <= stop
            else:
                ends = last == (size if stop is None else min(size, stop))
            if first == start and ends and length in (None, last - first):
                return first, last, size
        asked = f"{start}-{'' if stop is None else stop - 1}"
        raise IntegrityError(
            f"cannot read {self._location.shown}: asked for the bytes {asked}, the server answers "
            f"with {length} bytes and the range {said!a}",
            hint="the server, or a proxy on the way, does not know ranges",
        )

    def _measured(self, info: FileInfo) -> FileInfo:
        """Ask for the size that an answer does not tell, so that its end is noticed."""
        params = {"IfMatch": info.etag} if info.etag is not None else {}
        try:
            answer = self._client.ask_once(
                "head_object", "read", self._location, Key=self._location.key, **params
            )
        except RefusedHeadError:
            return info
        return info_of(answer, answer.get("ContentLength"))

    def _changed(self) -> ChangedError:
        self.cannot_go_on = True
        return ChangedError(
            f"{self._location.shown} was replaced while it was being read", hint="try again"
        )


class S3Body:
    """The bytes of an answer, from ``start`` to before ``stop`` (``None``: to its end)."""

    def __init__(
        self, answer: Answer, start: int, stop: int | None, shown: str, tally: Tally | None
    ) -> None:
        self._raw = raw_body(answer)
        self._told = "ContentLength" in answer
        self._pos = start
        self._stop = stop
        self._shown = shown
        self._tally = tally

    def read1(self, size: int) -> bytes:
        """See `rv_core.transfers.Body`; also raises `IntegrityError` at the end of what is not
        the object that the server keeps."""
        if self._stop is not None and self._pos >= self._stop:
            return b""
        data = self._read(size if self._stop is None else min(size, self._stop - self._pos))
        if not data and self._stop is not None:
            raise TransferError(
                f"reading {self._shown} ended at byte {self._pos} of {self._stop}",
                hint="the connection broke: try again",
            )
        if self._tally is not None:
            self._tally.saw(self._pos, data)
        self._pos += len(data)
        if self._pos == self._stop and not self._told and self._read(1):
            raise IntegrityError(
                f"cannot read {self._shown}: more bytes arrive than the server promised",
                hint="a proxy on the way changes what it passes on",
            )
        return data

    def close(self) -> None:
        if self._pos == self._stop:
            self._raw.drain_conn()  # reads nothing any more, and keeps the connection
        self._raw.close()

    def _read(self, size: int) -> bytes:
        asked = time.monotonic()
        try:
            data: bytes = self._raw.read1(size)
        except (HTTPError, OSError) as error:
            seconds = time.monotonic() - asked
            raise failure(error, "read", self._shown, seconds, seconds) from None
        return data


def raw_body(answer: Answer) -> Any:
    """The body of an answer as urllib3 has it. botocore's own waits for as many bytes as were
    asked for, and computes checksums that are computed here."""
    return answer["Body"].__enter__()


def info_of(answer: Mapping[str, Any], size: int | None) -> FileInfo:
    """What GetObject, HeadObject or an entry of a listing tells of an object."""
    etag = answer.get("ETag")
    # Some servers leave the quotes out, in listings above all.
    quoted = f'"{etag.strip(chr(34))}"' if etag else None
    return FileInfo(size, answer.get("LastModified"), quoted)


def _may_be_same(one: FileInfo, other: FileInfo) -> bool:
    """Whether nothing that both tell differs."""
    if one.etag is not None and other.etag is not None:
        return one.etag == other.etag
    sizes = one.size, other.size
    times = one.last_modified, other.last_modified
    return (None in sizes or sizes[0] == sizes[1]) and (None in times or times[0] == times[1])
