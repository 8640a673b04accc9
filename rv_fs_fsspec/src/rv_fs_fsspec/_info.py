"""What implementations tell of a file, each under names of its own, as a FileInfo."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rv_core import FileInfo

_ETAGS: Final = ("ETag", "etag", "e_tag", "md5Hash", "sha", "blob_id", "sha256", "checksum")
# When the content changed. Not "created": a file that is written anew may keep that.
_TIMES: Final = ("LastModified", "last_modified", "mtime", "updated", "modified", "timeModified")
_TIMES_MORE: Final = ("modify", "modificationTime", "modification_time", "last_write_time")
_MILLISECONDS: Final = frozenset({"modificationTime", "modification_time"})  # WebHDFS, DBFS


def info_of(told: Mapping[str, Any], scheme: str) -> FileInfo:
    """Size, time and etag; ``None`` for what is not told, or not surely meant."""
    size = told.get("size")
    return FileInfo(
        size=size if isinstance(size, int) and size >= 0 else None,
        last_modified=_time_of(told, scheme),
        etag=_etag_of(told, scheme),
    )


def changed(old: FileInfo, new: FileInfo) -> bool:
    """Whether two answers are certain to describe different content."""
    if old.etag is not None and new.etag is not None:
        return old.etag != new.etag
    if old.last_modified is not None and old.last_modified != new.last_modified:
        return True
    return old.size != new.size


def _etag_of(told: Mapping[str, Any], scheme: str) -> str | None:
    if scheme == "zip" and isinstance(told.get("CRC"), int):
        return f"{told['CRC']:08x}-{told.get('file_size')}"
    for name in _ETAGS:
        value = told.get(name)
        if isinstance(value, str) and value:
            # The same etag comes with quotes in one answer and without in another.
            return value.removeprefix("W/").strip('"') or None
    return None


def _time_of(told: Mapping[str, Any], scheme: str) -> datetime | None:
    # In memory, a file that is written anew is created anew.
    names = (*_TIMES, *_TIMES_MORE, "created") if scheme == "memory" else (*_TIMES, *_TIMES_MORE)
    for name in names:
        found = _as_time(told.get(name), 1000 if name in _MILLISECONDS else 1)
        if found is not None:
            return found
    return None


def _as_time(value: object, per_second: int) -> datetime | None:
    """A moment, where its zone is known: numbers count from the epoch; FTP's text is in UTC
    (RFC 3659, 2.3)."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / per_second, UTC) if value > 0 else None
        if isinstance(value, str):
            if value[:14].isdecimal() and len(value) >= 14:
                return datetime.strptime(value[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
