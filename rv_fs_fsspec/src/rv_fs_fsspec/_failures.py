"""What implementations raise, in the terms of RV's errors, and without what must stay secret."""

from __future__ import annotations

import errno
import io
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rv_core import (
    AccessDeniedError,
    AlreadyExistsError,
    NotFoundError,
    NotWritableError,
    RVError,
    StorageError,
    TransferError,
    scheme_of,
)
from rv_fs_fsspec._address import Address

_MAY_PASS: Final = (408, 425, 429)
_BUSY: Final = (429, 503)
_MAY_PASS_ERRNO: Final = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
# By name, so that nothing is imported for it: paramiko, aiohttp, httpx, requests, botocore, azure.
_MAY_PASS_NAMES: Final = re.compile(
    r"(Connect|Disconnected|Timeout|TimedOut|IncompleteRead|Payload|Transport|Protocol"
    r"|SSHException|SSHError|ServiceRequest|NoValidConnections|ChunkedEncoding)\w*\Z"
)
_DENIED_NAMES: Final = re.compile(
    r"Auth|Credential|BadHostKey|PasswordRequired|Forbidden|Permission|AccessDenied|Unauthorized"
)
_MAY_PASS_WORDS: Final = re.compile(r"socket is closed|server connection dropped|garbage packet")
_DENIED_WORDS: Final = re.compile(r"permission|denied|forbidden|not allowed|privilege")
# What Python says of a call that does not fit.
_UNKNOWN: Final = re.compile(r"unexpected keyword argument '(\w+)'")
_MISSING: Final = re.compile(r"missing a required argument: '(\w+)'")
# What is close to a secret is left out with the whole text.
_TELLING: Final = re.compile(
    r"secret|token|passw|passphrase|credential|signature|\bsig\b|authori[sz]ation|bearer"
    r"|(access|account|api|private|shared)_?-?key|x-amz|://[^/\s]*@|[?&]\w+=",
    re.IGNORECASE,
)
_LONGEST: Final = 160


def kind_of(error: Exception) -> type[Exception]:
    """The class of an error; of a library's own OSError, Python's for its number."""
    if isinstance(error, OSError) and error.errno:
        return type(OSError(error.errno, ""))
    return type(error)


@contextmanager
def failures(
    action: str, at: Address, options: Mapping[str, Any], *, exclusive: bool = False
) -> Iterator[None]:
    """Raise what an implementation raises in the block as the `StorageError` it amounts to.

    ``action``: what was asked, such as ``"read"``. ``options``: what the implementation was made
    with, of which nothing is told. The cause is not chained: it may spell secrets out.
    """
    started = time.monotonic()
    try:
        yield
    except RVError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is
        waited = time.monotonic() - started
        scheme = scheme_of(at.uri)
        unknown, missing = _UNKNOWN.search(str(error)), _MISSING.search(str(error))
        if unknown and unknown[1] in options:
            raise StorageError(
                f"cannot {action} {at.shown}: {scheme}:// has no setting {unknown[1]!r}",
                hint=f"correct it in [fsspec.{scheme}]",
            ) from None
        if missing:
            raise StorageError(
                f"cannot {action} {at.shown}: {scheme}:// needs to know {missing[1]!r}",
                hint=f"name it in the URI, or in [fsspec.{scheme}]",
            ) from None
        said = _said(error, _texts({**options, **at.connection}))
        raise _translated(error, action, at, said, waited, exclusive) from None


def _texts(options: Mapping[str, Any]) -> list[str]:
    """All texts among options that may be a secret: those that are not quite short."""
    found: list[str] = []
    for value in options.values():
        if isinstance(value, Mapping):
            found += _texts(value)
        elif isinstance(value, str) and len(value) >= 4:
            found.append(value)
    return found


