"""PREDICT: run the trained model over scenes, window by window."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from rv_core import ConfigError
from rv_pipeline.commands._predict_blocks import Block, ScenePredictor, plan_blocks
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.reading import about
from rv_pipeline.commands.train import model_uri, resolved_backend
from rv_pipeline.commands.workers import Count, Work, do_blocks
from rv_pipeline.fingerprint import plain
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.task import Part, Task, task_of

if TYPE_CHECKING:
    from rv_core import Context, Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import SceneConfig
    from rv_pipeline.statistics import RasterStats

logger = logging.getLogger(__name__)

_NOT_IN_FILES = ("splits", "batch_size")
"""Fields of the options that do not change what a scene's predictions are."""


class Predict(Command):
    name: ClassVar[str] = "predict"
    upstream: ClassVar[tuple[str, ...]] = ("analyze", "train")

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        scenes = experiment.predicted_scenes
        task = task_of(experiment, kernel)
        return {
            "task": plain(task.config),
            "scenes": [{"id": s.id, "raster": plain(s.raster)} for s in scenes],
            "predict": {k: v for k, v in plain(task.predict).items() if k not in _NOT_IN_FILES},
        }

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        scenes = experiment.predicted_scenes
        return tuple(uri for scene in scenes for uri in scene.raster.uris)

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        return ("backends", experiment.backend_key), ("tasks", experiment.task.key)

    def run(self, job: Job) -> Result:
        experiment = job.experiment
        task = task_of(experiment, job.kernel)
        scenes = experiment.predicted_scenes
        # Predictions are made beside the output: a scene that fails leaves earlier ones alone.
        if not scenes:
            splits = " and ".join(experiment.predict.splits)
            logger.warning("there are no scenes to predict in %s", splits)
            job.publish(job.context.tmp_dir)
            return Result({"line": "no scenes"})
        stats = read_stats(job.upstream["analyze"])
        resolved = attrs.evolve(
            experiment, backend=resolved_backend(experiment, job.kernel).to_dict()
        )
        work = Work(
            "PREDICT",
            ScenePredictor.trained,
            (resolved, model_uri(job.upstream["train"]), stats),
        )
        with tempfile.TemporaryDirectory(dir=job.context.tmp_dir) as folder:
            units = predict_scenes(
                work, task, scenes, stats, Path(folder), job.kernel, job.context, job.workers
            )
            job.publish(Path(folder))
        line = f"{units} {task.units} of {len(scenes)} scene{'s' if len(scenes) > 1 else ''}"
        return Result({"line": line, "units": units})


def predict_scenes(
    work: Work[Block, Part],
    task: Task,
    scenes: Sequence[SceneConfig],
    stats: RasterStats,
    folder: Path,
    kernel: Kernel,
    context: Context,
    workers: int = 1,
) -> int:
    """Predict scenes, each into files of a local folder; returns how many units there are.

    The blocks of all scenes are shared out to the workers; a scene is put together as soon as its
    last block is there. ``work`` makes the workers (`ScenePredictor`).
    """
    bare = [attrs.evolve(scene, labels=None, aoi_uris=()) for scene in scenes]
    with tempfile.TemporaryDirectory(dir=context.tmp_dir) as parts:
        plans: list[list[Block]] = []
        windows = 0
        for number, config in enumerate(bare):
            place = Path(parts) / str(number)
            place.mkdir()
            with about(config.id), open_scene(config, kernel, stats=stats) as scene:
                blocks, count = plan_blocks(config, scene, task, place)
            plans.append(blocks)
            windows += count
        counted = Count("PREDICT", windows, context.on_progress)
        every = [block for blocks in plans for block in blocks]
        done = do_blocks(
            work,
            every,
            workers,
            kernel,
            on_tick=counted.add,
            should_stop=context.should_stop,
        )
        units = 0
        with closing(done):
            for number, (config, blocks) in enumerate(zip(bare, plans, strict=True)):
                counted.message = f"{config.id} ({number + 1}/{len(bare)})"
                found = [next(done) for _ in blocks]
                made = Path(parts) / f"{number}-made"
                made.mkdir()
                with about(config.id), open_scene(config, kernel, stats=stats) as scene:
                    units += task.write_predictions(made, config.id, scene, found, kernel)
                _move(made, folder, config.id)
                for part in found:
                    part.path.unlink(missing_ok=True)
    return units


def _move(made: Path, folder: Path, scene_id: str) -> None:
    """Move the files of a scene to those of the others. Raises `ConfigError` where the ids of two
    scenes lead to one file: ``a`` with its colors in ``a-rgb.tif``, and a scene ``a-rgb``."""
    for path in sorted(made.iterdir()):
        target = folder / path.name
        if target.exists():
            raise ConfigError(
                f"the predictions of scene {scene_id!r} and those of another would both be in "
                f"{path.name}",
                hint="give one of the scenes another id",
            )
        path.rename(target)
