"""The training loop, on a line fitted to points: state, resuming, stopping, records, uploads."""

from __future__ import annotations

import csv
import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
from rv_learner.checkpoints import Checkpoints, differences
from rv_learner.training import Plan, TrainOutput, learning_rates, train_loop

from rv_core import Context, InterruptedRunError, Kernel, ModelError, TransferError


class Array:
    """A variable as the loop sees one: it has a shape, a value, and takes another."""

    def __init__(self, value):
        self.value = np.asarray(value, "float64")

    @property
    def shape(self):
        return self.value.shape

    def assign(self, value):
        self.value = np.asarray(value, "float64")

    def __array__(self, dtype=None, copy=None):
        return self.value


class Line:
    """Fits y = 2 x by momentum; the batch of a step depends on the step alone."""

    def __init__(self, validation=None):
        self.slope, self.velocity = Array(0.0), Array(0.0)
        self.seen = []
        self.validation = validation

    @property
    def weights(self):
        return [self.slope]

    @property
    def variables(self):
        return [self.slope, self.velocity]

    def batches(self, step):
        return ((n, np.random.default_rng(n).normal(size=4)) for n in itertools.count(step))

    def step(self, batch, learning_rate):
        number, x = batch
        self.seen.append(number)
        error = self.slope.value * x - 2 * x
        self.velocity.assign(0.5 * self.velocity.value - learning_rate * 2 * (error * x).mean())
        self.slope.assign(self.slope.value + self.velocity.value)
        return {"loss": float((error**2).mean())}

    def validate(self):
        return {} if self.validation is None else {"loss": next(self.validation)}


def plan_of(**changes):
    plan = {
        "total_steps": 40, "pass_steps": 10, "epoch_steps": 10, "batch_size": 4,
        "learning_rate": lambda step: 0.05, "checkpoint_seconds": 1e9, "checkpoint_steps": 7,
    }  # fmt: skip
    return Plan(**{**plan, **changes})


class Runner:
    def __init__(self, folder, kernel=None, uri=None):
        self.folder, self.kernel = folder, kernel or Kernel()
        self.uri = uri or str(folder / "out")
        self.progress = []

    def run(self, learner, plan=None, *, identity=None, should_stop=lambda: False, **output):
        context = Context(
            tmp_dir=self.folder / "tmp",
            experiment_id="line",
            on_progress=self.progress.append,
            should_stop=should_stop,
        )
        self.output = TrainOutput(self.kernel, self.uri, context, output.get("sync_interval", 600))
        self.output.fetch()
        checkpoints = Checkpoints(self.output.folder / "checkpoints", identity or {"lr": 0.05})
        return train_loop(learner, plan or plan_of(), self.output, checkpoints, context)


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


def after(steps):
    """A condition that comes true after so many questions."""
    asked = itertools.count()
    return lambda: next(asked) >= steps


@pytest.fixture
def whole(tmp_path):
    line = Line()
    Runner(tmp_path / "whole").run(line)
    return line


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(runner, whole):
    first = Line()
    with pytest.raises(InterruptedRunError, match="stopped at step 13 of 40"):
        runner.run(first, should_stop=after(13))
    second = Line()
    result = runner.run(second)
    assert (result.resumed_from, result.steps) == (13, 40)
    assert first.seen + second.seen == list(range(40))
    assert second.slope.value == whole.slope.value
    assert second.velocity.value == whole.velocity.value


def test_a_killed_run_goes_on_from_its_last_checkpoint_in_mid_pass(runner, whole):
    class Killed(Line):
        def step(self, batch, learning_rate):
            if len(self.seen) == 24:
                raise MemoryError  # stands for a death that saves nothing
            return super().step(batch, learning_rate)

    with pytest.raises(MemoryError):
        runner.run(Killed())
    line = Line()
    assert runner.run(line).resumed_from == 21
    assert line.seen == list(range(21, 40))
    assert line.slope.value == whole.slope.value
    rows = list(csv.DictReader((runner.output.folder / "history.csv").open()))
    assert [float(row["step"]) for row in rows] == [10, 20, 30, 40]


def test_ctrl_c_leaves_a_state_to_go_on_from_and_is_passed_on(runner, whole):
    def ctrl_c():
        if len(line.seen) == 12:
            raise KeyboardInterrupt
        return False

    line = Line()
    with pytest.raises(KeyboardInterrupt):
        runner.run(line, should_stop=ctrl_c)
    other = Line()
    assert runner.run(other).resumed_from == 12
    assert other.slope.value == whole.slope.value


def test_a_checkpoint_of_other_settings_is_not_taken_and_the_log_says_what_differs(runner, caplog):
    with pytest.raises(InterruptedRunError):
        runner.run(Line(), should_stop=after(13), identity={"config": {"lr": 0.1, "seed": 1}})
    with caplog.at_level(logging.WARNING):
        result = runner.run(Line(), identity={"config": {"lr": 0.05, "seed": 1}})
    assert result.resumed_from == 0
    assert "config.lr 0.1, now 0.05" in caplog.text
    assert "afresh" in caplog.text


