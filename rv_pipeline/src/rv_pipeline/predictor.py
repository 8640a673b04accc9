"""Predicting with a bundle, on any machine that has its plugins."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rv_core import Context, Kernel, OnProgress, ignore_progress
from rv_pipeline.bundle import (
    MAX_BUNDLE_BYTES,
    MODEL_FOLDER,
    check_requirements,
    read_info,
    unpack,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from rv_core import Model
    from rv_pipeline.bundle import BundleInfo
    from rv_pipeline.experiment import Crs

logger = logging.getLogger(__name__)


class Predictor:
    """A bundle, unpacked and ready; a context manager.

    ``kernel``: what is installed, if not given. Raises `ModelError` for a file that is no bundle,
    and `UnknownKeyError`, with what to install, where plugins are missing.

    ::

        with Predictor("s3://models/roofs/bundle.zip") as predictor:
            predictor.predict("image.tif", "roofs.geojson")
    """

    def __init__(self, bundle_uri: str | os.PathLike[str], kernel: Kernel | None = None) -> None:
        from rv_pipeline.loading import task_config
        from rv_pipeline.tasks.task import find_task

        self.kernel = kernel if kernel is not None else Kernel()
        self._where = str(bundle_uri)
        path = self.kernel.files.local_path(self._where)
        self.info: BundleInfo = read_info(path, self._where)
        check_requirements(self.info, self.kernel, self._where)
        self.task = find_task(task_config(self.info.task), self.kernel)
        self._folder = tempfile.TemporaryDirectory(prefix="rv-predict-")
        try:
            limit = self.kernel.config.get("pipeline", "max_bundle_bytes", MAX_BUNDLE_BYTES, int)
            unpack(path, Path(self._folder.name), self._where, limit)
            self._model = self._load()
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def model(self) -> Model:
        return self._model

    def predict(
        self,
        image_uri: str | os.PathLike[str],
        out_uri: str | os.PathLike[str],
        *,
        crs: Crs | None = None,
        on_progress: OnProgress = ignore_progress,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Predict one image and write the result, whole or not at all; returns how many windows.

        ``crs``: ``image`` or ``EPSG:4326``; as the bundle's experiment had it, if not given.
        The image is read like the training scenes: the same bands, transformers and statistics.
        """
        from rv_pipeline.commands.predict import predict_scene
        from rv_pipeline.loading import raster_config
        from rv_pipeline.scenes import SceneConfig, open_scene
        from rv_pipeline.statistics import RasterStats

        image, out = str(image_uri), str(out_uri)
        self.kernel.filesystem(out, "w")  # before the work: can it be written at all?
        scene_config = SceneConfig(id="image", raster=raster_config(self.info.raster, image))
        stats = RasterStats.from_dict(self.info.stats)
        with (
            tempfile.TemporaryDirectory(dir=self._folder.name) as folder,
            open_scene(scene_config, self.kernel, stats=stats) as scene,
        ):
            result = Path(folder) / self.task.prediction_name("image")
            context = Context(
                Path(folder), self.info.experiment_id, on_progress, should_stop or _never
            )
            count = predict_scene(
                scene,
                self._model,
                self.task,
                result,
                context,
                batch_size=self.info.predict.get("batch_size", 64),
                crs=crs or self.info.predict["crs"],
                kernel=self.kernel,
            )
            self.kernel.files.copy(str(result), out)
        return count

    def close(self) -> None:
        """Give back the model and the files it was unpacked to."""
        self._model.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> Model:
        fields: dict[str, Any] = dict(self.info.backend)
        cls = self.kernel.backend(fields["backend"])
        config = cls.Config.from_dict(fields)
        model = Path(self._folder.name) / MODEL_FOLDER / self.info.model
        return cls(config, self.kernel).load_model(str(model))


def _never() -> bool:
    return False
