"""Who of many threads may keep the interpreter busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """One thread at a time prepares its request or looks at its answer.

    The interpreter runs one at a time anyway, and sixty that fight for it take half as long again.
    """

    def __init__(self) -> None:
        # Not a lock: Ctrl-C may come between giving it up and taking it again.
        self._free = threading.Semaphore(1)
        self._of_thread = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        with self._free:
            self._of_thread.has_it = True
            try:
                yield
            finally:
                self._of_thread.has_it = False

    @contextmanager
    def lent(self) -> Iterator[None]:
        """As long as this thread waits for the network, others may have its turn, if it has it."""
        if not getattr(self._of_thread, "has_it", False):
            yield
            return
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
