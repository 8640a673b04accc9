"""What rv-fs-http announces: storage behind ``http://`` and ``https://``."""

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
        from rv_fs_http._filesystem import HttpFileSystem
        from rv_fs_http._settings import HttpSettings

        found = HttpFileSystem(HttpSettings.from_config(kernel.config))
        found.cache = kernel.cache
        found = _of_kernel.setdefault(kernel, found)  # another thread may have come before
    return found if found.matches_uri(uri) else None
