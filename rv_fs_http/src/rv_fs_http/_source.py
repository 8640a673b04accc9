"""A file behind a URL, whole or in ranges, as `rv_core.transfers` asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rv_core.transfers import Body as AnyBody
from rv_core.transfers import ChangedError, Piece

from rv_core import FileInfo, NotFoundError, StorageError, same_version
from rv_fs_http._answers import (
    WHOLE,
    condition,
    encoding_of,
    info_of,
    is_other,
    is_strong,
    length_of,
    range_of,
    refusal,
    size_of,
    validator_of,
)
from rv_fs_http._body import Body, Unpacked
from rv_fs_http._requests import Answer, Asked, Requester
from rv_fs_http._urls import names_folder, split

_PARTIAL: Final = 206
_UNCHANGED: Final = 304
_UNSATISFIABLE: Final = 416
_SERVED: Final = (*WHOLE, _PARTIAL, _UNCHANGED, _UNSATISFIABLE)
# Ranges in parallel cost the server more and help only where each connection is held back.
SPLIT_FROM_BYTES: Final = 64 << 20
SPLIT_AFTER_SECONDS: Final = 2.0
SPLIT_BELOW_BYTES_PER_SECOND: Final = 20e6
SPLIT_IF_SECONDS_LEFT: Final = 4.0


class UnchangedError(Exception):
    """The file is still the version that was known."""


class HttpSource:
    """A `RangeSource`; making it raises `StorageError` for what is no URL.

    ``known``: a version that is not wanted again: `UnchangedError` then.

    ``refused``: whether the server turned a range down after it had begun to send the whole.
    """

    def __init__(self, requester: Requester, uri: str, known: FileInfo | None = None) -> None:
        self._requester = requester
        self._uri = uri
        self._asked = Asked.of(uri)
        self._shown = self._asked.shown
        self._known = known
        self._version: tuple[FileInfo, str | None] | None = None
        self._at: str | None = None
        self._was_split = False
        self.refused = False

    def read_range(self, start: int, stop: int | None, version: FileInfo | None) -> Piece:
        """See `RangeSource`; without a validator for ``version``, the whole is asked for."""
        validator = self._validator_of(version)
        wanted: dict[str, str] = {}
        if (start > 0 or stop is not None) and (version is None or validator is not None):
            wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
            if validator is not None:
                wanted["If-Range"] = validator
        elif version is None and self._known is not None:
            wanted |= condition(self._known)
        answer = self._ask(wanted)
        try:
            return self._piece(answer, start, stop, version, "Range" in wanted)
        except BaseException:
            answer.done()
            raise

    def info(self) -> FileInfo:
        """What the server says of the file. It is asked for one byte, since many refuse HEAD, and
        signed URLs are often good for GET alone."""
        answer = self._ask({"Range": "bytes=0-0"})
        try:
            headers = answer.headers
            start, stop, size = range_of(headers)
            if answer.status in WHOLE:
                return info_of(headers, size_of(headers))
            if answer.status == _PARTIAL and (start, stop) == (0, 1):
                if size is not None and not encoding_of(headers):
                    return info_of(headers, size)
            elif answer.status == _UNSATISFIABLE and size == 0:
                return info_of(headers, 0)
            elif answer.status not in (_PARTIAL, _UNSATISFIABLE):
                raise refusal(answer, self._shown)
        finally:
            answer.done()
        # Of ranges it says nothing that makes sense, but it may well have the file.
        answer = self._ask({})
        try:
            if answer.status not in WHOLE:
                raise refusal(answer, self._shown)
            return info_of(answer.headers, size_of(answer.headers))
        finally:
            answer.done()

    def worth_splitting(self, done: int, seconds: float, info: FileInfo) -> bool:
        """Whether the rest is better had by several connections at once."""
        if seconds < SPLIT_AFTER_SECONDS or (info.size or 0) < SPLIT_FROM_BYTES:
            return False
        speed = done / seconds
        left = (info.size or 0) - done
        self._was_split = (
            is_strong(info.etag)
            and speed < SPLIT_BELOW_BYTES_PER_SECOND
            and left > speed * SPLIT_IF_SECONDS_LEFT
        )
        return self._was_split

    def is_settled(self, info: FileInfo) -> bool:
        """Whether its etag, or else a time long enough ago, tells this version from any other."""
        return info.etag is not None or self._validator_of(info) is not None

    def _ask(self, wanted: Mapping[str, str]) -> Answer:
        """Ask where the last answer came from, which saves the redirects and stays with one of
        several mirrors; where that does not serve any more, from the start."""
        at = self._at
        try:
            answer = self._requester.get(self._asked, wanted, at=at)
            if at is not None and answer.status not in _SERVED:
                answer.done()
                answer, at = self._requester.get(self._asked, wanted), None
        except StorageError:
            self._at = None
            raise
        if at is None:
            self._at = answer.url if answer.was_redirected and answer.status in _SERVED else None
        if answer.url != self._asked.address.url and _is_folder(self._uri, answer.url):
            answer.done()
            raise NotFoundError(
                f"cannot read {self._shown}: it is a folder, not a file",
                hint="name a file in it, or end it with a slash to read the server's page of it",
            )
        return answer

    def _piece(
        self, answer: Answer, start: int, stop: int | None, version: FileInfo | None, ranged: bool
    ) -> Piece:
        if answer.status in WHOLE:
            return self.whole(answer, version, ranged)
        if answer.status == _PARTIAL and ranged:
            return self._part(answer, start, stop, version)
        if answer.status == _UNCHANGED and self._known is not None and version is None:
            raise UnchangedError
        if answer.status == _UNSATISFIABLE and ranged:
            size = range_of(answer.headers)[2]
            if start == 0 and size == 0 and version is None:
                info = info_of(answer.headers, 0)
                return Piece(0, 0, info, Body(answer.response, self._shown, 0), False)
            if version is not None and size != version.size:
                raise self._changed()
        self.refused = self._was_split and ranged
        raise refusal(answer, self._shown)

    def whole(self, answer: Answer, version: FileInfo | None = None, ranged: bool = False) -> Piece:
        """An answer that is the whole file; ``ranged``: though a range was asked for."""
        headers = answer.headers
        encoding, length = encoding_of(headers), length_of(headers)
        info = info_of(headers, None if encoding else length)
        if version is None and self._known is not None and same_version(info, self._known):
            raise UnchangedError
        if ranged and version is not None and is_other(info, version):
            raise self._changed()
        if encoding not in ("", "gzip", "x-gzip"):
            raise StorageError(
                f"cannot read {self._shown}: the server sends it encoded as {encoding!r}, "
                "although it is asked not to",
                hint="its settings, or those of a proxy on the way, are at fault",
            )
        sent = Body(answer.response, self._shown, length, answer.seconds)
        body: AnyBody = Unpacked(sent, self._shown) if encoding else sent
        validator = None if encoding else validator_of(info, headers)
        self._version = info, validator
        ranges = validator is not None and "bytes" in headers.get("Accept-Ranges", "").lower()
        return Piece(0, info.size, info, body, ranges and not ranged)

    def _part(
        self, answer: Answer, start: int, stop: int | None, version: FileInfo | None
    ) -> Piece:
        headers = answer.headers
        first, behind, size = range_of(headers)
        info = info_of(headers, size)
        if version is not None:
            if is_other(info, version) or (version.etag is not None and info.etag is None):
                raise self._changed()
            info = version
        else:
            self._version = info, validator_of(info, headers)
        end = size if stop is None or size is None else min(stop, size)
        if first != start or behind is None or (end is not None and behind != end):
            raise StorageError(
                f"cannot read {self._shown}: the server sends another range than asked for"
            )
        if encoding_of(headers):
            raise StorageError(
                f"cannot read {self._shown}: the server sends ranges of an encoded file"
            )
        body = Body(answer.response, self._shown, behind - first, answer.seconds)
        return Piece(first, behind, info, body, self._validator_of(info) is not None)

    def _validator_of(self, version: FileInfo | None) -> str | None:
        if version is None:
            return None
        if self._version is not None and self._version[0] == version:
            return self._version[1]
        return version.etag if is_strong(version.etag) else None

    def _changed(self) -> ChangedError:
        return ChangedError(
            f"{self._shown} was replaced while it was being read", hint="read it again"
        )


def _is_folder(asked: str, found: str) -> bool:
    """Whether a server that was asked for a file sent us on to a folder."""
    if names_folder(asked) or not split(asked).path:
        return False
    return names_folder(found) and split(found).query in ("", split(asked).query)
