"""Many small pieces of work at once, given up promptly."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

from rv_core.transfers._flights import Cancelled, Flights

_T = TypeVar("_T")
_R = TypeVar("_R")

GRACE_SECONDS: Final = 0.5
TICK_SECONDS: Final = 0.2


def run_parallel(
    do: Callable[[_T, Callable[[], None]], _R],
    items: Iterable[_T],
    threads: int,
    tick: Callable[[], None] = lambda: None,
) -> Generator[tuple[_T, _R | BaseException], None, None]:
    """Call ``do(item, check)`` for every item in ``threads`` threads; in fewer while servers say
    that these are too many at a time (`TransferError.busy`, noticed by `Retries`).

    Yields each item with what came of it, in the order they end; an error is yielded, not raised.
    Items are drawn from the iterable as threads become free, by the thread that iterates. When
    the iteration ends early (an exception such as Ctrl-C, or `close`), nothing new is begun,
    ``check()`` raises `Cancelled` in the threads, and those that do not hear of it within half a
    second are left to end by themselves: as daemons they do not hold up the end of the process,
    as those of `concurrent.futures` would. ``tick`` is called a few times a second by the thread
    that iterates while it waits, so that it can tell how far the others have come.
    """
    todo: queue.SimpleQueue[_T | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[_T, _R | BaseException]] = queue.SimpleQueue()
    cancelled = threading.Event()
    flights = Flights(threads)

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled

    def work() -> None:
        while (item := todo.get()) is not None and not cancelled.is_set():
            try:
                with flights.one():
                    result = do(item, check)
                done.put((item, result))
            except BaseException as error:  # noqa: BLE001  the caller decides
                done.put((item, error))

    def ended() -> tuple[_T, _R | BaseException]:
        while True:
            try:
                # Not for ever: on Windows, Ctrl-C is not heard in the middle of waiting.
                return done.get(timeout=TICK_SECONDS)
            except queue.Empty:
                tick()

    workers: list[threading.Thread] = []
    running = 0
    left = iter(items)
    try:
        for item in left:
            if len(workers) < threads:
                worker = threading.Thread(target=work, daemon=True, name="rv transfer")
                worker.start()
                workers.append(worker)
            todo.put(item)
            running += 1
            # One item per thread and one waiting each, so that no thread is ever idle.
            while running >= 2 * threads:
                yield ended()
                running -= 1
        while running:
            yield ended()
            running -= 1
    finally:
        if running:
            cancelled.set()
            flights.close()
        for _ in workers:
            todo.put(None)
        end = time.monotonic() + GRACE_SECONDS
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
