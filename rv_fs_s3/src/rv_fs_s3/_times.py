"""Times as S3 writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def time_of(value: Any) -> datetime | None:
    """A time, ISO 8601 in documents and RFC 9110 in headers, in whole seconds as
    headers have it; ``None`` where it is neither."""
    text = str(value)
    try:
        found = datetime.fromisoformat(text).replace(microsecond=0)
    except ValueError:
        try:
            found = parsedate_to_datetime(text)
        except ValueError:
            return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
