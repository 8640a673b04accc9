"""What urllib3 logs on our behalf, without the queries: a signature is as good as a password."""

from __future__ import annotations

import logging
import threading
from typing import Final

_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


class Quiet(threading.local):
    """``asking``: whether this thread makes a request of ours, so that what it logs is changed."""

    asking = False


QUIET: Final = Quiet()


class _WithoutQueries(logging.Filter):
    """Passes everything on."""

    def filter(self, record: logging.LogRecord) -> bool:
        if QUIET.asking:
            words = record.getMessage().split(" ")
            record.msg, record.args = " ".join(word.partition("?")[0] for word in words), ()
        return True


_filter: Final = _WithoutQueries()


def keep_queries_out() -> None:
    """Of what is logged while `QUIET` says that we are asking, from now on."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # which is there once, however often it is added
