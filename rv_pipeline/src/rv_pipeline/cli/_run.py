"""``rv run``: plan, run, and say what came of it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from rv_core import ConfigError, RVError, without_password
from rv_pipeline import dag
from rv_pipeline.cli._progress import seconds, shown_progress
from rv_pipeline.cli._tables import show_table
from rv_pipeline.commands import COMMANDS, command_names
from rv_pipeline.loading import load_experiments, select
from rv_pipeline.preflight import check_scenes
from rv_pipeline.runners import find_runner
from rv_pipeline.runners.local import RunOptions, StepReport
from rv_pipeline.tasks.task import task_of

_NAMED: Final = 3
"""Of the experiments that share an output, those that a table names."""

if TYPE_CHECKING:
    from types import FrameType

    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment


def run_file(
    kernel: Kernel,
    file: str,
    commands: tuple[str, ...],
    arguments: tuple[tuple[str, str], ...],
    pattern: str | None,
    dry_run: bool,
    rerun: bool,
    workers: int | None,
    runner: str,
    check: bool,
    wait: bool,
    verbose: bool,
) -> None:
    experiments = select(load_experiments(file, dict(arguments), kernel), pattern, file)
    steps = dag.build(experiments, command_names(commands), kernel)
    decisions = dag.plan(steps, kernel, rerun=rerun, check=check)
    if dry_run:
        _show_plan(steps, decisions)
    if verbose or _verbose_rv():
        _show_changes(steps, decisions, err=not dry_run)
    if dry_run:
        return
    if workers is None:
        workers = kernel.config.get("pipeline", "workers", 1, int)
        if workers < 1:
            raise ConfigError(
                f"the setting [pipeline] workers is {workers}, and must be at least 1",
                hint="rv config show says where it comes from",
            )
    stop = Stop()
    with each_warning_once(), shown_progress() as on_progress, stop.listening():
        if check:
            check_scenes([s for s, d in zip(steps, decisions, strict=True) if d.runs], kernel)
        options = RunOptions(
            rerun=rerun,
            workers=workers,
            wait=wait,
            on_progress=on_progress,
            on_step=lambda report: _say(report, stop),
            should_stop=stop.asked,
        )
        reports = find_runner(runner, kernel).run(steps, kernel, options)
    _show_reports(reports, steps, kernel)
    failed = [report for report in reports if report.status == "failed"]
    if failed:
        raise _failure(failed, len(reports))


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Leave repeated log lines out: a scene is opened by several commands, and would say each
    time that it has been repaired."""
    filtered = [(handler, _Fresh()) for handler in logging.getLogger().handlers]
    for handler, fresh in filtered:
        handler.addFilter(fresh)
    try:
        yield
    finally:
        for handler, fresh in filtered:
            handler.removeFilter(fresh)


class _Fresh(logging.Filter):
    """Lets each line through once; one for each handler, as all are shown the same lines."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        line = record.name, record.getMessage()
        new = line not in self._seen
        self._seen.add(line)
        return new


class Stop:
    """Ctrl-C: the first one is passed on to a command that can stop by itself, and leave a state
    to resume from; a second one, and the first for other commands, interrupts at once."""

    def __init__(self) -> None:
        self.patient = False
        self._asked = False

    def asked(self) -> bool:
        return self._asked

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked or not self.patient:
            raise KeyboardInterrupt
        self._asked = True
        click.echo("Stopping after this step; Ctrl-C again stops at once.", err=True)


def _say(report: StepReport, stop: Stop) -> None:
    name = f"{report.command.upper()} {report.experiment_id}"
    if report.status == "running":
        stop.patient = COMMANDS[report.command].stops_by_itself
        click.echo(f"{name}: running ({report.reason})", err=True)
        return
    stop.patient = False
    if report.status == "skipped":
        click.echo(f"{name}: skipped ({report.reason})", err=True)
        return
    if report.status in ("waiting", "failed", "not run"):
        click.echo(f"{name}: {report.status}: {report.reason}", err=True)
        return
    line = report.summary.get("line")
    click.echo(f"{name}: {seconds(report.seconds)}" + (f", {line}" if line else ""), err=True)


def _failure(failed: Sequence[StepReport], count: int) -> Exception:
    """What the run ends with: the error itself where there is one, else how many."""
    first = failed[0].error
    if len(failed) == 1 and first is not None:
        return first
    return RVError(
        f"{len(failed)} of {count} commands failed: "
        + ", ".join(f"{report.command.upper()} {report.experiment_id}" for report in failed),
        hint="what each failed with stands above; what was done stays done when you run it again",
    )


def _show_plan(steps: Sequence[dag.Step], decisions: Sequence[dag.Decision]) -> None:
    rows = [
        [
            _names(step),
            step.command.name.upper(),
            "run" if decision.runs else "skip",
            decision.reason,
            step.uri,
        ]
        for step, decision in zip(steps, decisions, strict=True)
    ]
    show_table(("experiment", "command", "plan", "why", "output"), rows)


def _show_changes(
    steps: Sequence[dag.Step], decisions: Sequence[dag.Decision], *, err: bool
) -> None:
    for step, decision in zip(steps, decisions, strict=True):
        for change in decision.changes:
            click.echo(f"{step.name}: {change}", err=err)


def _verbose_rv() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("verbose"))


def _show_reports(reports: Sequence[StepReport], steps: Sequence[dag.Step], kernel: Kernel) -> None:
    made = {step.uri: step for step in steps}
    rows = [
        [
            _names(made[report.uri]),
            report.command.upper(),
            seconds(report.seconds) if report.status == "done" else report.status,
            without_password(report.uri),
        ]
        for report in reports
    ]
    show_table(("experiment", "command", "time", "output"), rows)
    for report in reports:
        overall = report.summary.get("overall") if report.command == "eval" else None
        if overall:
            _show_figures(made[report.uri].experiment, overall, kernel)


def _names(step: dag.Step) -> str:
    """The experiments that a step is for."""
    ids = [experiment.id for experiment in step.experiments]
    more = len(ids) - _NAMED
    return ", ".join(ids) if more <= 0 else f"{', '.join(ids[:_NAMED])} and {more} more"


def _show_figures(experiment: Experiment, overall: dict[str, Any], kernel: Kernel) -> None:
    task = task_of(experiment, kernel)
    for table in task.tables(overall):
        click.echo()
        click.echo(f"{experiment.id}: {table.title}")
        show_table(table.headings, table.rows)
    click.echo(task.headline(overall))
