"""What fsspec's object stores leave to others: how long to wait, and what their logs tell."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from fsspec import AbstractFileSystem

from rv_fs_fsspec._ways import Ways

_SILENCE: Final = 20.0  # seconds until a short answer is waited for no longer
_LOGGERS: Final = ("botocore.auth", "botocore.endpoint")
_SIGNED: Final = re.compile(r"signature|authorization|security-token", re.IGNORECASE)


class BucketWays(Ways):
    """Their event loop bounds how long an answer takes. Their data has timeouts of their own."""

    def make(self, cls: type[AbstractFileSystem], given: dict[str, Any]) -> AbstractFileSystem:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_unsigned)  # once, however often it is added
        return super().make(cls, given)

    def info(self, instance: AbstractFileSystem, path: str) -> Mapping[str, Any]:
        return instance.info(path, timeout=_SILENCE)  # type: ignore[no-any-return]


class _Unsigned(logging.Filter):
    """Leaves out what botocore logs of signatures, which are as good as passwords."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _SIGNED.search(record.getMessage()) is None


_unsigned: Final = _Unsigned()
