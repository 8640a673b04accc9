"""RV's errors as those that users of fsspec expect."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from rv_core import (
    AccessDeniedError,
    AlreadyExistsError,
    NotFoundError,
    NotWritableError,
    PluginDependencyError,
    StorageError,
    UnknownKeyError,
)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raise a `StorageError` of the block as the OSError it amounts to, a scheme that nobody serves
    as a ValueError and one whose package is missing as an ImportError, as fsspec does; with RV's
    message and hint."""
    try:
        yield
    except StorageError as error:
        kind, number = OSError, errno.EIO
        if isinstance(error, NotFoundError):
            kind, number = FileNotFoundError, errno.ENOENT
        elif isinstance(error, AlreadyExistsError):
            kind, number = FileExistsError, errno.EEXIST
        elif isinstance(error, AccessDeniedError):
            kind, number = PermissionError, errno.EACCES
        elif isinstance(error, NotWritableError):
            number = errno.EROFS
        raise kind(number, _text(error.message, error.hint)) from error
    except UnknownKeyError as error:
        raise ValueError(_text(error.message, error.hint)) from error
    except PluginDependencyError as error:
        raise ImportError(_text(error.message, error.hint)) from error


def _text(message: str, hint: str | None) -> str:
    return f"{message} ({hint})" if hint else message