def _translated(
    error: Exception, action: str, at: Address, said: str, waited: float, exclusive: bool
) -> StorageError:
    what = f"cannot {action} {at.shown}"
    code = _status_of(error)
    number = error.errno if isinstance(error, OSError) else None
    name, kind = type(error).__name__, kind_of(error)
    if issubclass(kind, FileExistsError) or (code == 412 and exclusive):
        if exclusive:
            return AlreadyExistsError(f"{what}: it exists already")
        return StorageError(
            f"{what}: a part of its path is a file, not a folder",
            hint="choose another place, or move that file away",
        )
    if issubclass(kind, IsADirectoryError):
        found = NotFoundError if action == "read" else StorageError
        return found(f"{what}: it is a folder, not a file", hint="name a file in it")
    if _is_missing(error, code, action == "write"):
        no = "its folder is not there, nor can it be made" if action == "write" else ""
        return NotFoundError(f"{what}: {no or 'there is no such file'}")
    if isinstance(error, NotImplementedError | io.UnsupportedOperation) or number == errno.EROFS:
        if action in ("write", "delete"):
            return NotWritableError(
                f"{what}: this storage is read-only, or this place in it is",
                hint="choose another place",
            )
        return StorageError(f"{what}: this storage cannot do that{said}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return StorageError(f"{what}: the server's certificate is not trusted")
    if issubclass(kind, PermissionError) or code in (401, 403, 407) or _is_denied(error, name):
        return AccessDeniedError(
            f"{what}: access was refused{said}",
            hint="look at the credentials, the settings "
            f"[fsspec.{scheme_of(at.uri)}] and the permissions",
        )
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return StorageError(
            f"{what}: the disk is full; nothing was changed there",
            hint="free some space, or choose another place",
        )
    if _may_pass(error, code, number, name):
        return TransferError(
            f"{what}: the connection or the server failed{said}",
            hint="look at the address and the network, and try again",
            stalled=waited,
            busy=code in _BUSY,
        )
    if isinstance(error, socket.gaierror):
        return StorageError(f"{what}: its host has no address", hint="look at the address")
    if isinstance(error, ImportError):
        return StorageError(f"{what}: a package is missing here{said}")
    return StorageError(f"{what}{said or f': {name}'}")


def _is_missing(error: Exception, code: int | None, writing: bool) -> bool:
    if issubclass(kind_of(error), FileNotFoundError) or code in (404, 410):
        return True
    if issubclass(kind_of(error), NotADirectoryError):
        return not writing
    # FTP has one code for "no such file" and "not allowed".
    return code == 550 and not writing and _DENIED_WORDS.search(str(error).lower()) is None


def _is_denied(error: Exception, name: str) -> bool:
    if type(error).__module__ == "ftplib":
        return _ftp_code(error) in (530, 532, 550, 553)
    # What paramiko has no class of its own for.
    return _DENIED_NAMES.search(name) is not None or "authentication method" in str(error)


def _may_pass(error: Exception, code: int | None, number: int | None, name: str) -> bool:
    if type(error).__module__ == "ftplib":
        return name in ("error_temp", "error_proto", "error_reply")
    if code is not None:
        return code in _MAY_PASS or code >= 500
    if isinstance(error, TimeoutError | ConnectionError | EOFError | ssl.SSLError):
        return True
    if number in _MAY_PASS_ERRNO or _MAY_PASS_NAMES.search(name) is not None:
        return True
    if isinstance(error, socket.gaierror):
        return number == socket.EAI_AGAIN
    return isinstance(error, OSError) and _MAY_PASS_WORDS.search(str(error).lower()) is not None


def _status_of(error: Exception) -> int | None:
    """The HTTP status that an error tells, wherever its library keeps that."""
    if type(error).__module__ == "ftplib":
        code = _ftp_code(error)
        return code if code == 550 else None
    holders = (error, getattr(error, "response", None))
    for holder in holders:
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, str) and value.isdecimal():
                value = int(value)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None


def _ftp_code(error: Exception) -> int | None:
    start = str(error)[:3]
    return int(start) if start.isdecimal() else None


def _said(error: Exception, secrets: Iterable[str]) -> str:
    """What a library said, in brackets, where that gives nothing away."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    if not text or _TELLING.search(text) or any(secret in text for secret in secrets):
        return f" ({name})"
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return f" ({name}: {text})"
