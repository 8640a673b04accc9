"""Running the steps on this machine, one after the other.

A step that fails does not keep others from running that do not need what it makes.
"""

from __future__ import annotations

import logging
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rv_core import (
    AlreadyExistsError,
    ConfigError,
    Context,
    DataError,
    InterruptedRunError,
    OnProgress,
    RVError,
    ignore_progress,
    without_secrets,
)
from rv_pipeline.commands.command import Job, Result
from rv_pipeline.dag import Decision, Step, decide
from rv_pipeline.fingerprint import Fingerprint, identify
from rv_pipeline.locks import Lock
from rv_pipeline.outputs import DoneRecord, Output, now
from rv_pipeline.sharing import reading, writing

if TYPE_CHECKING:
    from rv_core import Kernel

logger = logging.getLogger(__name__)


@attrs.frozen
class StepReport:
    """What became of a step.

    ``status``: ``"waiting"`` for another run that holds its output, ``"running"`` (each said when
    it starts), ``"done"``, ``"skipped"`` as it is unchanged, ``"failed"``, or ``"not run"`` as a
    step that it needs failed. ``reason``: why it ran or not. ``summary``: what the command found;
    see `Result`. ``error``: what it failed with.
    """

    command: str
    experiment_id: str
    uri: str
    status: Literal["waiting", "running", "done", "skipped", "failed", "not run"]
    reason: str
    seconds: float = 0.0
    summary: dict[str, Any] = attrs.field(factory=dict)
    error: Exception | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class RunOptions:
    """``rerun``: run what is unchanged too. ``workers``: processes that a command may use.
    ``wait``: where another run holds an output, wait for it to end; the step fails otherwise.
    ``on_step`` hears of each step when it starts and when it ends or is skipped."""

    rerun: bool = False
    workers: int = 1
    wait: bool = False
    on_progress: OnProgress = ignore_progress
    on_step: Callable[[StepReport], None] = attrs.field(default=lambda report: None)
    should_stop: Callable[[], bool] = attrs.field(default=lambda: False)


class Runner(ABC):
    """Carries out steps that are in an order in which they can run."""

    @abstractmethod
    def run(self, steps: Sequence[Step], kernel: Kernel, options: RunOptions) -> list[StepReport]:
        """One report per step. A step that fails is reported so, and those that need its output
        are not run; the others are. Only an interruption is raised."""


class LocalRunner(Runner):
    """Runs the steps in this process; those that are cut into blocks (CHIP and PREDICT) share
    them out to ``options.workers`` processes."""

    def run(self, steps: Sequence[Step], kernel: Kernel, options: RunOptions) -> list[StepReport]:
        reports: list[StepReport] = []
        lost: dict[
            str, str
        ] = {}  # output that will not be there -> the step that failed to make it
        for step in steps:
            cause = next((lost[uri] for uri in step.upstream_uris().values() if uri in lost), None)
            if cause is not None:
                report = _without_work(step, "not run", f"{cause} failed")
                options.on_step(report)
            else:
                report = try_step(step, kernel, options)
            if report.status in ("failed", "not run"):
                lost[step.uri] = cause or step.name
            reports.append(report)
        return reports


class InProcessRunner(LocalRunner):
    """Runs everything in this process and thread: for debuggers, and where processes are dear."""

    def run(self, steps: Sequence[Step], kernel: Kernel, options: RunOptions) -> list[StepReport]:
        return super().run(steps, kernel, attrs.evolve(options, workers=1))


def try_step(step: Step, kernel: Kernel, options: RunOptions) -> StepReport:
    """`run_step`, with an error as a report; all that a runner on another machine has to call.
    Only an interruption is raised."""
    started = time.monotonic()
    try:
        return run_step(step, kernel, options)
    except InterruptedRunError:
        raise
    except Exception as error:  # whatever it is, other experiments go on
        if not isinstance(error, RVError):
            logger.exception("%s failed", step.name)
        report = _without_work(step, "failed", str(error) or type(error).__name__)
        report = attrs.evolve(report, seconds=time.monotonic() - started, error=error)
        options.on_step(report)
        return report


def _without_work(
    step: Step, status: Literal["waiting", "failed", "not run"], reason: str
) -> StepReport:
    return StepReport(step.command.name, step.experiment.id, step.uri, status, reason)


