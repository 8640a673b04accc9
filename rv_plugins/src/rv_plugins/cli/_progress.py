"""Progress bars for the ``on_progress`` callback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rv_core import OnProgress, Progress, ignore_progress


@contextmanager
def progress_bar(title: str) -> Iterator[OnProgress]:
    """A bar on stderr while the block runs; none with ``--quiet`` or without a terminal."""
    quiet = click.get_current_context().find_root().params.get("quiet")
    if quiet or not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich import progress as bars
    from rich.console import Console

    with bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[amount]}", markup=False),
        bars.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as drawn:
        task = drawn.add_task(title, total=None, amount="")

        def on_progress(progress: Progress) -> None:
            bar = in_bytes(progress) or progress
            drawn.update(
                task,
                completed=bar.done,
                total=bar.total,
                amount=amount(progress, drawn.tasks[0].speed),
            )

        yield on_progress


def in_bytes(progress: Progress) -> Progress | None:
    """Progress in files as that in bytes, where they are counted too: files differ in size."""
    total = progress.values.get("total_bytes")
    return Progress(progress.stage, progress.values["bytes"], total, "B") if total else None


def amount(progress: Progress, speed: float | None = None) -> str:
    """What was done of how much, and how fast: ``1.5 MB of 20.0 MB, 3.1 MB/s``."""
    moved = in_bytes(progress)
    if moved is not None:
        files = f"{progress.done:,.0f} of {progress.total or 0:,.0f} {progress.unit}s"
        return f"{files}, {amount(moved, speed)}"
    done = quantity(progress.done, progress.unit)
    total = f" of {quantity(progress.total, progress.unit)}" if progress.total else ""
    rate = f", {quantity(speed, progress.unit)}/s" if speed else ""
    return f"{done}{total}{rate}"


def quantity(count: float, unit: str) -> str:
    """A number and its unit, bytes by thousands: ``1.5 MB``."""
    if unit != "B":
        return f"{count:.3g} {unit}".rstrip() if count < 1000 else f"{count:,.0f} {unit}".rstrip()
    for prefix in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if prefix == "B" else f"{count:.1f} {prefix}"
        count /= 1000
    return f"{count:.1f} TB"
