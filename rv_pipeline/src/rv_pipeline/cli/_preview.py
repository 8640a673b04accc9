"""``rv preview``: what an experiment would learn from, as pages and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rv_core import Progress
from rv_pipeline.cli._progress import shown_progress
from rv_pipeline.cli._run import each_warning_once
from rv_pipeline.cli._tables import show_table
from rv_pipeline.fingerprint import plain
from rv_pipeline.loading import load_experiments, select
from rv_pipeline.outputs import check_writable
from rv_pipeline.tasks.task import task_of

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment

PAGE_NAME = "preview.html"


def preview_file(
    kernel: Kernel,
    file: str,
    arguments: tuple[tuple[str, str], ...],
    pattern: str | None,
    out: str,
) -> None:
    from rv_pipeline.report.page import render
    from rv_pipeline.report.preview import preview

    experiments = select(load_experiments(file, dict(arguments), kernel), pattern, file)
    check_writable(out.rstrip("/") or "/", kernel)
    rows = []
    pages = []
    with each_warning_once():
        for experiment in _different(experiments, kernel):
            with shown_progress() as on_progress:
                found = preview(
                    experiment,
                    kernel,
                    lambda done, total: on_progress(Progress("PREVIEW", done, total, "scene")),
                )
            folder = f"{out.rstrip('/') or '/'}/{experiment.id}"
            for name, data in found.files.items():
                kernel.files.write_bytes(f"{folder}/{name}", data)
            pages.append(f"{folder}/{PAGE_NAME}")
            kernel.files.write_str(pages[-1], render(found.page))
            rows += [
                (experiment.id, s.split, s.view.id, "error" if s.failed else "ok", s.line)
                for s in found.scenes
            ]
    show_table(("experiment", "split", "scene", "state", "what it is"), rows)
    for page in pages:
        click.echo(page)
    if any(row[3] == "error" for row in rows):
        click.get_current_context().exit(1)


def _different(experiments: list[Experiment], kernel: Kernel) -> list[Experiment]:
    """One experiment of those that would cut the same chips of the same scenes."""
    found: dict[str, Experiment] = {}
    for experiment in experiments:
        task = task_of(experiment, kernel)
        mark = repr((plain(task.config), plain(task.chip), plain(experiment.dataset)))
        found.setdefault(mark, experiment)
    return list(found.values())
