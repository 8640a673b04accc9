"""Progress, reported through one callback; the library itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs


@attrs.frozen
class Progress:
    """How far a piece of work has come.

    ``stage``: a short name such as ``"TRAIN"`` or ``"download"``. ``done`` of ``total`` in
    ``unit`` (``"B"``, ``"chip"``, ``"step"``); ``total`` is ``None`` while it is not known.
    ``values``: numbers worth showing beside the bar, such as the loss.
    """

    stage: str
    done: float
    total: float | None = None
    unit: str = ""
    message: str = ""
    values: Mapping[str, float] = attrs.field(factory=dict)


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The callback of those who do not want to know."""
