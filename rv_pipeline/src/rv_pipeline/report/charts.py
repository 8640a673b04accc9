"""Training curves: from the history that a backend leaves to lines in a frame with axes."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import NotFoundError, RVError, without_password

if TYPE_CHECKING:
    from rv_pipeline.outputs import Output

logger = logging.getLogger(__name__)

HISTORY_NAME: Final = "history.csv"
"""The file of a TRAIN output in which backends leave a line of figures per validation."""

_MAX_BYTES: Final = 8 << 20
_MAX_POINTS: Final = 400  # of a line: more than a chart has pixels for
_MAX_CHARTS: Final = 12
_WIDTH, _HEIGHT = 360.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 34.0

History = Sequence[Mapping[str, float]]


def read_history(train: Output) -> History:
    """The figures of a finished training, a mapping for each time they were taken.

    They are the lines of ``history.csv`` or, where there is none, the list ``history`` in what the
    backend reported; empty where there is neither.
    """
    try:
        uri = train.path(HISTORY_NAME)
        size = train.kernel.files.info(uri).size
        if size is not None and size > _MAX_BYTES:
            shown = without_password(uri)
            logger.warning("%s has %d bytes: it is left out of the report", shown, size)
            return ()
        rows: Iterable[Any] = csv.DictReader(io.StringIO(train.kernel.files.read_str(uri)))
    except NotFoundError:
        rows = _reported(train)
    return [found for row in rows if isinstance(row, Mapping) and (found := _figures(row))]


def _reported(train: Output) -> list[Any]:
    try:
        report = json.loads(train.kernel.files.read_str(train.path("trained.json")))["report"]
        history = report.get("history", [])
    except (RVError, ValueError, KeyError, AttributeError, TypeError):
        return []
    return history if isinstance(history, list) else []


def _figures(row: Mapping[Any, Any]) -> dict[str, float]:
    """The entries of a row that are finite numbers."""
    found = {}
    for name, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and math.isfinite(number):
            found[name] = number
    return found


@attrs.frozen
class Line:
    """``path``: an SVG path. ``label``: what it shows; ``last``: its last value, as text, and
    ``end`` where that lies. ``kind``: ``"train"`` or ``"validation"``."""

    kind: str
    label: str
    path: str
    last: str
    end: tuple[float, float]


@attrs.frozen
class Tick:
    at: float
    text: str


@attrs.frozen
class Chart:
    """A drawing of ``width`` x ``height`` units with its axes and lines."""

    title: str
    x_title: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = _HEIGHT - _BOTTOM

    @property
    def description(self) -> str:
        """What a reader who does not see the chart is told."""
        ends = "; ".join(f"{line.label} ends at {line.last}" for line in self.lines)
        return f"{self.title} by {self.x_title}: {ends}"


def charts(history: History) -> list[Chart]:
    """A chart for each figure of a history, training and validation (``val_...``) in one; by epoch
    where the history has one, else by step or by line."""
    x_title = next((x for x in ("epoch", "step") if any(x in row for row in history)), "line")
    names = dict.fromkeys(name for row in history for name in row)
    plain = [n for n in names if n not in ("epoch", "step")]
    figures = list(dict.fromkeys(n.removeprefix("val_") for n in plain))
    # What everybody looks at first, the learning rate last.
    figures.sort(key=lambda n: (n != "loss", n in ("learning_rate", "lr")))
    found = []
    for figure in figures[:_MAX_CHARTS]:
        series = {
            kind: [
                (row.get(x_title, float(number)), row[name])
                for number, row in enumerate(history, 1)
                if name in row
            ]
            for kind, name in (("train", figure), ("validation", f"val_{figure}"))
        }
        series = {kind: points for kind, points in series.items() if len(points) > 1}
        if series:
            found.append(_chart(figure.replace("_", " "), x_title, series))
    return found


def _chart(title: str, x_title: str, series: Mapping[str, list[tuple[float, float]]]) -> Chart:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_marks, y_marks = ticks(min(xs), max(xs), 5), ticks(min(ys), max(ys), 5)
    if all(x == int(x) for x in xs):  # there is no epoch 1.5
        x_marks = [m for m in x_marks if m == int(m)]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = y_marks[0], y_marks[-1]

    def x_at(value: float) -> float:
        span = (x_high - x_low) or 1.0
        return round(_LEFT + (value - x_low) / span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y_at(value: float) -> float:
        span = (y_high - y_low) or 1.0
        return round(_HEIGHT - _BOTTOM - (value - y_low) / span * (_HEIGHT - _TOP - _BOTTOM), 1)

    lines = []
    for kind, points in series.items():
        placed = [(x_at(x), y_at(y)) for x, y in _thinned(points)]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in placed)
        last = f"{points[-1][1]:.4g}"
        lines.append(Line(kind, "training" if kind == "train" else kind, path, last, placed[-1]))
    return Chart(
        title=title,
        x_title=x_title,
        lines=lines,
        x_ticks=[Tick(x_at(m), _text(m)) for m in x_marks if x_low <= m <= x_high],
        y_ticks=[Tick(y_at(m), _text(m)) for m in y_marks],
    )


def ticks(low: float, high: float, count: int) -> list[float]:
    """About so many round numbers, 1, 2 or 5 times a power of ten apart, around low..high."""
    if high <= low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every n-th point and the last."""
    step = -(-len(points) // _MAX_POINTS)
    kept = list(points[::step])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _text(value: float) -> str:
    text = f"{value:.6g}"
    if "e" in text:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return text
