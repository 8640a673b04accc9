"""What can be checked before a long run starts, so that it does not fail at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from rv_pipeline.commands.chip import CHIP_SPLITS, labelled_scenes
from rv_pipeline.commands.evaluate import evaluated_scenes
from rv_pipeline.commands.reading import Layout, about
from rv_pipeline.outputs import check_writable

if TYPE_CHECKING:
    from rv_core import ClassMap, Kernel
    from rv_pipeline.dag import Step
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import SceneConfig


def check_scenes(steps: Sequence[Step], kernel: Kernel) -> None:
    """Open every scene that the steps will read, labels included, and cut its windows.

    Raises `DataError` for what cannot be read, labels that lie elsewhere, unknown classes, scenes
    smaller than a chip and those that differ in their bands; `NotWritableError` for an output that
    cannot be written.
    """
    for step in steps:
        check_writable(step.uri, kernel)
    seen: dict[tuple[str, bool], Layout] = {}
    trained: dict[str, Layout] = {}  # experiment -> its first training scene
    for step in steps:
        if step.command.name in ("bundle", "train"):
            continue
        for scene, labels in _scenes(step.command.name, step.experiment):
            mark = (repr((scene, step.experiment.task)), labels)
            if mark not in seen:
                seen[mark] = _check_scene(scene, labels, step.experiment, kernel)
            _check_layout(seen[mark], step, trained)


def _check_layout(found: Layout, step: Step, trained: dict[str, Layout]) -> None:
    if step.command.name in ("analyze", "chip"):  # training scenes come first
        for experiment in step.experiments:
            trained.setdefault(experiment.id, found)
    first = trained.get(step.experiment.id, found)
    if step.command.name == "chip":
        first.check_chips(found)
    else:
        first.check_bands(found)


def _scenes(command: str, experiment: Experiment) -> list[tuple[SceneConfig, bool]]:
    """The scenes that a command reads, and whether with their labels."""
    if command == "analyze":
        return [(scene, False) for scene in experiment.dataset.train]
    if command == "chip":
        return [(s, True) for split in CHIP_SPLITS for s in labelled_scenes(experiment, split)]
    if command == "eval":
        return [(scene, True) for scene in evaluated_scenes(experiment)]
    return [(scene, False) for scene in experiment.predicted_scenes]


def _check_scene(
    config: SceneConfig, labels: bool, experiment: Experiment, kernel: Kernel
) -> Layout:
    from rv_pipeline.scenes import open_scene
    from rv_pipeline.tasks.task import task_of

    task = task_of(experiment, kernel)
    classes: ClassMap | None = task.classes if labels else None
    bare = config if labels else attrs.evolve(config, labels=None, aoi_uris=())
    with about(config.id), open_scene(bare, kernel, classes=classes, with_labels=labels) as scene:
        task.check_scene(scene)
        return Layout.of(scene)
