"""Running: what fails, what goes on, in how many processes, and where else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from rv_pipeline.commands import command_names
from rv_pipeline.runners import find_runner
from rv_pipeline.runners.local import RunOptions, StepReport

from rv_core import DataError, Kernel, NotFoundError
from rv_pipeline import ChipOptions, DatasetConfig, Experiment, SceneConfig, dag, run

Make = Callable[..., Experiment]
Draw = Callable[..., SceneConfig]


def steps_of(*experiments: Experiment, kernel: Kernel) -> list[dag.Step]:
    return dag.build(list(experiments), command_names(), kernel)


def damaged(scene: SceneConfig, tmp_path: Path) -> SceneConfig:
    """A scene whose image looks well from outside and cannot be read."""
    whole = Path(scene.raster.uris[0]).read_bytes()
    path = tmp_path / "damaged.tif"
    path.write_bytes(whole[: len(whole) // 2])
    return attrs.evolve(scene, id="damaged", raster=str(path))


def test_what_does_not_need_the_step_that_failed_runs_all_the_same(
    experiment: Make, scene: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    good = experiment(id="good")
    bad = experiment(
        id="bad", dataset=DatasetConfig(train=damaged(good.dataset.train[0], tmp_path))
    )
    steps = steps_of(bad, good, kernel=kernel)
    reports = find_runner("LOCAL", kernel).run(steps, kernel, RunOptions())
    found = {(r.experiment_id, r.command): r for r in reports}
    assert found["bad", "analyze"].status == "failed"
    assert isinstance(found["bad", "analyze"].error, DataError)
    assert found["bad", "bundle"].status == "not run"
    assert found["bad", "bundle"].reason == "ANALYZE bad failed"
    assert {r.status for r in reports if r.experiment_id == "good"} == {"done"}


def test_from_code_the_first_failure_is_raised_once_the_rest_is_done(
    experiment: Make, scene: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    good = experiment(id="good")
    bad = experiment(
        id="bad", dataset=DatasetConfig(train=damaged(good.dataset.train[0], tmp_path))
    )
    seen: list[StepReport] = []
    with pytest.raises(DataError, match=r"damaged\.tif"):
        run([bad, good], kernel=kernel, options=RunOptions(on_step=seen.append), check=False)
    assert [r.command for r in seen if (r.experiment_id, r.status) == ("good", "done")] == list(
        command_names()
    )


def test_a_run_that_is_not_checked_first_fails_when_it_gets_there(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    (tmp_path / "data/south.tif").unlink()
    with pytest.raises(NotFoundError, match=r"south\.tif"):
        run(made, kernel=kernel)
    assert not list((tmp_path / "out").rglob("_done.json"))
    with pytest.raises(NotFoundError, match=r"south\.tif"):
        run(made, kernel=kernel, check=False)
    assert (tmp_path / "out/analyze/roofs/_done.json").is_file()


@pytest.mark.slow
def test_predictions_are_the_same_with_any_number_of_processes(
    experiment: Make, scene: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    tested = [scene(name, seed=n) for n, name in enumerate("bcd")]
    made = experiment(dataset=DatasetConfig(train=scene("a", seed=3), test=tested))
    one = attrs.evolve(made, id="one")
    two = attrs.evolve(made, id="two")
    run(one, kernel=kernel, runner="INPROCESS")
    run(two, kernel=kernel, options=RunOptions(workers=2))
    for name in "bcd":
        files = [tmp_path / f"out/predict/{number}/{name}.geojson" for number in ("one", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_progress_counts_every_window_in_any_process(
    experiment: Make, kernel: Kernel, workers: int
) -> None:
    told: dict[str, list[tuple[float, float | None]]] = {}
    options = RunOptions(
        workers=workers,
        on_progress=lambda p: told.setdefault(p.stage, []).append((p.done, p.total)),
    )
    run(experiment(), kernel=kernel, options=options)
    assert told["CHIP"][-1] == (128, 128)
    assert told["PREDICT"][-1] == (64, 64)


@pytest.mark.slow
def test_a_third_partys_engine_runs_each_step_in_a_process_of_its_own(
    experiment: Make, kernel: Kernel, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given picklable steps and the kernel's spec, and finds all else at URIs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    good = experiment(id="good")
    dataset = DatasetConfig(train=damaged(good.dataset.train[0], tmp_path))
    steps = steps_of(experiment(id="bad", dataset=dataset), good, kernel=kernel)
    reports = find_runner("TOY_PROCESSES", kernel).run(steps, kernel, RunOptions(workers=2))
    assert [report.uri for report in reports] == [step.uri for step in steps]
    found = {(r.experiment_id, r.command): r for r in reports}
    assert {r.status for r in reports if r.experiment_id == "good"} == {"done"}
    assert isinstance(found["bad", "analyze"].error, DataError)
    assert {found["bad", c].status for c in command_names()[1:]} == {"not run"}
    assert (tmp_path / "out/eval/good/eval.json").is_file()


def test_random_windows_are_the_same_every_time_and_lie_inside(
    experiment: Make, kernel: Kernel
) -> None:
    options = ChipOptions(windows="random", chips_per_scene=50)
    first = run(experiment(id="a", chip=options), ["analyze", "chip"], kernel=kernel)
    again = run(experiment(id="b", chip=options), ["analyze", "chip"], kernel=kernel)
    other = attrs.evolve(options, seed=1)
    different = run(experiment(id="c", chip=other), ["analyze", "chip"], kernel=kernel)

    def windows(name: str) -> list[tuple[int, ...]]:
        made = experiment(id=name)
        backend = kernel.backend("TOY_CLASSIFICATION")
        config = kernel.backend_config("TOY_CLASSIFICATION")
        reader = backend(config, kernel)
        chips = reader.read_chips(made.output_uri("chip"), "train")
        return sorted(attrs.astuple(chip.window) for chip in chips)

    assert windows("a") == windows("b") != windows("c")
    assert all(0 <= col <= 112 and 0 <= row <= 112 for col, row, _, _ in windows("a"))
    assert first[-1].summary["splits"]["train"]["chips"] > 40
    assert again[-1].summary == first[-1].summary
    assert (
        different[-1].summary["splits"]["validation"] == first[-1].summary["splits"]["validation"]
    )
