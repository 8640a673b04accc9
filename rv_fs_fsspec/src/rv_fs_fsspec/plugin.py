"""What rv-fs-fsspec announces: storage behind every scheme that fsspec knows and nobody claims."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from rv_core import hookimpl

if TYPE_CHECKING:
    from rv_core import FileSystem, Kernel
    from rv_fs_fsspec._served import Served

_of_kernel: WeakKeyDictionary[Kernel, Served] = WeakKeyDictionary()


@hookimpl
def rv_filesystem(uri: str, mode: str, kernel: Kernel) -> FileSystem | None:
    found = _of_kernel.get(kernel)
    if found is None:
        from rv_fs_fsspec._served import Served

        found = _of_kernel.setdefault(kernel, Served())
    return found.filesystem(uri, kernel)
