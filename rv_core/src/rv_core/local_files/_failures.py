"""What the operating system says, in the terms of RV's errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rv_core._errors import AccessDeniedError, NotFoundError, NotWritableError, StorageError
from rv_core.local_files._paths import is_file_uri

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def failures(action: str, uri: str) -> Iterator[None]:
    """Raise an `OSError` of the block as the `StorageError` it amounts to.

    ``action``: what was asked, such as ``"read"``, for the message.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, action, uri) from error


def storage_error(error: OSError, action: str, uri: str) -> StorageError:
    """The `StorageError` that an `OSError` amounts to."""
    code = error.errno
    if code == errno.ENOENT or (code == errno.ENOTDIR and action != "write"):
        return NotFoundError(f"cannot {action} {uri}: there is no such file", hint=_looked_in(uri))
    if code == errno.EROFS:
        return NotWritableError(
            f"cannot {action} {uri}: the file system is read-only", hint="choose another place"
        )
    if code in (errno.EACCES, errno.EPERM):
        return AccessDeniedError(
            f"cannot {action} {uri}: permission denied",
            hint="look at the permissions of the file and of its folder",
        )
    if code in _FULL:
        return StorageError(
            f"cannot {action} {uri}: the disk is full; nothing was changed there",
            hint="free some space, or choose another place",
        )
    if code == errno.EISDIR:
        return is_folder(action, uri)
    if code in (errno.ENOTDIR, errno.EEXIST):
        return StorageError(
            f"cannot {action} {uri}: a part of its path is a file, not a folder",
            hint="choose another place, or move that file away",
        )
    reason = error.strerror or type(error).__name__
    return StorageError(f"cannot {action} {uri}: {reason[0].lower()}{reason[1:]}")


def is_folder(action: str, uri: str) -> StorageError:
    """The error for a folder where a file was asked for; reading finds no file there."""
    kind = NotFoundError if action == "read" else StorageError
    return kind(
        f"cannot {action} {uri}: it is a folder, not a file",
        hint="name a file in it" if action == "read" else "choose another name",
    )


def _looked_in(uri: str) -> str | None:
    """Only what costs nothing: programs ask for files that are not there all the time."""
    if is_file_uri(uri) or os.path.isabs(uri) or uri.startswith("~"):
        return None
    try:
        return f"relative paths start at the working folder, {os.getcwd()}"
    except OSError:
        return "relative paths start at the working folder, which is gone"