def test_a_damaged_checkpoint_gives_way_to_the_one_before(runner, caplog):
    with pytest.raises(InterruptedRunError):
        runner.run(Line(), should_stop=after(13))
    newest = max((runner.output.folder / "checkpoints").glob("step-*.h5"))
    newest.write_bytes(newest.read_bytes()[:100])
    assert runner.run(Line()).resumed_from == 7
    assert "damaged" in caplog.text


def test_two_checkpoints_are_kept(runner):
    runner.run(Line())
    names = sorted(p.name for p in (runner.output.folder / "checkpoints").iterdir())
    assert names == ["step-000000035.h5", "step-000000040.h5"]


def test_a_checkpoint_comes_after_so_many_seconds_too(runner):
    with pytest.raises(MemoryError):
        runner.run(Dying(5), plan_of(checkpoint_steps=None, checkpoint_seconds=0))
    assert runner.run(Line()).resumed_from == 5


class Dying(Line):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def step(self, batch, learning_rate):
        if len(self.seen) == self.steps:
            raise MemoryError
        return super().step(batch, learning_rate)


def test_a_loss_that_is_no_number_is_an_error_that_names_the_step(runner):
    class Diverging(Line):
        def step(self, batch, learning_rate):
            figures = super().step(batch, learning_rate)
            return {"loss": float("nan")} if len(self.seen) == 9 else figures

    with pytest.raises(ModelError, match=r"loss is nan at step 9.*diverged"):
        runner.run(Diverging())


def test_early_stopping_keeps_the_best_weights_and_stops_in_time(runner):
    class Remembering(Line):
        def __init__(self):
            super().__init__(iter([5.0, 3.0, 4.0, 4.0, 1.0]))
            self.at = {}

        def validate(self):
            self.at[len(self.seen)] = self.slope.value
            return super().validate()

    line = Remembering()
    result = runner.run(line, plan_of(total_steps=100, patience=2))
    assert (result.steps, result.stopped_early) == (40, True)
    assert line.slope.value == line.at[20]
    assert [row["val_loss"] for row in result.history] == [5.0, 3.0, 4.0, 4.0]


def test_progress_tells_steps_loss_and_speed(runner):
    runner.run(Line())
    last = runner.progress[-1]
    assert (last.stage, last.done, last.total, last.unit) == ("TRAIN", 40, 40, "step")
    assert set(last.values) == {"loss", "images/s"}
    assert [p.done for p in runner.progress] == list(range(1, 41))


def test_a_remote_output_follows_while_training_and_another_machine_goes_on(
    tmp_path, remote_kernel, store, whole
):
    here = Runner(tmp_path / "here", remote_kernel, "store://bucket/train")
    with pytest.raises(InterruptedRunError):
        here.run(Line(), should_stop=after(13))
    assert any("step-000000013.h5" in uri for uri in store.uploads)
    there = Runner(tmp_path / "there", remote_kernel, "store://bucket/train")
    line = Line()
    assert there.run(line, sync_interval=0).resumed_from == 13
    assert line.slope.value == whole.slope.value
    left = [uri.rsplit("/", 1)[1] for uri in store.list_paths("store://bucket/train/checkpoints")]
    assert left == ["step-000000039.h5", "step-000000040.h5"]
    assert store.info("store://bucket/train/history.csv").size > 0


def test_an_upload_that_fails_on_the_way_does_not_stop_the_training_but_the_last_one_must_work(
    tmp_path, remote_kernel, store, caplog
):
    runner = Runner(tmp_path, remote_kernel, "store://bucket/train")
    store.broken = True
    assert runner.run(Line(), sync_interval=0).steps == 40
    assert "could not be uploaded" in caplog.text
    with pytest.raises(TransferError):
        runner.output.sync(final=True)


@pytest.mark.parametrize(
    "spell", [str, lambda p: p.as_uri(), lambda p: "file:" + p.as_posix().replace(" ", "%20")]
)
def test_a_local_output_is_written_where_it_is(tmp_path, spell):
    folder = tmp_path / "a place" / "out"
    context = Context(tmp_dir=tmp_path / "tmp", experiment_id="x")
    output = TrainOutput(Kernel(), spell(folder), context, 600)
    assert (output.folder, output.remote) == (Path(folder), False)


def test_the_schedules():
    constant = learning_rates("constant", 0.1, 100, warmup_steps=4)
    assert [round(constant(s), 3) for s in range(6)] == [0.02, 0.04, 0.06, 0.08, 0.1, 0.1]
    cosine = learning_rates("cosine", 0.1, 100)
    assert (cosine(0), round(cosine(50), 6), round(cosine(100), 6)) == (0.1, 0.05, 0.0)
    step = learning_rates("step", 1.0, 100, decay_steps=30, decay_rate=0.5)
    assert [step(s) for s in (0, 29, 30, 60)] == [1.0, 1.0, 0.5, 0.25]
    exponential = learning_rates("exponential", 1.0, 100, decay_steps=10, decay_rate=0.25)
    assert exponential(5) == pytest.approx(0.5)
    assert learning_rates("step", 1.0, 90)(30) == pytest.approx(0.1)


def test_differences_are_named():
    old, new = {"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": (1,)}, "d": None}
    assert differences(old, new) == ["a.b 1, now 2"]
