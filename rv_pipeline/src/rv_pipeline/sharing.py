"""Who uses an output: one run that writes it, or any number that read it.

A writer holds the output's lock file; a reader leaves a mark of its own beside it. Each puts its
file there first and looks for the other's then, so that of two that come at the same time at least
one sees the other. A reader that sees a writer takes its marks back and waits without any; a writer
that sees readers waits for them, and new ones wait for it. So whoever waits for a reader waits for
one that works or waits for readers further down the workflow, never in a circle.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rv_core import AccessDeniedError, AlreadyExistsError, NotWritableError
from rv_pipeline.locks import WAIT_SECONDS, Lock, holder, in_use, locked
from rv_pipeline.outputs import LOCK_NAME, READER_PREFIX, Output

KeepWaiting = Callable[[AlreadyExistsError], bool]
"""Asked every `WAIT_SECONDS` while another run is in the way, with the error that says which."""


@contextmanager
def writing(output: Output, keep_waiting: KeepWaiting) -> Iterator[Lock]:
    """Hold an output that nobody else writes or reads meanwhile.

    Raises the `AlreadyExistsError` that ``keep_waiting`` is asked with where it says no.
    """
    with locked(output.path(LOCK_NAME), output.kernel, keep_waiting=keep_waiting) as lock:
        while (reader := next(output.readers(), None)) is not None:
            _wait(in_use(output.uri, reader, "being read"), keep_waiting)
        yield lock


@contextmanager
def reading(outputs: Sequence[Output], keep_waiting: KeepWaiting) -> Iterator[Sequence[Lock]]:
    """Keep others from writing outputs meanwhile; where one may only be read, it is.

    Raises the `AlreadyExistsError` that ``keep_waiting`` is asked with where it says no.
    """
    while True:
        with ExitStack() as held:
            marks = []
            for output in outputs:
                name = f"{READER_PREFIX}{uuid.uuid4().hex}.json"
                try:
                    marks.append(held.enter_context(locked(output.path(name), output.kernel)))
                except (AccessDeniedError, NotWritableError):
                    continue
            busy = _busy(outputs)
            if busy is None:
                yield marks
                return
        _wait(busy, keep_waiting)


def _busy(outputs: Sequence[Output]) -> AlreadyExistsError | None:
    """What is in the way of those who want to read, if anything is."""
    for output in outputs:
        writer = holder(output.path(LOCK_NAME), output.kernel)
        if writer is not None:
            return in_use(output.uri, writer)
    return None


def _wait(error: AlreadyExistsError, keep_waiting: KeepWaiting) -> None:
    if not keep_waiting(error):
        raise error
    time.sleep(WAIT_SECONDS)