def run_step(step: Step, kernel: Kernel, options: RunOptions) -> StepReport:
    """Run a step if it has to; meanwhile nobody else uses its output, nor changes what it reads."""
    output = Output(step.uri, kernel)
    upstream = {name: Output(uri, kernel) for name, uri in step.upstream_uris().items()}
    with suppress(ConfigError):  # what it needs may be in the making; it is looked for again below
        decision = decide(step, kernel, rerun=options.rerun)
        if not decision.runs:
            output.tidy()
            return _skipped(step, decision, kernel, options)
    patience = _Patience(step, options)
    with ExitStack() as held:
        lock = held.enter_context(writing(output, patience))
        marks = held.enter_context(reading(list(upstream.values()), patience))
        # Another run may have made it, or what it needs, while this one waited its turn.
        decision = decide(step, kernel, rerun=options.rerun)
        if not decision.runs:
            return _skipped(step, decision, kernel, options)
        report = StepReport(
            step.command.name, step.experiment.id, step.uri, "running", decision.reason
        )
        options.on_step(report)
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix=f"rv-{step.command.name}-"))
        started = time.monotonic()
        result = _attempt(step, decision, output, upstream, lock, Path(folder), options)
        seconds = time.monotonic() - started
        for one in (lock, *marks):
            one.check()
        assert decision.fingerprint is not None
        _check_inputs(step, decision.fingerprint, kernel)
        output.finish(
            DoneRecord(
                command=step.command.name,
                key=step.key,
                experiment_id=step.experiment.id,
                fingerprint=decision.fingerprint,
                identity=result.identity,
                files=output.files(),
                seconds=round(seconds, 3),
                finished=now(),
                summary=dict(result.summary),
                vital=result.vital,
            )
        )
    report = attrs.evolve(report, status="done", seconds=seconds, summary=dict(result.summary))
    options.on_step(report)
    return report


class _Patience:
    """Whether to go on waiting for another run, said once for each that is waited for."""

    def __init__(self, step: Step, options: RunOptions) -> None:
        self._step, self._options = step, options
        self._said = ""

    def __call__(self, held: AlreadyExistsError) -> bool:
        if self._options.should_stop():
            raise InterruptedRunError(f"{self._step.name} was stopped while it waited its turn")
        if self._options.wait and held.message != self._said:
            self._said = held.message
            self._options.on_step(_without_work(self._step, "waiting", held.message))
        return self._options.wait


def _check_inputs(step: Step, fingerprint: Fingerprint, kernel: Kernel) -> None:
    """Raises `DataError` where the output may be made of a mixture: it must not count as made of
    what lay there at the start."""
    for uri, before in fingerprint.inputs.items():
        if identify(uri, kernel) != before:
            raise DataError(
                f"{without_secrets(uri)} changed while {step.command.name.upper()} was reading it",
                hint="let nothing write to it meanwhile, and run again",
            )


def _attempt(
    step: Step,
    decision: Decision,
    output: Output,
    upstream: Mapping[str, Output],
    lock: Lock,
    folder: Path,
    options: RunOptions,
) -> Result:
    """Run the command. Where it fails without having changed the earlier output, that output
    counts again."""
    assert decision.fingerprint is not None
    digest = decision.fingerprint.digest
    earlier = output.done()
    versions = _versions(output) if earlier is not None else {}
    begun = False

    def begin() -> None:
        nonlocal begun
        if not begun:
            lock.check()
            output.begin(digest)
            begun = True

    job = Job(
        experiment=step.experiment,
        kernel=output.kernel,
        output=output,
        upstream=upstream,
        context=Context(
            tmp_dir=folder,
            experiment_id=step.key if step.command.name == "train" else step.experiment.id,
            on_progress=options.on_progress,
            should_stop=options.should_stop,
            resume=decision.resume,
        ),
        begin=begin,
        token=digest[:8],
        workers=options.workers,
    )
    try:
        result = step.command.run(job)
        begin()  # a command that had nothing to change
        return result
    except BaseException:
        with suppress(RVError):
            if begun and earlier is not None and _versions(output) == versions:
                output.restore(earlier)
        raise


def _versions(output: Output) -> dict[str, str]:
    """The files of an output, each with what tells one version of it from the next."""
    return {name: identify(output.path(name), output.kernel) for name in output.files()}


def _skipped(step: Step, decision: Decision, kernel: Kernel, options: RunOptions) -> StepReport:
    done = Output(step.uri, kernel).done()
    report = StepReport(
        step.command.name,
        step.experiment.id,
        step.uri,
        "skipped",
        decision.reason,
        done.seconds if done else 0.0,
        dict(done.summary) if done else {},
    )
    options.on_step(report)
    return report
