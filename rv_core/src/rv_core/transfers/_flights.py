"""How many transfers are in flight at a time: as many as the server lets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancelled(BaseException):
    """Raised inside work that is given up, so that it cleans up; never seen outside."""


class Flights:
    """At most ``most`` at a time, and fewer while a server says that these are too many.

    As TCP finds out what a network carries (additive increase, multiplicative decrease, RFC 5681):
    a refusal halves the number, and as many requests as it lets, all served, make it one more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._flying = 0
        self._closed = False
        self._changed = threading.Condition()
        self.cuts = 0
        """How often the number was halved."""
        self.served = 0
        """How many requests were served."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """A transfer of this thread, begun when there is room; what it asks for by `Retries`
        counts. Raises `Cancelled` once this is closed."""
        with self._changed:
            self._wait_for_room()
            self._flying += 1
        others = getattr(_of_thread, "flights", None)
        _of_thread.flights = self
        try:
            yield
        finally:
            _of_thread.flights = others
            with self._changed:
                self._flying -= 1
                self._changed.notify()

    def wait_in_line(self) -> None:
        """Before the transfer of this thread asks again: let others go first if too many are in
        flight."""
        with self._changed:
            if self._flying > self._limit:
                self._flying -= 1
                try:
                    self._wait_for_room()
                finally:
                    self._flying += 1

    def was_served(self) -> None:
        with self._changed:
            self.served += 1
            if self._limit < self._most:
                self._limit = min(self._most, self._limit + 1 / self._limit)
                self._changed.notify()

    def was_refused(self, cuts: int) -> bool:
        """Note a refusal of what was asked after so many cuts: one that is older than the last
        cut says nothing of it. Returns whether there will be fewer now."""
        with self._changed:
            most = min(self._limit, self._flying)
            if most < 2 or cuts != self.cuts:
                return False
            self._limit = most / 2
            self.cuts += 1
            return True

    def close(self) -> None:
        """Nothing is begun any more, nor goes on from the line."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait_for_room(self) -> None:
        self._changed.wait_for(lambda: self._closed or self._flying < int(self._limit))
        if self._closed:
            raise Cancelled


def flights_of_thread() -> Flights:
    """Those that the transfer of this thread belongs to, or none but itself."""
    found: Flights | None = getattr(_of_thread, "flights", None)
    return found or Flights(1)


_of_thread = threading.local()
