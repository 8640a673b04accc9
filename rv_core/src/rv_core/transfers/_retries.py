"""When to try again, and how long to wait before."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from rv_core._errors import TransferError

if TYPE_CHECKING:
    from tenacity import RetryCallState

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
    """

    attempts: int = 6
    min_wait: float = 0.1
    max_wait: float = 5.0
    max_retry_after: float = 20.0
    patience: float = 20.0

    def __call__(self, do: Callable[[], _T]) -> _T:
        """What ``do()`` returns, once it does; raises its last error."""
        # Most calls succeed: tenacity is imported for those that do not.
        try:
            return do()
        except TransferError as error:
            first: TransferError | None = error
        from tenacity import Retrying, retry_if_exception_type

        lost = 0.0

        def again() -> _T:
            nonlocal first
            if first is not None:  # the first attempt has been made
                error, first = first, None
                raise error
            return do()

        def wait(state: RetryCallState) -> float:
            error = _error_of(state)
            if error.retry_after is not None:
                return error.retry_after
            span = min(self.max_wait, self.min_wait * 2**state.attempt_number)
            return random.uniform(self.min_wait, span)  # noqa: S311

        def stop(state: RetryCallState) -> bool:
            nonlocal lost
            error = _error_of(state)
            lost += error.stalled
            return (
                state.attempt_number >= self.attempts
                or (error.retry_after or 0) > self.max_retry_after
                or lost + state.idle_for + state.upcoming_sleep > self.patience
            )

        return Retrying(
            retry=retry_if_exception_type(TransferError),
            wait=wait,
            stop=stop,
            before_sleep=_log,
            reraise=True,
        )(again)


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
