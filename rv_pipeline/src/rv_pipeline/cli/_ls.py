"""``rv ls``: what an experiment file holds, and how far it has come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from rv_core import RVError, without_password
from rv_pipeline import dag
from rv_pipeline.cli._tables import show_table
from rv_pipeline.commands import command_names
from rv_pipeline.loading import load_experiments, select
from rv_pipeline.outputs import Output

if TYPE_CHECKING:
    from rv_core import Kernel


def list_file(
    kernel: Kernel,
    file: str,
    arguments: tuple[tuple[str, str], ...],
    pattern: str | None,
    as_json: bool,
) -> None:
    experiments = select(load_experiments(file, dict(arguments), kernel), pattern, file)
    rows = []
    for step in dag.build(experiments, command_names(), kernel):
        state, summary = _state(step, kernel)
        rows += [
            [experiment.id, step.command.name.upper(), state, summary, without_password(step.uri)]
            for experiment in step.experiments
        ]
    headings = ("experiment", "command", "state", "result", "output")
    if as_json:
        click.echo(json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=2))
    else:
        show_table(headings, rows)


def _state(step: dag.Step, kernel: Kernel) -> tuple[str, str]:
    done = Output(step.uri, kernel).done()
    summary = str(done.summary.get("line", "")) if done else ""
    if done is None and any(
        Output(uri, kernel).done() is None for uri in step.upstream_uris().values()
    ):
        return dag.NOT_YET_RUN, summary
    try:
        decision = dag.decide(step, kernel)
    except RVError as error:
        return error.message, summary
    return decision.reason if decision.runs else "up to date", summary
