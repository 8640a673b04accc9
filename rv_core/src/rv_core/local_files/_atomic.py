"""Files that appear under their name when they are whole, or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rv_core._errors import AlreadyExistsError
from rv_core.local_files._failures import is_folder, storage_error
from rv_core.local_files._part_writer import PartWriter
from rv_core.local_files._parts import part_name, sweep

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SETTLE_BYTES: Final = 64 << 20
"""So much of a durable file waits for the disk at most: while it does, nobody hears Ctrl-C."""
_NO_HARD_LINKS: Final = {
    errno.EPERM,
    errno.ENOSYS,
    errno.EMLINK,
    getattr(errno, "ENOTSUP", errno.ENOSYS),
    getattr(errno, "EOPNOTSUPP", errno.ENOSYS),
}


def open_for_writing(
    path: str, uri: str, *, exclusive: bool = False, follow: bool = True, durable: bool = True
) -> io.BufferedWriter:
    """A stream whose file takes the place of ``path`` when it is closed.

    Folders on the way are made. A device or a pipe is written as it is. ``exclusive``:
    `AlreadyExistsError`, here or on closing, where anything is at ``path``. ``follow``: a symbolic
    link at ``path`` stays, and the file it leads to is replaced; otherwise the link is.
    ``durable``: once closed, the file survives a power cut; what can be had again need not wait
    for the disk. Raises `StorageError`; ``uri`` is for its message.
    """
    if path.endswith(("/", os.sep)):
        raise is_folder("write", uri)
    try:
        if exclusive and os.path.lexists(path):
            raise _exists(uri)
        # Asked by its own name: what /dev/stdout leads to has none.
        old = _stat(path, follow and not exclusive)
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise is_folder("write", uri)
        if old is not None and not stat.S_ISREG(old.st_mode):
            return open(path, "wb")  # replacing it would turn it into a file
        target = path if exclusive or not follow else os.path.realpath(path)
        if old is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
        return AtomicWriter(target, uri, old, exclusive=exclusive, durable=durable)
    except OSError as error:
        raise storage_error(error, "write", uri) from error


class AtomicWriter(PartWriter):
    """Writes a hidden file beside ``target``, and moves it there on `close`.

    What writers that died left in the folder goes too.
    """

    def __init__(
        self,
        target: str,
        uri: str,
        old: os.stat_result | None = None,
        *,
        exclusive: bool = False,
        durable: bool = True,
    ) -> None:
        self._target = target
        self._exclusive = exclusive
        self._durable = durable
        self._unsettled = 0
        folder = os.path.dirname(target)
        part = os.path.join(folder, part_name())
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        # The system takes the umask off; a file that is overwritten is never more open than it was.
        mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o666
        flags |= getattr(os, "O_CLOEXEC", 0)
        try:
            handle = os.open(part, flags, mode)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            handle = os.open(part, flags, mode)
        try:
            if old is not None:
                _keep_ownership(handle, old)
            super().__init__(handle, part, uri)
        except BaseException:
            os.close(handle)
            os.unlink(part)
            raise
        sweep(folder)

    def write(self, data: ReadableBuffer, /) -> int:
        """Like any stream's; raises `StorageError` where the disk is full or fails."""
        count = super().write(data)
        self.settle(count)
        return count

    def settle(self, count: int) -> None:
        """Note that so many bytes more were written, by this object or past it: a durable file
        goes to the disk bit by bit, since all of a large one may take a minute at its end."""
        self._unsettled += count
        if not self._durable or self._unsettled < _SETTLE_BYTES:
            return
        self._unsettled = 0
        self.flush()
        with self.failing():
            _sync_data(self.fileno())

    def publish(self) -> None:
        """Move the file to its name; an earlier one is replaced, or kept if that fails."""
        with self.failing():
            if self._durable:
                os.fsync(self.fileno())
            self.raw.close()
            self._move()
            if self._durable:
                _fsync_folder(os.path.dirname(self._target))

    def _move(self) -> None:
        if not self._exclusive:
            os.replace(self.part, self._target)
            return
        try:
            if os.name == "nt":
                os.rename(self.part, self._target)  # which on Windows replaces nothing
            else:
                os.link(self.part, self._target)
        except FileExistsError:
            raise _exists(self.uri) from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            self._claim_and_replace()

    def _claim_and_replace(self) -> None:
        """Publish where there are no hard links: the name is taken by an empty file first, which
        only one of several writers can make."""
        try:
            os.close(os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            raise _exists(self.uri) from None
        os.replace(self.part, self._target)


def _sync_data(handle: int) -> None:
    """`os.fsync`, but for times and the like, where the system tells them apart."""
    getattr(os, "fdatasync", os.fsync)(handle)


def _exists(uri: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"cannot create {uri}: it exists already")


def _stat(path: str, follow: bool) -> os.stat_result | None:
    """What is at a path; ``None`` for nothing, and for a link that is not to be followed."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except FileNotFoundError:
        return None
    return None if stat.S_ISLNK(found.st_mode) else found


def _keep_ownership(handle: int, old: os.stat_result) -> None:
    if os.name == "nt":
        return
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):  # only root gives files away
            os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _fsync_folder(folder: str) -> None:
    """Make the new name itself survive a power cut, where the system knows how."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
