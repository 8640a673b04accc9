"""Runs that read an output while others would write it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from rv_pipeline.commands import COMMANDS
from rv_pipeline.dag import Step
from rv_pipeline.locks import Owner, locked
from rv_pipeline.outputs import Output
from rv_pipeline.runners.local import RunOptions, StepReport, run_step
from rv_pipeline.sharing import reading, writing

from rv_core import AlreadyExistsError, Kernel, NotWritableError, hookimpl
from rv_pipeline import ChipOptions, Experiment, run

Make = Callable[..., Experiment]

OTHER = ChipOptions(windows="random", chips_per_scene=20)


def never(error: AlreadyExistsError) -> bool:
    return False


def always(error: AlreadyExistsError) -> bool:
    return True


def test_chips_are_not_cut_anew_while_a_model_learns_from_them(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    refused: list[str] = []

    def should_stop() -> bool:  # asked in the middle of the training
        if not refused:
            with pytest.raises(AlreadyExistsError) as caught:
                run(experiment(chip=OTHER), ["chip"], kernel=kernel)
            refused.append(caught.value.message)
        return False

    run(experiment(), ["analyze", "chip"], kernel=kernel)
    before = {p.name for p in (tmp_path / "out/chip/roofs").iterdir()}
    (report,) = run(
        experiment(), ["train"], kernel=kernel, options=RunOptions(should_stop=should_stop)
    )
    assert report.status == "done"
    assert f"chip/roofs is being read by process {Owner.me().pid} on " in refused[0]
    assert {p.name for p in (tmp_path / "out/chip/roofs").iterdir()} == before
    (report,) = run(experiment(chip=OTHER), ["chip"], kernel=kernel)
    assert report.status == "done"


def test_a_run_waits_for_those_that_read_what_it_would_write(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), ["analyze", "chip"], kernel=kernel)
    said: list[tuple[str, str]] = []
    held = ExitStack()

    def on_step(report: StepReport) -> None:
        said.append((report.status, report.reason))
        if report.status == "waiting":
            held.close()

    with held:
        held.enter_context(reading([Output(str(tmp_path / "out/chip/roofs"), kernel)], never))
        options = RunOptions(wait=True, on_step=on_step)
        run(experiment(chip=OTHER), ["chip"], kernel=kernel, options=options)
    assert [status for status, _ in said] == ["waiting", "running", "done"]
    assert "is being read by process" in said[0][1]


def test_a_run_waits_for_what_it_reads_to_be_written(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    """The other run has begun: the chips do not count at this moment, which is no error."""
    run(experiment(), ["analyze", "chip"], kernel=kernel)
    chips = tmp_path / "out/chip/roofs"
    done = (chips / "_done.json").read_bytes()
    said: list[str] = []
    held = ExitStack()

    def on_step(report: StepReport) -> None:
        said.append(report.status)
        if report.status == "waiting":
            assert f"{chips} is in use by process" in report.reason
            (chips / "_done.json").write_bytes(done)
            held.close()

    with held:
        held.enter_context(locked(str(chips / "_lock.json"), kernel))
        (chips / "_done.json").unlink()
        options = RunOptions(wait=True, on_step=on_step)
        report = run_step(Step(COMMANDS["train"], (experiment(),)), kernel, options)
    assert report.status == "done"
    assert said == ["waiting", "running", "done"]


def test_several_read_and_leave_nothing_behind(kernel: Kernel, tmp_path: Path) -> None:
    output = Output(str(tmp_path / "chips"), kernel)
    with reading([output], never), reading([output], never):
        assert len(list(output.readers())) == 2
        assert output.files() == {}
    assert list(tmp_path.rglob("*.json")) == []


def test_marks_of_the_dead_hold_nobody_up(kernel: Kernel, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = attrs.evolve(Owner.me(), pid=process.pid)
    mark = tmp_path / "_reader-1.json"
    output = Output(str(tmp_path), kernel)
    mark.write_bytes(dead.to_bytes())
    with writing(output, never):
        assert not mark.exists()
    mark.write_bytes(dead.to_bytes())
    output.tidy()
    assert not mark.exists()
    (tmp_path / "_lock.json").write_bytes(dead.to_bytes())
    with reading([output], never):
        pass


def test_nobody_reads_while_another_writes(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rv_pipeline.locks.WAIT_SECONDS", 0.01)
    monkeypatch.setattr("rv_pipeline.sharing.WAIT_SECONDS", 0.01)
    outputs = [Output(str(tmp_path / name), kernel) for name in ("chips", "model")]
    guard = threading.Lock()
    inside = {"readers": 0, "writers": 0}
    wrong: list[dict[str, int]] = []

    def enter(kind: str) -> None:
        with guard:
            inside[kind] += 1
            if inside["writers"] > 1 or (inside["writers"] and inside["readers"]):
                wrong.append(dict(inside))

    def leave(kind: str) -> None:
        with guard:
            inside[kind] -= 1

    def use(number: int) -> None:
        if number % 3:
            with reading(outputs, always):
                enter("readers")
                leave("readers")
        else:
            with writing(outputs[0], always):
                enter("writers")
                leave("writers")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(40)))
    assert wrong == []


def test_what_may_only_be_read_is_read(kernel: Kernel, tmp_path: Path) -> None:
    class ReadOnly:
        @hookimpl(wrapper=True)
        def rv_filesystem(self, uri: str, mode: str) -> Any:
            if mode != "r" and "/chips" in uri:
                raise NotWritableError(f"{uri} may only be read")
            return (yield)

    from rv_plugins import plugin

    kernel = Kernel(plugins=[plugin, ReadOnly()])
    with reading([Output(str(tmp_path / "chips"), kernel)], never) as marks:
        assert marks == []
