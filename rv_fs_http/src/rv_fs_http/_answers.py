"""What a server says, in RV's terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rv_core import (
    AccessDeniedError,
    FileInfo,
    NotFoundError,
    StorageError,
    TransferError,
)

if TYPE_CHECKING:
    from rv_fs_http._requests import Answer

WHOLE: Final = (200, 203)
MISSING: Final = (404, 410)
PROXY_CREDENTIALS: Final = "they are part of its URL: http://user:password@proxy:3128"
# What servers say of files that they have not encoded.
_NO_ENCODING: Final = ("binary", "identity", "none", "utf-8")
_MAY_PASS: Final = (408, 425, 429)
_BUSY: Final = (429, 503)  # also what servers say that limit requests or connections
_STAYS: Final = (501, 505)  # what the server cannot do it will not be able to do in a second

_CONTENT_RANGE: Final = re.compile(
    r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\s*\Z", re.IGNORECASE
)
_LENGTH: Final = re.compile(r"\d{1,18}\Z")
# RFC 9110, 8.8.2.2: a file that was changed so long before the answer was made has not been
# changed twice in the second that its date tells. The minute is RFC 7232's, for slow clocks.
_SETTLED: Final = timedelta(seconds=60)

Headers = Mapping[str, str]


def info_of(headers: Headers, size: int | None) -> FileInfo:
    """What headers say of a file of that size."""
    return FileInfo(size, time_of(headers.get("Last-Modified")), headers.get("ETag"))


def length_of(headers: Headers) -> int | None:
    """The length of the body as it is sent."""
    length = headers.get("Content-Length", "")
    return int(length) if _LENGTH.match(length) and "Transfer-Encoding" not in headers else None


def size_of(headers: Headers) -> int | None:
    """The size of the file that is sent whole."""
    return None if encoding_of(headers) else length_of(headers)


def encoding_of(headers: Headers) -> str:
    """How the body is encoded, which the file is not; empty for the file itself."""
    found = headers.get("Content-Encoding", "").strip().lower()
    return "" if found in _NO_ENCODING else found


def range_of(headers: Headers) -> tuple[int | None, int | None, int | None]:
    """``Content-Range`` as start, stop (behind the last byte) and size of the whole; ``None`` for
    what it does not tell."""
    found = _CONTENT_RANGE.match(headers.get("Content-Range", "").strip())
    if found is None:
        return None, None, None
    first, last, size = found.groups()
    return (
        None if first is None else int(first),
        None if last is None else int(last) + 1,
        None if size == "*" else int(size),
    )


def validator_of(info: FileInfo, headers: Headers) -> str | None:
    """What ``If-Range`` may hold to get more of this very version (RFC 9110, 13.1.5): a strong
    etag, or where there is none at all, a date that is certain to tell versions apart."""
    if info.etag is not None:
        return info.etag if is_strong(info.etag) else None
    changed, now = info.last_modified, time_of(headers.get("Date"))
    if changed is None or now is None or now - changed < _SETTLED:
        return None
    return headers["Last-Modified"]


def is_strong(etag: str | None) -> bool:
    """Whether files with this etag are the same byte for byte."""
    return etag is not None and len(etag) > 1 and etag[0] == '"' == etag[-1]


def is_other(info: FileInfo, version: FileInfo) -> bool:
    """Whether two answers are of different versions for certain."""
    pairs: list[tuple[object, object]] = [
        (info.etag, version.etag),
        (info.size, version.size),
    ]
    if info.etag is None or version.etag is None:
        pairs.append((info.last_modified, version.last_modified))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def condition(known: FileInfo) -> dict[str, str]:
    """The headers that ask for a file only if it is not this version any more."""
    if known.etag is not None:
        return {"If-None-Match": known.etag}
    if known.last_modified is not None and known.size is not None:
        return {"If-Modified-Since": format_datetime(known.last_modified.astimezone(UTC), True)}
    return {}


@lru_cache(maxsize=256)  # what lies together was often made together, and is asked for again
def time_of(header: str | None) -> datetime | None:
    if header is None:
        return None
    try:
        found = parsedate_to_datetime(header)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def refusal(answer: Answer, shown: str, action: str = "read") -> StorageError:
    """The error that an answer amounts to which is not what was asked for; ``action``: the word
    for that, ``"read"`` or ``"list"``."""
    code = answer.status
    # The reason is the server's own text: what it quotes of the request is not told on.
    said = f"cannot {action} {shown}: the server answers {code}"
    if code in MISSING:
        return NotFoundError(said, hint="check the address")
    if code == 407:
        return AccessDeniedError(f"{said}: the proxy wants credentials", hint=PROXY_CREDENTIALS)
    if code == 403 and action == "list":
        said += ", as servers do that do not list their files"
    if code in (401, 403):
        return AccessDeniedError(said, hint=_of_access(code, action, answer.was_authorized))
    if code in _MAY_PASS or (code >= 500 and code not in _STAYS):
        fewer = "; or it wants fewer requests at a time: lower [http] connections"
        return TransferError(
            said,
            hint="try again later" + (fewer if code in _BUSY else ""),
            retry_after=_retry_after(answer.headers),
            stalled=answer.seconds,
            busy=code in _BUSY,
        )
    return StorageError(f"{said}, not with the file")


def _of_access(code: int, action: str, was_authorized: bool) -> str:
    """What to do about a refusal that depends on who we are."""
    if was_authorized:
        hint = "the credentials that it was sent are wrong, or give no access to it"
    else:
        hint = 'it wants credentials: name them in [http.hosts."<host>"], or in a netrc file'
    if code == 401:
        return hint
    return f"name each file; or {hint}" if action == "list" else f"{hint}; or a signature expired"


def _retry_after(headers: Headers) -> float | None:
    """``Retry-After`` in seconds; a date counts from the server's clock, where it tells that."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    until = time_of(asked)
    if until is None:
        return None
    now = time_of(headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())
