"""Predicting with a bundle, on any machine that has its plugins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
from rv_core.local_files import is_local, path_of

from rv_core import (
    ConfigError,
    Context,
    DataError,
    Kernel,
    ModelError,
    OnProgress,
    ignore_progress,
)
from rv_pipeline.bundle import (
    MAX_BUNDLE_BYTES,
    check_requirements,
    read_info,
    unpack,
)

if TYPE_CHECKING:
    from rv_core import Model
    from rv_pipeline.bundle import BundleInfo
    from rv_pipeline.scenes import SceneConfig
    from rv_pipeline.statistics import RasterStats
    from rv_pipeline.tasks.config import Crs
    from rv_pipeline.tasks.task import Task

Uri = str | os.PathLike[str]

_KINDS = ((".tif", ".tiff"), (".geojson", ".json"))
"""Endings that say what a file is."""


class Predictor:
    """A bundle, unpacked, its model loaded; a context manager.

    ``kernel``: what is installed, if not given. Raises `ModelError` for a file that is no bundle
    or whose model knows other classes, and `UnknownKeyError`, with what to install, where plugins
    are missing or older than those that made it.

    ::

        with Predictor("s3://models/roofs/bundle.zip") as predictor:
            predictor.predict("image.tif", "roofs.geojson")
    """

    def __init__(self, bundle_uri: Uri, kernel: Kernel | None = None) -> None:
        from rv_pipeline.commands._predict_blocks import check_classes
        from rv_pipeline.loading import raster_config, task_from
        from rv_pipeline.statistics import RasterStats

        self.kernel = kernel if kernel is not None else Kernel()
        self._where = str(bundle_uri)
        path = self.kernel.files.local_path(self._where)
        self.info: BundleInfo = read_info(path, self._where)
        check_requirements(self.info, self.kernel, self._where)
        with self._understood():
            self.task: Task = task_from(self.info.task, self.info.predict, self.kernel)
            raster_config(self.info.raster, [self._where])
            self._trained_stats = RasterStats.from_dict(self.info.stats)
        self._folder = tempfile.TemporaryDirectory(prefix="rv-predict-")
        try:
            limit = self.kernel.config.get("pipeline", "max_bundle_bytes", MAX_BUNDLE_BYTES, int)
            model = unpack(path, Path(self._folder.name), self._where, self.info.model, limit)
            self._model = self._load(model)
            try:
                check_classes(self._model, self.task)
            except BaseException:
                self._model.close()
                raise
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def model(self) -> Model:
        return self._model

    def predict(
        self,
        image_uri: Uri | Sequence[Uri],
        out_uri: Uri,
        *,
        crs: Crs | None = None,
        channel_order: Sequence[int] | None = None,
        update_stats: bool = False,
        on_progress: OnProgress = ignore_progress,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Predict an image and write the result, whole or not at all; returns how many cells,
        boxes or pixels it has.

        ``image_uri``: several files make a mosaic. ``out_uri``: of the main file; what else there
        is goes beside it, under names that start like it; raises `ConfigError` where that is a
        folder, or the image itself. ``crs``: ``image`` or ``EPSG:4326``; as
        the bundle's experiment had it, if not given. The image is read like the training scenes:
        the same bands, transformers and statistics, unless ``channel_order`` names other bands,
        from 0 on, or ``update_stats`` takes the statistics from this image.
        """
        from rv_pipeline.commands._predict_blocks import ScenePredictor
        from rv_pipeline.commands.predict import predict_scenes
        from rv_pipeline.commands.workers import Work
        from rv_pipeline.label_stores.stac import ITEM_SUFFIX, rename_asset
        from rv_pipeline.outputs import check_writable

        out = os.fspath(out_uri)
        place, name = _split(out)
        stem = PurePosixPath(name).stem
        if not name:
            raise ConfigError(f"{out!r} names no file to write to", hint="give it a name")
        scene = self._scene(stem, image_uri, channel_order)
        self._check_out(out, scene.raster.uris)
        check_writable(place.rstrip("/") or (place and "/") or ".", self.kernel)
        task = self.task
        if crs is not None:
            predict = attrs.evolve(task.predict, crs=crs)
            task = type(task)(task.config, task.chip, predict)
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            made, scratch = Path(folder) / "made", Path(folder) / "scratch"
            made.mkdir()
            scratch.mkdir()
            context = Context(scratch, self.info.experiment_id, on_progress, should_stop)
            stats = self._stats(scene, update_stats, context)
            work = Work("PREDICT", ScenePredictor, (task, self._model, stats))
            count = predict_scenes(work, task, [scene], stats, made, self.kernel, context)
            main = made / f"{stem}{task.suffix}"
            if name != main.name:
                rename_asset(made / f"{stem}{ITEM_SUFFIX}", main.name, name)
            for file in sorted(made.iterdir(), key=lambda file: file == main):  # the main one last
                target = name if file == main else file.name
                self.kernel.files.copy(str(file), f"{place}{target}")
        return count

    def _check_out(self, out: str, images: Sequence[str]) -> None:
        """Raises, before the work, for a place that cannot be written or should not be."""
        self.kernel.filesystem(out, "w")
        target = Path(path_of(out)) if is_local(out) else None
        if target is not None and target.is_dir():
            raise ConfigError(f"{out} is a folder", hint="give the name of a file in it")
        for image in images:
            same = image == out
            if target is not None and target.exists() and is_local(image):
                source = Path(path_of(image))
                same = source.exists() and source.samefile(target)
            if same:
                raise ConfigError(
                    f"the result would be written over the image {image}",
                    hint="give it another name or folder",
                )
        ending = PurePosixPath(_split(out)[1]).suffix.lower()
        other = next((kind for kind in _KINDS if ending in kind), ())
        if other and self.task.suffix not in other:
            raise ConfigError(
                f"{out} ends in {ending}, and predictions of {self.task.key} are "
                f"{self.task.suffix} files",
                hint=f"give it a name that ends in {self.task.suffix}",
            )

    def config(self) -> dict[str, Any]:
        """What the bundle predicts, with what and how it reads images; JSON-able."""
        return self.info.to_dict()

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

    def _scene(
        self, stem: str, image: Uri | Sequence[Uri], channel_order: Sequence[int] | None
    ) -> SceneConfig:
        from rv_pipeline.loading import raster_config
        from rv_pipeline.scenes import SceneConfig

        images = [image] if isinstance(image, str | os.PathLike) else image
        reading: Mapping[str, Any] = self.info.raster
        if channel_order is not None:
            reading = {**reading, "channel_order": list(channel_order)}
        return SceneConfig(id=stem, raster=raster_config(reading, [os.fspath(i) for i in images]))

    def _stats(self, scene: SceneConfig, update: bool, context: Context) -> RasterStats:
        from rv_pipeline.rasters import RasterSource
        from rv_pipeline.statistics import compute_stats

        if not update:
            return self._trained_stats
        with RasterSource.open(scene.raster, self.kernel) as raster:
            return compute_stats([raster], on_progress=context.on_progress)

    def _load(self, model: Path) -> Model:
        cls = self.kernel.backend(self.info.backend["backend"])
        with self._understood():
            config = cls.Config.from_dict(self.info.backend)
        return cls(config, self.kernel).load_model(str(model))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Names the bundle in errors about what stands in it."""
        try:
            yield
        except (ConfigError, DataError) as error:
            raise ModelError(
                f"{self._where} is damaged, or made by a version of its plugins that differs: "
                f"{error.message}",
                hint="make the bundle again, or install the versions it was made with: "
                + ", ".join(f"{name} {version}" for name, version in self.info.versions.items()),
            ) from error


def _split(uri: str) -> tuple[str, str]:
    """The folder of a file, up to the slash that ends it, and the name."""
    scheme, mark, path = uri.rpartition("://")
    if not mark:
        path = path.replace(os.sep, "/")
    folder, slash, name = path.rpartition("/")
    return f"{scheme}{mark}{folder}{slash}", name
