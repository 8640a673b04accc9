"""What rasterio logs on our behalf, without the addresses of remote files, which may be signed.

What matters of it is raised, and told by us.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ours = threading.local()


def _may_be_logged(_: logging.LogRecord) -> bool:
    return not getattr(_ours, "reading", False)


def _install() -> None:
    """Have rasterio's loggers ask us; more than once is no more than once."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "rasterio":
            logging.getLogger(name).addFilter(_may_be_logged)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep rasterio's details to itself, for what this thread does meanwhile."""
    _install()
    before = getattr(_ours, "reading", False)
    _ours.reading = True
    try:
        yield
    finally:
        _ours.reading = before
