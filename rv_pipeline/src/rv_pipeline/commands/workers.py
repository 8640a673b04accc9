"""Work that is cut into blocks, done in this process or shared out to several."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from logging.handlers import QueueHandler, QueueListener
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import attrs

from rv_core import DataError, InterruptedRunError, Kernel, OnProgress, Progress

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event
    from types import FrameType

    from rv_core import KernelSpec

_LOOK_SECONDS: Final = 0.2
"""Between two looks at how far the other processes are."""

B = TypeVar("B")
R = TypeVar("R")
B_contra = TypeVar("B_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Count:
    """Units done of a stage's total, told as progress: first that there are none yet, as a while
    may pass until other processes are up."""

    def __init__(
        self, stage: str, total: int, on_progress: OnProgress, unit: str = "window"
    ) -> None:
        self.message = ""
        self._stage, self._total, self._unit = stage, total, unit
        self._on_progress = on_progress
        self._done = 0
        self._tell()

    def add(self, done: int) -> None:
        """So many more are done."""
        self._done += done
        if done:
            self._tell()

    def _tell(self) -> None:
        self._on_progress(Progress(self._stage, self._done, self._total, self._unit, self.message))


@attrs.frozen
class Surroundings:
    """What a worker has around it, in whatever process. ``tick(n)``: n more units are done.
    ``should_stop``: asked now and then; the worker raises `InterruptedRunError` where true."""

    kernel: Kernel
    tick: Callable[[int], None]
    should_stop: Callable[[], bool]


class Worker(Protocol[B_contra, R_co]):
    """Does blocks one after the other, as a context manager: it may keep files open, or a model,
    from one to the next."""

    def __enter__(self) -> Worker[B_contra, R_co]: ...

    def __exit__(self, *exc: object) -> None: ...

    def __call__(self, block: B_contra) -> R_co: ...


@attrs.frozen
class Work(Generic[B, R]):
    """``make(*arguments, surroundings)`` makes a worker; all of it can be pickled. ``name``: of
    the command, for messages."""

    name: str
    make: Callable[..., Worker[B, R]]
    arguments: tuple[Any, ...]


def do_blocks(
    work: Work[B, R],
    blocks: Sequence[B],
    workers: int,
    kernel: Kernel,
    *,
    on_tick: Callable[[int], None],
    should_stop: Callable[[], bool],
) -> Generator[R, None, None]:
    """What comes of each block, in order.

    ``on_tick`` hears of units as they get done, anywhere. Leaving the iteration early stops the
    other processes. Raises what a worker raises, `InterruptedRunError` once ``should_stop`` says
    so, and `DataError` where a process dies.
    """
    workers = min(workers, len(blocks))
    if workers <= 1:
        with work.make(*work.arguments, Surroundings(kernel, on_tick, should_stop)) as worker:
            for block in blocks:
                if should_stop():
                    raise _stopped(work)
                yield worker(block)
        return
    with _Processes(work, workers, kernel) as processes:
        futures = [processes.submit(block) for block in blocks]
        for future in futures:
            while not future.done():
                wait([future], timeout=_LOOK_SECONDS)
                on_tick(processes.ticks())
                if should_stop():
                    raise _stopped(work)
            on_tick(processes.ticks())
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise DataError(
                    f"a {work.name} worker died before its work was done",
                    hint="it may have run out of memory: use fewer workers; a script of your own "
                    "must start its work below if __name__ == '__main__':",
                ) from error


def _stopped(work: Work[B, R]) -> InterruptedRunError:
    return InterruptedRunError(f"{work.name} was stopped", hint="the next run starts it over")


class _Processes(AbstractContextManager["_Processes"]):
    """A pool of processes for one kind of work, and a count of what they have done."""

    def __init__(self, work: Work[Any, Any], workers: int, kernel: Kernel) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = context.Value("q", 0)
        self._seen = 0
        self._stop = context.Event()
        told: Queue[logging.LogRecord] = context.Queue()
        self._log = QueueListener(told, _Retold())
        self._log.start()
        level = logging.getLogger().getEffectiveLevel()
        lifeline, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            workers,
            context,
            _start,
            (work, kernel.spec(), self._count, self._stop, lifeline, told, level),
        )

    def submit(self, block: Any) -> Future[Any]:
        with _without_ctrl_c():  # this is where the pool starts a process
            return self._pool.submit(_do, block)

    def ticks(self) -> int:
        """How many units were done since the last call."""
        count = int(self._count.value)
        new, self._seen = count - self._seen, count
        return new

    def __exit__(self, *exc: object) -> None:
        with _hurried_by_ctrl_c(self._lifeline.close):
            if exc[0] is not None:
                self._stop.set()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._log.stop()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep SIGINT from processes that start meanwhile; one that comes here is handled after it.

    A process inherits what is blocked, so that Ctrl-C in a terminal, which is for the whole group,
    does not end it with a traceback before it can say that it does not care.
    """
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _hurried_by_ctrl_c(hurry: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C meanwhile calls ``hurry``, and interrupts only afterwards: a thread whose ``join`` is
    interrupted counts as ended, and Python would hang at its own end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals, and is interrupted by them
        return
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        hurry()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


class _Retold(logging.Handler):
    """Says here what was said in another process, with what is set for its logger here."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


_worker: Callable[[], Worker[Any, Any]] | None = None


def _start(
    work: Work[Any, Any],
    kernel: KernelSpec,
    count: Synchronized[int],
    stop: Event,
    lifeline: Connection,
    told: Queue[logging.LogRecord],
    level: int,
) -> None:
    """Ctrl-C is for the parent to deal with; a process whose parent is gone, or has let go of the
    lifeline, ends, as nobody would ever ask it for anything. The worker is made with the first
    block, so that what goes wrong there reaches the parent."""
    global _worker  # noqa: PLW0603  # a process has one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    log = logging.getLogger()
    log.handlers[:] = [QueueHandler(told)]
    log.setLevel(level)

    def tick(done: int) -> None:
        with count.get_lock():
            count.value += done

    made: list[Worker[Any, Any]] = []

    def worker() -> Worker[Any, Any]:
        if stop.is_set():
            raise _stopped(work)
        if not made:
            surroundings = Surroundings(Kernel.from_spec(kernel), tick, stop.is_set)
            begun = work.make(*work.arguments, surroundings)
            made.append(begun.__enter__())
            atexit.register(begun.__exit__, None, None, None)
        return made[0]

    _worker = worker


def _do(block: Any) -> Any:
    assert _worker is not None
    try:
        return _worker()(block)
    except Exception as error:
        if _travels(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _travels(error: Exception) -> bool:
    """Whether an error survives the way to another process; not every class's does, and the pool
    would take the worker for dead."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # it was made right here
    except Exception:  # noqa: BLE001  # whatever a third party's class raises
        return False
    return True


def _end_with_parent(lifeline: Connection) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel, lifeline])
        os._exit(1)
