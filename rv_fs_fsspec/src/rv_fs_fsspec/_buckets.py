"""What fsspec's object stores leave to others: how long to wait, and what their logs tell."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from fsspec import AbstractFileSystem

from rv_fs_fsspec._ways import Watched, Ways

_SILENCE: Final = 20.0  # seconds until a short answer is waited for no longer
_LOGGERS: Final = ("botocore.auth", "botocore.endpoint")
_SIGNED: Final = re.compile(r"signature|authorization|security-token", re.IGNORECASE)


_PART_BYTES: Final = 8 << 20
# s3fs and gcsfs hold parts of 50 MiB in memory, s3fs ten at a time.
_S3: Final = {"chunksize": _PART_BYTES, "max_concurrency": 4}
_UPLOADS: Final[Mapping[str, Mapping[str, Any]]] = {
    "gcs": {"chunksize": _PART_BYTES},
    "gs": {"chunksize": _PART_BYTES},
    "s3": _S3,
    "s3a": _S3,
}


class BucketWays(Ways):
    """Their event loop bounds how long an answer takes. Their data has timeouts of their own."""

    def __init__(self, scheme: str) -> None:
        self._upload = _UPLOADS.get(scheme, {})

    def make(self, cls: type[AbstractFileSystem], given: dict[str, Any]) -> AbstractFileSystem:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_unsigned)  # once, however often it is added
        return super().make(cls, given)

    def put(
        self,
        instance: AbstractFileSystem,
        local: str,
        path: str,
        watched: Watched,
        *,
        new: bool = False,
    ) -> None:
        mode = {"mode": "create"} if new else {}
        instance.put_file(local, path, callback=watched, **mode, **self._upload)

    def info(self, instance: AbstractFileSystem, path: str) -> Mapping[str, Any]:
        return instance.info(path, timeout=_SILENCE)  # type: ignore[no-any-return]


class _Unsigned(logging.Filter):
    """Leaves out what botocore logs of signatures, which are as good as passwords."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _SIGNED.search(record.getMessage()) is None


_unsigned: Final = _Unsigned()
