"""Storage behind ``s3://``: Amazon S3 and the servers that speak its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_fs_s3._filesystem import S3FileSystem
    from rv_fs_s3._settings import S3Settings

__version__ = "0.1.0"

__all__ = ["S3FileSystem", "S3Settings", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "S3FileSystem":
        from rv_fs_s3._filesystem import S3FileSystem

        return S3FileSystem
    if name == "S3Settings":
        from rv_fs_s3._settings import S3Settings

        return S3Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
