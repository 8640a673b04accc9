"""The log as ``rv`` shows it; a library leaves logging to whoever runs it, and here that is us."""

from __future__ import annotations

import logging
import sys

from rv_core import without_password

_OURS = "rv_"
_THRESHOLDS = {
    # Verbosity -> the least level shown of RV's own loggers, and of all others.
    -1: (logging.ERROR, logging.CRITICAL),
    0: (logging.WARNING, logging.ERROR),
    1: (logging.INFO, logging.WARNING),
    2: (logging.DEBUG, logging.INFO),
}


def show_log(verbosity: int) -> None:
    """Show the log on stderr, one line per record; may be called again to change how much."""
    ours, others = _THRESHOLDS[min(verbosity, 2)]
    log = logging.getLogger()
    log.setLevel(min(ours, others))
    for handler in log.handlers[:]:
        if isinstance(handler, _Lines):
            log.removeHandler(handler)
    log.addHandler(_Lines(ours, others, named=verbosity > 1))


class _Lines(logging.Handler):
    def __init__(self, ours: int, others: int, *, named: bool) -> None:
        super().__init__(min(ours, others))
        self._ours, self._others, self._named = ours, others, named

    def filter(self, record: logging.LogRecord) -> bool:
        least = self._ours if record.name.startswith(_OURS) else self._others
        return record.levelno >= least and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = " ".join(without_password(record.getMessage()).split())
            name = f"{record.name}: " if self._named else ""
            level = record.levelname.capitalize() + ": " if record.levelno != logging.INFO else ""
            # Looked up now: a progress bar takes the place of the stream while it is drawn.
            sys.stderr.write(f"{level}{name}{said}\n")
        except Exception:  # noqa: BLE001
            self.handleError(record)
