"""When to try again, and how long to wait before."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from rv_core._errors import TransferError
from rv_core.transfers._flights import flights_of_thread

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from rv_core.transfers._flights import Flights

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@attrs.frozen
class Retries:
    """Calls something again while it raises `TransferError`, the error of what may pass.

    ``attempts``: calls in all. ``min_wait``, ``max_wait``: seconds between them, drawn at random
    from a span that doubles each time (full jitter: https://aws.amazon.com/blogs/architecture/
    exponential-backoff-and-jitter/). ``max_retry_after``: seconds a server's ``Retry-After`` is
    obeyed up to; one that asks for more has the error raised at once. ``patience``: seconds
    without progress, waits and stalls together, after which there is no further attempt.

    Among the transfers of `run_parallel`, a server that is busy (`TransferError.busy`) is sent
    fewer at a time. As long as that, or its serving others meanwhile, gives hope to be served
    next, attempts and patience begin anew.
    """

    attempts: int = 6
    min_wait: float = 0.1
    max_wait: float = 5.0
    max_retry_after: float = 20.0
    patience: float = 20.0

    def __call__(self, do: Callable[[], _T]) -> _T:
        """What ``do()`` returns, once it does; raises its last error."""
        flights = flights_of_thread()
        course = _Course(self, flights)
        # Most calls succeed: tenacity is imported for those that do not.
        try:
            found = do()
        except TransferError as error:
            first: TransferError | None = error
        else:
            flights.was_served()
            return found
        from tenacity import Retrying, retry_if_exception_type

        def again() -> _T:
            nonlocal first
            if first is not None:  # the first attempt has been made
                error, first = first, None
                raise error
            course.begin()
            found = do()
            flights.was_served()
            return found

        return Retrying(
            retry=retry_if_exception_type(TransferError),
            wait=course.wait,
            stop=course.stop,
            before_sleep=_log,
            reraise=True,
        )(again)


class _Course:
    """What has come of the attempts of one call."""

    def __init__(self, limits: Retries, flights: Flights) -> None:
        self._limits = limits
        self._flights = flights
        self._cuts, self._served = flights.cuts, flights.served
        self._attempts = 0
        self._lost = 0.0

    def begin(self) -> None:
        self._flights.wait_in_line()
        self._cuts = self._flights.cuts

    def wait(self, state: RetryCallState) -> float:
        """Asked first after every attempt that failed."""
        error, limits = _error_of(state), self._limits
        if error.busy and self._is_next():
            self._attempts, self._lost = 0, 0.0
        self._attempts += 1
        if error.retry_after is not None:
            seconds = error.retry_after
        else:
            span = min(limits.max_wait, limits.min_wait * 2**self._attempts)
            seconds = random.uniform(limits.min_wait, span)  # noqa: S311
        self._lost += error.stalled + seconds
        return seconds

    def stop(self, state: RetryCallState) -> bool:
        limits = self._limits
        return (
            self._attempts >= limits.attempts
            or (_error_of(state).retry_after or 0) > limits.max_retry_after
            or self._lost > limits.patience
        )

    def _is_next(self) -> bool:
        """Whether a refusal by a busy server makes it serve us sooner, or has served others."""
        before, self._served = self._served, self._flights.served
        return self._flights.was_refused(self._cuts) or self._served > before


def _error_of(state: RetryCallState) -> TransferError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, TransferError):
        raise TypeError(f"an outcome that is no TransferError is not retried: {error!r}")
    return error


def _log(state: RetryCallState) -> None:
    logger.info(
        "%s (attempt %d; the next in %.1f s)",
        _error_of(state),
        state.attempt_number,
        state.upcoming_sleep,
    )
