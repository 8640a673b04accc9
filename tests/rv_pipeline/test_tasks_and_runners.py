"""Tasks and runners by key: the pipeline's own, and those that a plugin brings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from rv_pipeline.runners import find_runner
from rv_pipeline.runners.local import LocalRunner
from rv_pipeline.tasks.task import find_task

from rv_core import ConfigError, Kernel, PluginContractError, UnknownKeyError
from rv_pipeline import ChipClassificationConfig, DatasetConfig, Experiment, SceneConfig, run

Make = Callable[..., Experiment]

PLUGIN = """
from rv_core import hookimpl

@hookimpl
def rv_task(key, kernel):
    if key == "CHECKERBOARD":
        from rv_pipeline.tasks.cells import ChipClassification

        class Checkerboard(ChipClassification):
            key = "CHECKERBOARD"

            def label(self, scene, windows):
                from rv_core import ChipLabel
                return [ChipLabel((w.col_off + w.row_off) // w.width % 2) for w in windows]

        return Checkerboard
    if key == "NO_TASK":
        return dict

@hookimpl
def rv_runner(key, kernel):
    if key == "BACKWARDS":
        from rv_pipeline.runners.local import LocalRunner

        class Backwards(LocalRunner):
            def run(self, steps, kernel, options):
                return super().run(steps, kernel, options)[::-1]

        return Backwards
"""


@pytest.fixture
def with_plugin(make_distribution: Callable[..., Path]) -> Kernel:
    """A kernel that finds a plugin with two tasks and a runner beside what is installed."""
    folder = make_distribution(
        "acme-tasks",
        {
            "rv.tasks.v1": {"CHECKERBOARD": "acme_tasks", "NO_TASK": "acme_tasks"},
            "rv.runners.v1": {"BACKWARDS": "acme_tasks"},
        },
        {"acme_tasks.py": PLUGIN},
    )
    return Kernel(path=[folder, *sys.path])


def task(key: str) -> ChipClassificationConfig:
    return ChipClassificationConfig(key=key, classes=["roof", "ground"])


def test_the_pipelines_own_are_found(kernel: Kernel) -> None:
    assert find_task(task("CHIP_CLASSIFICATION"), kernel).key == "CHIP_CLASSIFICATION"
    assert isinstance(find_runner("LOCAL", kernel), LocalRunner)
    assert {"CHIP_CLASSIFICATION"} <= set(kernel.keys("tasks"))


def test_a_runner_is_found_in_any_case(kernel: Kernel, with_plugin: Kernel) -> None:
    assert isinstance(find_runner("local", Kernel(plugins=[])), LocalRunner)
    assert type(find_runner("backwards", with_plugin)).__name__ == "Backwards"


def test_an_embedded_kernel_has_them_too(kernel: Kernel) -> None:
    bare = Kernel(plugins=[])
    assert find_task(task("CHIP_CLASSIFICATION"), bare).chip_size == (300, 300)
    assert isinstance(find_runner("LOCAL", bare), LocalRunner)


def test_a_plugin_brings_a_task(with_plugin: Kernel) -> None:
    found = find_task(task("CHECKERBOARD"), with_plugin)
    assert found.key == "CHECKERBOARD"
    assert found.classes.names == ("roof", "ground")


def test_a_plugin_brings_a_runner(experiment: Make, with_plugin: Kernel) -> None:
    reports = run(experiment(), ["analyze", "chip"], kernel=with_plugin, runner="BACKWARDS")
    assert [report.command for report in reports] == ["chip", "analyze"]


def test_what_is_not_there_or_not_right_is_named(with_plugin: Kernel) -> None:
    with pytest.raises(UnknownKeyError, match="'CHIP_CLASIFICATION'") as caught:
        find_task(task("CHIP_CLASIFICATION"), with_plugin)
    assert "CHIP_CLASSIFICATION" in str(caught.value.hint)
    with pytest.raises(UnknownKeyError, match="'CLOUD'"):
        find_runner("CLOUD", with_plugin)
    with pytest.raises(PluginContractError, match="NO_TASK"):
        find_task(task("NO_TASK"), with_plugin)


def test_a_backend_is_asked_only_for_what_it_learns(experiment: Make, with_plugin: Kernel) -> None:
    with pytest.raises(ConfigError, match="TOY_CLASSIFICATION does not learn CHECKERBOARD"):
        run(experiment(task=task("CHECKERBOARD")), kernel=with_plugin)


def test_scenes_without_labels_are_predicted_and_not_evaluated(
    experiment: Make, scene: Callable[..., SceneConfig], kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    bare = attrs.evolve(scene("east", seed=5), labels=None)
    dataset = DatasetConfig(train=made.dataset.train, validation=made.dataset.validation, test=bare)
    reports = run(attrs.evolve(made, dataset=dataset), kernel=kernel)
    names = {p.name for p in (tmp_path / "out/predict/roofs").glob("*.geojson")}
    assert names == {"south.geojson", "east.geojson"}
    figures = next(r for r in reports if r.command == "eval").summary["overall"]
    assert figures["cells"] == 64


def test_an_experiment_with_nothing_to_predict_still_makes_a_bundle(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    alone = attrs.evolve(made, dataset=DatasetConfig(train=made.dataset.train))
    reports = run(alone, kernel=kernel)
    assert all(report.status == "done" for report in reports)
    assert (tmp_path / "out/bundle/roofs/bundle.zip").exists()
