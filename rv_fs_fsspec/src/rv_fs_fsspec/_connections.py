"""Instances of an implementation: shared where that is safe, else each for one user at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.dircache import DirCache

from rv_core import AccessDeniedError, AlreadyExistsError, NotFoundError, TransferError

_IDLE: Final = 4
_CLEAN: Final = (AccessDeniedError, AlreadyExistsError, GeneratorExit, NotFoundError)

Failures = Callable[[], AbstractContextManager[None]]
"""Makes the context in which what an implementation raises becomes RV's errors."""

# Of processes that were forked: their connections are their parents', and cleaning them up would
# speak on them.
_left_behind: list[object] = []


class Connections:
    """Instances made by ``make(arguments)``, by the arguments that come from a URI.

    Implementations without an event loop are not safe for threads, some not even for two open
    files: each is lent to one user at a time, and kept for the next. fsspec's own cache of
    instances is left alone. ``abandon`` is told of an instance that belongs to the parent of a
    forked process.
    """

    def __init__(
        self,
        make: Callable[[Mapping[str, Any]], AbstractFileSystem],
        *,
        shared: bool,
        abandon: Callable[[AbstractFileSystem], None] | None = None,
    ) -> None:
        self._make = make
        self._shared = shared
        self._abandon = abandon
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free: dict[tuple[object, ...], list[AbstractFileSystem]] = {}

    @contextmanager
    def use(self, arguments: Mapping[str, Any], failures: Failures) -> Iterator[AbstractFileSystem]:
        """An instance for the block. It is not used again after an error that may have come in
        the middle of an answer: the rest would be read as the next one's."""
        with failures():
            lent = self.take(arguments)
        try:
            with failures():
                yield lent
        except _CLEAN:
            self.give_back(arguments, lent)
            raise
        except TransferError:
            if not self._shared:
                with self._lock:  # those that lie idle are likely to be as dead
                    self._free.pop(_key(arguments), None)
            raise
        else:
            self.give_back(arguments, lent)

    def take(self, arguments: Mapping[str, Any]) -> AbstractFileSystem:
        """An instance that is the caller's until `give_back`, where it is not shared."""
        key = _key(arguments)
        self._after_fork()
        with self._lock:
            free = self._free.setdefault(key, [])
            if free:
                return free[0] if self._shared else free.pop()
            if self._shared:
                free.append(self._new(arguments))
                return free[0]
        return self._new(arguments)

    def give_back(self, arguments: Mapping[str, Any], lent: AbstractFileSystem) -> None:
        """Keep an instance for the next user, up to a few."""
        if self._shared or self._pid != os.getpid():
            return
        with self._lock:
            free = self._free.setdefault(_key(arguments), [])
            if len(free) < _IDLE:
                free.append(lent)

    def leave(self, lent: AbstractFileSystem, *used: object) -> None:
        """Let go of an instance that a forked process has from its parent, with what uses it."""
        _left_behind.append((lent, *used))
        if self._abandon is not None:
            self._abandon(lent)

    def _new(self, arguments: Mapping[str, Any]) -> AbstractFileSystem:
        made = self._make(arguments)
        # By its argument not every constructor can be told.
        if type(made.__dict__.get("dircache")) is DirCache:
            made.dircache = DirCache(use_listings_cache=False)
        return made

    def _after_fork(self) -> None:
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._lock = threading.Lock()  # another thread may have held it
        old, self._free = self._free, {}
        for instance in (each for free in old.values() for each in free):
            self.leave(instance)


def _key(arguments: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(sorted((name, repr(value)) for name, value in arguments.items()))
