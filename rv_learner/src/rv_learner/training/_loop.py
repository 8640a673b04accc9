"""The loop itself, which knows steps and seconds but not what is learnt."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from rv_core import Context, InterruptedRunError, ModelError, Progress
from rv_learner.checkpoints import Checkpoints
from rv_learner.training._output import TrainOutput

logger = logging.getLogger(__name__)

LOGGED_STEPS = 1000
"""About how many points a curve in TensorBoard has."""


class Learner(Protocol):
    """What is trained: a backend's network, optimizer and data."""

    @property
    def variables(self) -> Sequence[Any]:
        """All that makes up the state, optimizer included, in an order that never changes."""

    @property
    def weights(self) -> Sequence[Any]:
        """Those of them that are the network."""

    def batches(self, step: int) -> Iterator[Any]:
        """Batches without end, from the one that step ``step`` sees."""

    def step(self, batch: Any, learning_rate: float) -> Mapping[str, float]:
        """Learn from a batch; its ``loss`` and other figures."""

    def validate(self) -> Mapping[str, float]:
        """Figures on the validation chips; empty where there are none."""


@attrs.frozen
class Plan:
    """How long to train and what to do in between.

    ``pass_steps``: after so many steps the run is validated and a line of history written.
    ``epoch_steps``: steps that see every chip once. ``checkpoint_seconds`` /
    ``checkpoint_steps``: whichever comes first.
    ``patience``: passes without a better ``monitor`` (less is better) after which training ends,
    and the best weights return; ``None``: all steps, and the last weights.
    """

    total_steps: int
    pass_steps: int
    epoch_steps: int
    batch_size: int
    learning_rate: Callable[[int], float]
    checkpoint_seconds: float = 120.0
    checkpoint_steps: int | None = None
    patience: int | None = None
    monitor: str = "val_loss"


@attrs.frozen
class LoopResult:
    """``steps`` done in all, of which an earlier run did ``resumed_from``; ``history``: a mapping
    per pass; ``stopped_early``; ``images_per_second`` of this run, compiling the step aside."""

    steps: int
    resumed_from: int
    history: Sequence[Mapping[str, float]]
    stopped_early: bool
    images_per_second: float | None


