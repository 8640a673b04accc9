"""Predicting scenes block by block."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rv_core import DataError, InterruptedRunError, ModelError, Window
from rv_pipeline.commands.reading import about, ahead, read_windows
from rv_pipeline.commands.train import make_backend
from rv_pipeline.scenes import SceneConfig, open_scene
from rv_pipeline.tasks.task import Part, Predicted, Task, task_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import Model
    from rv_pipeline.commands.workers import Surroundings
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import Scene
    from rv_pipeline.statistics import RasterStats


@attrs.frozen
class Block:
    """A piece of a scene to predict, and the local file to leave its predictions in."""

    scene: SceneConfig
    window: Window
    path: Path


def plan_blocks(
    config: SceneConfig, scene: Scene, task: Task, folder: Path
) -> tuple[list[Block], int]:
    """The blocks of a scene, whose files go to a local folder, and how many windows they have."""
    windows = task.predict_blocks(scene.extent)
    blocks = [
        Block(config, window, folder / f"{number:05d}.part")
        for number, window in enumerate(windows)
    ]
    return blocks, sum(len(task.predict_windows(scene.extent, window)) for window in windows)


class ScenePredictor:
    """Predicts blocks in one process; keeps the last scene open, since blocks come scene by
    scene, and the model loaded."""

    def __init__(
        self,
        task: Task,
        model: Model,
        stats: RasterStats,
        surroundings: Surroundings,
        *,
        close_model: bool = False,
    ) -> None:
        """``close_model``: when it is done. Raises `ModelError` where the model tells other
        classes apart than the task."""
        check_classes(model, task)
        self._task = task
        self._model = model
        self._stats = stats
        self._around = surroundings
        self._close_model = close_model
        self._open = ExitStack()
        self._current: tuple[SceneConfig, Scene] | None = None

    @classmethod
    def trained(
        cls,
        experiment: Experiment,
        model_uri: str,
        stats: RasterStats,
        surroundings: Surroundings,
    ) -> ScenePredictor:
        """Of an experiment, with the model that it trained."""
        kernel = surroundings.kernel
        model = make_backend(experiment, kernel).load_model(model_uri)
        try:
            task = task_of(experiment, kernel)
            return cls(task, model, stats, surroundings, close_model=True)
        except BaseException:
            model.close()
            raise

    def __enter__(self) -> ScenePredictor:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()
        if self._close_model:
            self._model.close()

    def __call__(self, block: Block) -> Part:
        """Predict the windows of a block into its file.

        The next batch is read while the model works on one. Raises `DataError` for an image that
        does not fit the model.
        """
        with about(block.scene.id):
            scene = self._scene(block.scene)
            with closing(self._predictions(scene, block.window)) as predictions:
                self._task.write_part(block.path, scene, block.window, predictions)
        return Part(block.window, block.path)

    def _predictions(self, scene: Scene, block: Window) -> Generator[Predicted, None, None]:
        windows = self._task.predict_windows(scene.extent, block)
        size = self._task.predict.batch_size
        with closing(ahead(_batches(scene, windows, size))) as batches:
            for seen, members, pixels in batches:
                if self._around.should_stop():
                    raise InterruptedRunError(
                        "PREDICT was stopped", hint="the next run starts it over"
                    )
                labels = self._model.predict(pixels) if members else ()
                for (window, nodata), label in zip(members, labels, strict=True):
                    yield Predicted(window, label, nodata)
                self._around.tick(seen)

    def _scene(self, config: SceneConfig) -> Scene:
        if self._current is None or self._current[0] != config:
            self._open.close()
            self._current = None
            scene = self._open.enter_context(
                open_scene(config, self._around.kernel, stats=self._stats)
            )
            if scene.raster.bands != self._model.bands:
                raise DataError(
                    f"{scene.raster.uri} is read with {scene.raster.bands} "
                    f"band{'' if scene.raster.bands == 1 else 's'}, the model was trained on "
                    f"{self._model.bands}",
                    hint="choose bands with channel_order",
                )
            self._current = (config, scene)
        return self._current[1]


def check_classes(model: Model, task: Task) -> None:
    """Raises `ModelError` where a model tells other classes apart than the task."""
    if model.classes.names != task.classes.names:
        raise ModelError(
            f"the model knows the classes {', '.join(model.classes.names)}, the experiment has "
            f"{', '.join(task.classes.names)}",
            hint="run TRAIN again with these classes",
        )


Batch = tuple[int, list[tuple[Window, "NDArray[np.bool_] | None"]], "NDArray[Any]"]
"""How many windows were looked at, those of them that hold data, and their pixels [N, H, W, C]."""


def _batches(scene: Scene, windows: Sequence[Window], batch_size: int) -> Iterator[Batch]:
    import numpy as np

    reads = read_windows(scene.raster, windows)
    while chunk := list(itertools.islice(reads, batch_size)):
        full = [(w, px, hole) for w, px, hole in chunk if hole is None or not hole.all()]
        pixels = np.stack([px for _, px, _ in full]) if full else np.zeros((0,))
        yield len(chunk), [(w, hole) for w, _, hole in full], pixels
