"""Drawing progress: bars on a terminal, a line now and then elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from rv_core import OnProgress, Progress, ignore_progress

PLAIN_SECONDS: Final = 10.0
"""Between two lines about one stage where nobody watches."""

_HIDDEN_SECONDS: Final = 1.0  # stages that are over sooner get no plain line


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """The callback to hand to the work, while the block runs; silent with ``rv --quiet``."""
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().params.get("quiet"):
        yield ignore_progress
    elif sys.stderr.isatty():
        with _bars() as callback:
            yield callback
    else:
        yield PlainProgress()


@contextmanager
def _bars() -> Iterator[OnProgress]:
    from rich import progress as rich
    from rich.console import Console
    from rich.table import Column

    def fixed() -> Column:  # a narrow terminal takes from the bar and from what comes last
        return Column(no_wrap=True, min_width=7)

    with rich.Progress(
        rich.TextColumn("{task.description:<8}", markup=False),
        rich.BarColumn(bar_width=30),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[amount]}", markup=False),
        rich.TimeElapsedColumn(table_column=fixed()),
        rich.TextColumn("eta"),
        rich.TimeRemainingColumn(table_column=fixed()),
        rich.TextColumn("{task.fields[extra]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    ) as drawn:
        stages: dict[str, rich.TaskID] = {}

        def on_progress(progress: Progress) -> None:
            stage = stages.get(progress.stage)
            if stage is None:
                for other in stages.values():
                    drawn.remove_task(other)
                stages.clear()
                stage = stages[progress.stage] = drawn.add_task(
                    progress.stage, total=progress.total, amount="", extra=""
                )
            speed = next((t.speed for t in drawn.tasks if t.id == stage), None)
            drawn.update(
                stage,
                completed=progress.done,
                total=progress.total,
                amount=amount(progress, speed),
                extra=extra(progress),
            )

        yield on_progress


class PlainProgress:
    """One line per stage every `PLAIN_SECONDS`, and one at its end."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = self._said = 0.0
        self._first = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        over = progress.total is not None and progress.done >= progress.total
        if progress.stage != self._stage:
            self._stage, self._started, self._said = progress.stage, now, now
            self._first = progress.done
        ran = now - self._started
        due = now - self._said >= PLAIN_SECONDS or (over and ran >= _HIDDEN_SECONDS)
        if not due:
            return
        self._said = now
        speed = (progress.done - self._first) / ran if ran else 0.0
        line = f"{progress.stage} {amount(progress, speed)}"
        if progress.total and speed > 0 and not over:
            line += f", {seconds((progress.total - progress.done) / speed)} left"
        more = extra(progress)
        click.echo(f"{line}  {more}".rstrip(), err=True)


def amount(progress: Progress, speed: float | None = None) -> str:
    """What was done of how much, and how fast: ``120/480 windows, 311 windows/s``."""
    scale, unit = 1.0, _plural(progress.unit)
    if progress.unit == "B":
        scale, unit = 1e6, "MB"
    done = _number(progress.done / scale)
    total = "" if progress.total is None else f"/{_number(progress.total / scale)}"
    rate = f", {_number(speed / scale)} {unit}/s" if speed else ""
    return f"{done}{total} {unit}{rate}".strip()


def extra(progress: Progress) -> str:
    """The message and the numbers beside a bar."""
    values = " ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
    return f"{progress.message} {values}".strip()


def seconds(count: float) -> str:
    """A duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if count < 9.95:
        return f"{count:.1f} s"
    whole = round(count)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _plural(unit: str) -> str:
    return f"{unit}s" if unit and not unit.endswith("s") else unit
