"""What urllib3 logs on our behalf, without the queries: a signature is as good as a password."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")
_ours = threading.local()


class _WithoutQueries(logging.Filter):
    """Passes everything on; changes only what is logged inside `quiet`, of this thread."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_ours, "asking", False):
            record.msg, record.args = _WithoutQueries._shown(record), ()
        return True

    @staticmethod
    def _shown(record: logging.LogRecord) -> str:
        words = record.getMessage().split(" ")
        return " ".join(word.partition("?")[0] for word in words)


_filter: Final = _WithoutQueries()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep queries out of urllib3's log, for the requests that this thread makes meanwhile."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # which is there once, however often it is added
    _ours.asking = True
    try:
        yield
    finally:
        _ours.asking = False
