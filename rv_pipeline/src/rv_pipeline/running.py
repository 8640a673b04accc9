"""Running experiments from code: what ``rv run`` does, without its screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rv_core import Kernel
from rv_pipeline import dag
from rv_pipeline.commands import command_names
from rv_pipeline.preflight import check_scenes
from rv_pipeline.runners import find_runner
from rv_pipeline.runners.local import RunOptions, StepReport

if TYPE_CHECKING:
    from rv_pipeline.experiment import Experiment


def run(
    experiments: Experiment | Sequence[Experiment],
    commands: Iterable[str] = (),
    *,
    kernel: Kernel | None = None,
    options: RunOptions | None = None,
    runner: str = "LOCAL",
    check: bool = True,
) -> list[StepReport]:
    """Run the commands (all for none) of experiments; returns a report per step.

    What is unchanged is skipped. Everything that can be checked is checked before the first
    command starts, unless ``check`` is false. Where a step fails, those that do not need it run all
    the same; then the first error is raised: `RVError`, or what went wrong.
    """
    from rv_pipeline.experiment import Experiment

    kernel = kernel if kernel is not None else Kernel()
    options = options or RunOptions()
    several = [experiments] if isinstance(experiments, Experiment) else list(experiments)
    steps = dag.build(several, command_names(tuple(commands)), kernel)
    decisions = dag.plan(steps, kernel, rerun=options.rerun, check=check)
    if check:
        check_scenes([s for s, d in zip(steps, decisions, strict=True) if d.runs], kernel)
    reports = find_runner(runner, kernel).run(steps, kernel, options)
    for report in reports:
        if report.error is not None:
            raise report.error
    return reports
