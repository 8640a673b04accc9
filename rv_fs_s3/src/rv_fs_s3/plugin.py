"""What rv-fs-s3 announces: storage behind ``s3://``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from rv_core import hookimpl

if TYPE_CHECKING:
    from rv_core import FileSystem, Kernel

_of_kernel: WeakKeyDictionary[Kernel, FileSystem] = WeakKeyDictionary()


@hookimpl
def rv_filesystem(uri: str, mode: str, kernel: Kernel) -> FileSystem | None:
    found = _of_kernel.get(kernel)
    if found is None:
        from rv_fs_s3._filesystem import S3FileSystem
        from rv_fs_s3._settings import S3Settings

        found = _of_kernel[kernel] = S3FileSystem(S3Settings.from_config(kernel.config))
        found.cache = kernel.cache
    return found if found.matches_uri(uri) else None
