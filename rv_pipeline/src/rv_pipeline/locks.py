"""A lock that keeps two runs off one output, on any storage that can create exclusively."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import AlreadyExistsError, NotFoundError, RVError, StorageError, without_password

if TYPE_CHECKING:
    from rv_core import Kernel

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 1.0
"""Between two looks at a lock that another run holds."""
STALE_SECONDS: Final = 180.0
"""An owner on another machine that has not been heard of for so long is taken for dead."""


@attrs.frozen
class Owner:
    """Who holds a lock. ``started`` tells a process from a later one of the same number.

    ``heard``: seconds since the epoch, by the owner's clock.
    """

    token: str
    host: str
    pid: int
    started: str
    heard: float

    @classmethod
    def me(cls) -> Owner:
        pid = os.getpid()
        return cls(uuid.uuid4().hex, _host(), pid, _process_start(pid), time.time())

    def to_bytes(self) -> bytes:
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Owner | None:
        try:
            fields = json.loads(data)
            return cls(**{field.name: fields[field.name] for field in attrs.fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None

    def is_dead(self) -> bool:
        """Certainly, for a process of this machine; by its silence, for another's."""
        if self.host == _host() and os.name != "nt":  # where a signal 0 asks and does no harm
            return not _is_running(self.pid) or _process_start(self.pid) != self.started
        return time.time() - self.heard > STALE_SECONDS


class Lock:
    """A lock that this process holds."""

    def __init__(self, uri: str, kernel: Kernel, owner: Owner) -> None:
        self.uri = uri
        self._kernel = kernel
        self._owner = owner
        self._released = threading.Event()
        self._lost = False
        self._beat = threading.Thread(target=self._keep_beating, name="rv-lock", daemon=True)
        self._beat.start()

    def check(self) -> None:
        """Raise where another run has taken the lock in the meantime."""
        if self._lost or not self._is_mine():
            raise StorageError(
                f"another run has taken over {self.uri}",
                hint="this run was silent for too long; see which one should go on, and run again",
            )

    def release(self) -> None:
        self._released.set()
        self._beat.join()
        with suppress(RVError):
            if self._is_mine():
                self._kernel.files.delete(self.uri)

    def _is_mine(self) -> bool:
        found = _read(self.uri, self._kernel)
        return found is not None and found.token == self._owner.token

    def _keep_beating(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                if not self._is_mine():
                    self._lost = True
                    return
                alive = attrs.evolve(self._owner, heard=time.time())
                self._kernel.files.write_bytes(self.uri, alive.to_bytes())
            except RVError as error:
                logger.warning("cannot renew the lock %s: %s", without_password(self.uri), error)


@contextmanager
def locked(
    uri: str, kernel: Kernel, *, keep_waiting: Callable[[AlreadyExistsError], bool] | None = None
) -> Iterator[Lock]:
    """Hold the lock file at ``uri``. The lock of a dead run is taken over.

    While another run holds it, ``keep_waiting`` is asked every `WAIT_SECONDS`, with the error that
    says who does. Raises that error, `AlreadyExistsError`, where it says no or is not given.
    """
    while True:
        try:
            owner = _acquire(uri, kernel)
            break
        except AlreadyExistsError as error:
            if keep_waiting is None or not keep_waiting(error):
                raise
        time.sleep(WAIT_SECONDS)
    lock = Lock(uri, kernel, owner)
    try:
        yield lock
    finally:
        lock.release()


def holder(uri: str, kernel: Kernel) -> Owner | None:
    """Who holds the lock file at ``uri``; ``None`` where nobody does that is alive."""
    owner = _read(uri, kernel)
    return None if owner is None or owner.is_dead() else owner


def in_use(folder: str, owner: Owner, how: str = "in use") -> AlreadyExistsError:
    """The error that says who is in the way."""
    return AlreadyExistsError(
        f"{folder} is {how} by process {owner.pid} on {owner.host}",
        hint="wait for that run to end, or stop it; a run that died is noticed by itself",
    )


def _acquire(uri: str, kernel: Kernel) -> Owner:
    me = Owner.me()
    for _ in range(3):
        try:
            _create(uri, me, kernel)
            return me
        except AlreadyExistsError:
            other = _read(uri, kernel)
        if other is None:
            continue  # released, or being written, at this moment
        if not other.is_dead():
            raise in_use(_folder(uri), other)
        shown = without_password(uri)
        logger.warning("taking over %s from process %d, which is gone", shown, other.pid)
        _take_over(uri, other, me, kernel)
        return me
    raise StorageError(
        f"cannot get the lock {uri}: it is there, but does not say whose it is",
        hint=f"if no other run is using this output, delete {uri}",
    )


def _take_over(uri: str, dead: Owner, me: Owner, kernel: Kernel) -> None:
    """Replace a dead owner's lock; of several that try, the one that makes the claim file does."""
    claim = f"{uri}.{dead.token}"
    try:
        _create(claim, me, kernel)
    except AlreadyExistsError:
        rival = _read(claim, kernel)
        if rival is None or not rival.is_dead():
            raise in_use(_folder(uri), rival or dead) from None
        _take_over(claim, rival, me, kernel)
    try:
        current = _read(uri, kernel)
        if current is None or current.token != dead.token:
            raise in_use(_folder(uri), current or dead)
        kernel.files.write_bytes(uri, me.to_bytes())
    finally:
        with suppress(NotFoundError):
            kernel.files.delete(claim)


def _create(uri: str, owner: Owner, kernel: Kernel) -> None:
    with kernel.files.open(uri, "xb") as stream:
        stream.write(owner.to_bytes())


def _read(uri: str, kernel: Kernel) -> Owner | None:
    try:
        return Owner.from_bytes(kernel.files.read_bytes(uri))
    except NotFoundError:
        return None


def _folder(uri: str) -> str:
    return uri.rsplit("/", 1)[0]


def _host() -> str:
    return socket.gethostname()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OSError):
        return True
    return True


def _process_start(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where the system does not tell.

    A zombie counts as not running, hence has no start.
    """
    try:
        stat: Any = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
