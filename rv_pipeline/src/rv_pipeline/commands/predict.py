"""PREDICT: run the trained model over scenes, window by window."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from rv_core import DataError, InterruptedRunError, ModelError, Progress
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.reading import about, ahead, read_windows
from rv_pipeline.commands.train import make_backend, model_uri
from rv_pipeline.fingerprint import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import Context, Kernel, Label, Model, Window
    from rv_pipeline.experiment import Crs, Experiment
    from rv_pipeline.scenes import Scene
    from rv_pipeline.tasks.task import Task


logger = logging.getLogger(__name__)


class Predict(Command):
    name: ClassVar[str] = "predict"
    upstream: ClassVar[tuple[str, ...]] = ("analyze", "train")

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        scenes = experiment.predicted_scenes
        return {
            "task": plain(experiment.task),
            "scenes": [{"id": s.id, "raster": plain(s.raster)} for s in scenes],
            "crs": experiment.predict.crs,
        }

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        scenes = experiment.predicted_scenes
        return tuple(uri for scene in scenes for uri in scene.raster.uris)

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        return ("backends", experiment.backend_key), ("tasks", experiment.task.key)

    def run(self, job: Job) -> Result:
        from rv_pipeline.scenes import open_scene
        from rv_pipeline.tasks.task import find_task

        experiment = job.experiment
        task = find_task(experiment.task, job.kernel)
        stats = read_stats(job.upstream["analyze"])
        scenes = experiment.predicted_scenes
        cells = 0
        # Predictions are made beside the output: a scene that fails leaves earlier ones alone.
        if not scenes:
            logger.warning("there are no scenes to predict in %s", experiment.predict.splits)
            job.publish(job.context.tmp_dir)
            return Result({"line": "no scenes"})
        with tempfile.TemporaryDirectory(dir=job.context.tmp_dir) as folder:
            model = make_backend(experiment, job.kernel).load_model(
                model_uri(job.upstream["train"])
            )
            try:
                check_classes(model, task)
                for number, scene_config in enumerate(scenes):
                    config = attrs.evolve(scene_config, labels=None, aoi_uris=())
                    with (
                        about(config.id),
                        open_scene(config, job.kernel, stats=stats) as scene,
                    ):
                        cells += predict_scene(
                            scene,
                            model,
                            task,
                            Path(folder) / task.prediction_name(config.id),
                            job.context,
                            batch_size=experiment.predict.batch_size,
                            crs=experiment.predict.crs,
                            kernel=job.kernel,
                            message=f"{config.id} ({number + 1}/{len(scenes)})",
                        )
            finally:
                model.close()
            job.publish(Path(folder))
        return Result({"line": f"{cells} cells of {len(scenes)} scenes", "cells": cells})


def check_classes(model: Model, task: Task) -> None:
    """Raises `ModelError` where a model tells other classes apart than the task."""
    if model.classes.names != task.classes.names:
        raise ModelError(
            f"the model knows the classes {', '.join(model.classes.names)}, the experiment has "
            f"{', '.join(task.classes.names)}",
            hint="run TRAIN again with these classes",
        )


def predict_scene(
    scene: Scene,
    model: Model,
    task: Task,
    path: Path,
    context: Context,
    *,
    batch_size: int,
    crs: Crs,
    kernel: Kernel,
    message: str = "",
) -> int:
    """Predict the windows of a scene into a local file; returns how many there were.

    The next batch is read while the model works on one. Windows without any data are left out.
    """
    if scene.raster.bands != model.bands:
        raise DataError(
            f"{scene.raster.uri} has {scene.raster.bands} bands, the model was trained on "
            f"{model.bands}",
            hint="choose bands with channel_order",
        )
    windows = task.predict_windows(scene)
    done = 0

    def predictions() -> Iterator[tuple[Window, Label]]:
        nonlocal done
        with closing(ahead(_batches(scene, windows, batch_size))) as batches:
            for seen, members, pixels in batches:
                if context.should_stop():
                    raise InterruptedRunError("PREDICT was stopped")
                labels = model.predict(pixels) if members else ()
                done += len(members)
                context.on_progress(
                    Progress("PREDICT", seen, len(windows), "window", message=message)
                )
                yield from zip(members, labels, strict=True)

    task.write_predictions(str(path), scene, predictions(), crs, kernel)
    return done


Batch = tuple[int, list["Window"], "NDArray[Any]"]
"""How many windows were looked at so far, those of the batch, and their pixels [N, H, W, C]."""


def _batches(scene: Scene, windows: Sequence[Window], batch_size: int) -> Iterator[Batch]:
    import numpy as np

    reads = enumerate(read_windows(scene.raster, windows), start=1)
    while chunk := list(itertools.islice(reads, batch_size)):
        full = [(w, px) for _, (w, px, hole) in chunk if hole is None or not hole.all()]
        pixels = np.stack([px for _, px in full]) if full else np.zeros((0,))
        yield chunk[-1][0], [w for w, _ in full], pixels