@attrs.define
class _State:
    """What a checkpoint keeps beside the variables."""

    history: list[dict[str, float]] = attrs.field(factory=list)
    best: float = math.inf
    passes_without_better: int = 0
    sums: dict[str, float] = attrs.field(factory=dict)
    summed: int = 0
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        fields = attrs.asdict(self)
        return {**fields, "best": None if math.isinf(self.best) else self.best}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> _State:
        best = fields["best"]
        return cls(**{**fields, "best": math.inf if best is None else best})

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1

    def take_means(self) -> dict[str, float]:
        means = {name: value / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means


def train_loop(
    learner: Learner,
    plan: Plan,
    output: TrainOutput,
    checkpoints: Checkpoints,
    context: Context,
    board: Any = None,
) -> LoopResult:
    """Train from the newest checkpoint, if there is one of this run's identity, to the end.

    ``board``: a `rv_learner.tensorboard.Scalars`. Raises `InterruptedRunError` where
    ``context.should_stop`` says so, and passes on `KeyboardInterrupt`, both after a checkpoint;
    `ModelError` where the loss is no longer a number.
    """
    run = _Run(learner, plan, output, checkpoints, context, board)
    run.resume()
    try:
        run.go()
    except KeyboardInterrupt:
        run.save()
        run.output.sync()
        logger.warning("stopped at step %d; the same command goes on from there", run.step)
        raise
    return run.result()


class _Run:
    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        output: TrainOutput,
        checkpoints: Checkpoints,
        context: Context,
        board: Any,
    ) -> None:
        self.learner, self.plan, self.output = learner, plan, output
        self.checkpoints, self.context, self.board = checkpoints, context, board
        self.best = attrs.evolve(checkpoints, folder=checkpoints.folder / "best", keep=1)
        self.state = _State()
        self.step = self.resumed_from = self.saved_step = 0
        self.saved_at = time.monotonic()
        self.rate = _Rate(plan.batch_size)

    def resume(self) -> None:
        found = self.checkpoints.restore(self.learner.variables)
        if found is None:
            self.best.clear()
            return
        self.step, state = found
        self.state = _State.from_dict(state)
        self.resumed_from = self.saved_step = self.step
        logger.info("training goes on after step %d of %d", self.step, self.plan.total_steps)

    def go(self) -> None:
        plan, state = self.plan, self.state
        batches: Iterator[Any] = iter(())  # made when the first step needs it
        if self.step < plan.total_steps and not state.stopped:
            batches = self.learner.batches(self.step)
        while self.step < plan.total_steps and not state.stopped:
            if self.context.should_stop():
                self._stop()
            learning_rate = plan.learning_rate(self.step)
            figures = self.learner.step(next(batches), learning_rate)
            self._check(figures)
            self.step += 1
            self.rate.count()
            state.add(figures)
            self._report(figures, learning_rate)
            if self.step % plan.pass_steps == 0 or self.step == plan.total_steps:
                self._end_pass(learning_rate)
                self.rate.pause()
            self._save_if_due()
        self.save()
        if plan.patience is not None:
            self._take_best()

    def save(self) -> None:
        if self.saved_step != self.step:
            self.checkpoints.save(self.step, self.learner.variables, self.state.to_dict())
            self.saved_step = self.step
        self.saved_at = time.monotonic()

    def result(self) -> LoopResult:
        return LoopResult(
            steps=self.step,
            resumed_from=self.resumed_from,
            history=tuple(self.state.history),
            stopped_early=self.state.stopped,
            images_per_second=self.rate.mean(),
        )

    def _stop(self) -> None:
        self.save()
        self.output.sync()
        raise InterruptedRunError(
            f"training was stopped at step {self.step} of {self.plan.total_steps}",
            hint="the same command goes on from there",
        )

    def _check(self, figures: Mapping[str, float]) -> None:
        if not math.isfinite(figures["loss"]):
            raise ModelError(
                f"the loss is {figures['loss']} at step {self.step + 1}: training has diverged",
                hint="lower the learning rate, and look for NaN or huge values in the rasters",
            )

    def _report(self, figures: Mapping[str, float], learning_rate: float) -> None:
        plan = self.plan
        values = {**figures, "images/s": self.rate.recent()}
        shown = {name: value for name, value in values.items() if value is not None}
        self.context.on_progress(
            Progress("TRAIN", self.step, plan.total_steps, "step", values=shown)
        )
        if self.board and self.step % max(1, plan.total_steps // LOGGED_STEPS) == 0:
            self.board.write("train", self.step, {**figures, "learning_rate": learning_rate})

    def _end_pass(self, learning_rate: float) -> None:
        state = self.state
        row = {"epoch": round(self.step / self.plan.epoch_steps, 4), "step": float(self.step)}
        row |= state.take_means() | {"learning_rate": learning_rate}
        validation = self.learner.validate()
        row |= {f"val_{name}": value for name, value in validation.items()}
        state.history.append(row)
        self.output.write_history(state.history)
        if self.board and validation:
            self.board.write("validation", self.step, validation)
        shown = " ".join(f"{name}={value:.4g}" for name, value in row.items())
        logger.info("step %d of %d: %s", self.step, self.plan.total_steps, shown)
        if self.plan.patience is not None:
            self._watch(row.get(self.plan.monitor, row["loss"]))

    def _watch(self, value: float) -> None:
        state = self.state
        if value < state.best:
            state.best, state.passes_without_better = value, 0
            self.best.save(self.step, self.learner.weights, {})
            return
        state.passes_without_better += 1
        assert self.plan.patience is not None
        if state.passes_without_better >= self.plan.patience:
            state.stopped = True
            logger.info(
                "no better %s for %d passes: training ends at step %d",
                self.plan.monitor, state.passes_without_better, self.step,
            )  # fmt: skip

    def _take_best(self) -> None:
        if found := self.best.restore(self.learner.weights):
            logger.info("the weights are those of step %d, the best", found[0])

    def _save_if_due(self) -> None:
        plan = self.plan
        if self.output.sync_due():
            self.save()
            self.output.sync()
        elif (
            (plan.checkpoint_steps and self.step - self.saved_step >= plan.checkpoint_steps)
            or time.monotonic() - self.saved_at >= plan.checkpoint_seconds
            or self.state.stopped
        ):
            self.save()


class _Rate:
    """Images per second, of late and on the whole; the first step, which compiles, and the time
    of validations do not count."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._last: float | None = None
        self._recent: float | None = None
        self._seconds = 0.0
        self._steps = 0

    def count(self) -> None:
        now = time.monotonic()
        if self._last is not None:
            seconds = max(now - self._last, 1e-9)
            self._seconds += seconds
            self._steps += 1
            self._recent = seconds if self._recent is None else 0.9 * self._recent + 0.1 * seconds
        self._last = now

    def pause(self) -> None:
        self._last = None

    def recent(self) -> float | None:
        return None if self._recent is None else self._batch_size / self._recent

    def mean(self) -> float | None:
        return self._batch_size * self._steps / self._seconds if self._steps else None
