"""What botocore logs on our behalf, without signatures and tokens.

At level DEBUG it writes down each request with all its headers, the answers of the services that
hand out credentials, and how it comes to a signature.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = (
    "botocore.auth",
    "botocore.crt.auth",
    "botocore.endpoint",
    "botocore.httpsession",
    "botocore.parsers",
)
_ours = threading.local()


def _may_be_logged(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG or not getattr(_ours, "asking", False)


def install() -> None:
    """Have these loggers ask us; more than once is no more than once."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_may_be_logged)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep their details to themselves, for the requests that this thread makes meanwhile."""
    before = getattr(_ours, "asking", False)
    _ours.asking = True
    try:
        yield
    finally:
        _ours.asking = before
