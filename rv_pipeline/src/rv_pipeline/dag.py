"""What has to run, and why: the graph of commands over one or several experiments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import attrs

from rv_core import ConfigError, StorageError
from rv_pipeline.commands import COMMANDS, Command
from rv_pipeline.fingerprint import (
    Fingerprint,
    describe,
    differences,
    identify,
    plugin_versions,
)
from rv_pipeline.outputs import Output
from rv_pipeline.providers import complete

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment

NOT_YET_RUN: Final = "not yet run"
UNCHANGED: Final = "unchanged"
FORCED: Final = "--rerun"
_ASKED_AT_ONCE: Final = 32


@attrs.frozen
class Step:
    """One command whose output is made once, for all ``experiments`` that share it; the first of
    them gives the options, which are the same for all."""

    command: Command
    experiments: tuple[Experiment, ...]

    @property
    def experiment(self) -> Experiment:
        return self.experiments[0]

    @property
    def uri(self) -> str:
        return self.experiment.output_uri(self.command.name)

    @property
    def key(self) -> str:
        return self.experiment.key_of(self.command.name)

    @property
    def name(self) -> str:
        return f"{self.command.name.upper()} {self.key}"

    def upstream_uris(self, experiment: Experiment | None = None) -> dict[str, str]:
        """Command -> output that this step reads."""
        experiment = experiment or self.experiment
        return {name: experiment.output_uri(name) for name in self.command.upstream}


@attrs.frozen
class Decision:
    """Whether a step runs, and why. ``resume``: an unfinished run of the same is gone on with.
    ``fingerprint``: ``None`` while a command upstream still has to run. ``changes``: all that
    differs from the last run."""

    runs: bool
    reason: str
    fingerprint: Fingerprint | None = None
    resume: bool = False
    changes: tuple[str, ...] = ()


def build(experiments: Sequence[Experiment], commands: Iterable[str], kernel: Kernel) -> list[Step]:
    """The steps, each after those that it needs, experiment by experiment.

    Raises `ConfigError` where experiments share a key and would make different things of it, and
    what a command says of options that make no sense.
    """
    experiments = [complete(experiment, kernel) for experiment in experiments]
    names = list(commands)
    shared: dict[str, list[Experiment]] = {}
    order: list[tuple[str, str]] = []
    for experiment in experiments:
        for name in names:
            uri = experiment.output_uri(name)
            if uri not in shared:
                order.append((name, uri))
            shared.setdefault(uri, []).append(experiment)
    steps = [Step(COMMANDS[name], tuple(shared[uri])) for name, uri in order]
    for step in steps:
        _check_shared(step, kernel)
    return steps


def plan(
    steps: Sequence[Step], kernel: Kernel, *, rerun: bool = False, check: bool = True
) -> list[Decision]:
    """What each step would do if the run started now.

    Raises `NotFoundError` for inputs that are missing, unless ``check`` is false, and `ConfigError`
    where a step needs the output of a command that is not there and not among the steps.
    """
    inputs = {uri for step in steps for uri in step.command.inputs(step.experiment)}
    known = _identities(sorted(inputs), kernel, check=check)
    running: set[str] = set()
    decisions = []
    for step in steps:
        missing = [uri for uri in step.command.inputs(step.experiment) if uri not in known]
        if missing:
            decision = Decision(True, f"{missing[0]} cannot be reached")
        else:
            decision = decide(step, kernel, running=running, rerun=rerun, known=known)
        if decision.runs:
            running.add(step.uri)
        decisions.append(decision)
    return decisions


def _identities(uris: Sequence[str], kernel: Kernel, *, check: bool) -> dict[str, str]:
    """The identity of each file; where ``check`` is false, of those that can be reached.

    Remote ones are asked for side by side: there may be thousands.
    """

    def ask(uri: str) -> str | None:
        try:
            return identify(uri, kernel)
        except StorageError:
            if check:
                raise
            return None

    if all(kernel.filesystem(uri).is_local for uri in uris):
        answers = [ask(uri) for uri in uris]
    else:
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            answers = list(pool.map(ask, uris))
    return {uri: answer for uri, answer in zip(uris, answers, strict=True) if answer is not None}


def decide(
    step: Step,
    kernel: Kernel,
    *,
    running: Collection[str] = (),
    rerun: bool = False,
    known: Mapping[str, str] | None = None,
) -> Decision:
    """Whether a step has to run. ``running``: outputs that will be made anew before it. ``known``:
    identities of input files, which are asked for if not given."""
    pending = [name for name, uri in step.upstream_uris().items() if uri in running]
    uris = step.command.inputs(step.experiment)
    inputs = {uri: known[uri] if known is not None else identify(uri, kernel) for uri in uris}
    if pending:
        names = " and ".join(name.upper() for name in pending)
        verb = "run" if len(pending) > 1 else "runs"
        return Decision(True, FORCED if rerun else f"{names} {verb} before it")
    fingerprint = _fingerprint(step, inputs, kernel)
    output = Output(step.uri, kernel)
    done = output.done()
    if rerun:
        return Decision(True, FORCED, fingerprint)
    if done is None:
        if output.started() == fingerprint.digest:
            return Decision(True, "the last run was cut short", fingerprint, resume=True)
        return Decision(True, NOT_YET_RUN, fingerprint)
    changes = differences(done.fingerprint, fingerprint)
    if changes:
        reason = f"changed: {describe(changes)}"
        return Decision(True, reason, fingerprint, changes=tuple(changes))
    damage = output.damage(done)
    if damage:
        return Decision(True, f"damaged: {damage}", fingerprint)
    return Decision(False, UNCHANGED, fingerprint)


def _fingerprint(step: Step, inputs: Mapping[str, str], kernel: Kernel) -> Fingerprint:
    upstream = {}
    for name, uri in step.upstream_uris().items():
        done = Output(uri, kernel).done()
        if done is None:
            raise ConfigError(
                f"{step.name} needs the output of {name.upper()} at {uri}, which is not there",
                hint=f"run {name} first, or leave the commands out to run all that is needed",
            )
        upstream[name] = done.identity
    return Fingerprint(
        config=step.command.config(step.experiment, kernel),
        inputs=inputs,
        upstream=upstream,
        plugins=plugin_versions(kernel, step.command.plugins(step.experiment)),
    )


def _check_shared(step: Step, kernel: Kernel) -> None:
    """Raises `ConfigError` where the experiments of a step are not of one mind: about its options,
    or about those of a command upstream of which each has an output of its own; and what the
    command says of options that make no sense, shared or not."""
    first, *others = step.experiments
    step.command.config(first, kernel)
    for other in others:
        for name in _ancestry(step.command.name):
            if name != step.command.name and first.output_uri(name) == other.output_uri(name):
                continue
            one, another = (COMMANDS[name].config(e, kernel) for e in (first, other))
            changes = differences(Fingerprint(one), Fingerprint(another))
            if not changes:
                continue
            made_from = "" if name == step.command.name else f" its {name.upper()}:"
            raise ConfigError(
                f"experiments {first.id!r} and {other.id!r} share the {step.command.name} output "
                f"{step.key!r}, but differ in{made_from} {describe(changes)}",
                hint=f"give one of them another {step.command.name}_key",
            )


def _ancestry(name: str) -> list[str]:
    """A command and all those that it needs, itself first."""
    names = [name]
    for needed in names:
        names += [n for n in COMMANDS[needed].upstream if n not in names]
    return names
