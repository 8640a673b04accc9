"""The task SEMANTIC_SEGMENTATION: from labels to a class for each pixel, and to figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from rv_core import UNLABELLED, ConfigError, Label, ModelError, PixelLabels, Window
from rv_pipeline.blending import Seen, blend
from rv_pipeline.evaluation import segmentation
from rv_pipeline.tasks import config as bases
from rv_pipeline.tasks._segmentation_config import (
    SegmentationChipOptions,
    SegmentationPredictOptions,
    SemanticSegmentationConfig,
)
from rv_pipeline.tasks._segmentation_labels import Chooser, Truth
from rv_pipeline.tasks.cells import generator
from rv_pipeline.tasks.task import (
    EvaluatedScene,
    Part,
    Predicted,
    Predictions,
    Table,
    Task,
    blocks,
)
from rv_pipeline.windows import slide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import Kernel
    from rv_pipeline.label_stores.polygons import Outlines
    from rv_pipeline.label_stores.stac import ItemAsset
    from rv_pipeline.rasters.label_raster import LabelRaster
    from rv_pipeline.scenes import Scene

_TILE: Final = 1024  # px: what is compared, or drawn, at a time
_POLYGONS: Final = "-polygons.geojson"


class SemanticSegmentation(Task):
    """Every pixel is of one class."""

    key: ClassVar[str] = "SEMANTIC_SEGMENTATION"
    Config: ClassVar[type[bases.TaskConfig]] = SemanticSegmentationConfig
    ChipOptions: ClassVar[type[bases.ChipOptions]] = SegmentationChipOptions
    PredictOptions: ClassVar[type[bases.PredictOptions]] = SegmentationPredictOptions
    suffix: ClassVar[str] = ".tif"
    unit: ClassVar[str] = "pixel"

    config: SemanticSegmentationConfig
    chip: SegmentationChipOptions
    predict: SegmentationPredictOptions

    def __init__(
        self,
        config: bases.TaskConfig,
        chip: bases.ChipOptions | None = None,
        predict: bases.PredictOptions | None = None,
    ) -> None:
        super().__init__(config, chip, predict)
        self._last: Truth | None = None
        try:
            self._targets = [self.classes.id_of(name) for name in self.chip.target_classes]
        except ConfigError as error:
            raise ConfigError(f"chip.target_classes: {error.message}", hint=error.hint) from error
        self._outlines()  # a class that is not there is an error before any work
        size, stride = self.config.chip_size, self.predict.stride
        if stride is not None and stride > size:
            raise ConfigError(
                f"predict.stride is {stride}: windows of {size} px leave gaps then",
                hint="use a stride of at most half the chip_size",
            )

    @property
    def chip_size(self) -> tuple[int, int]:
        return self.config.chip_size, self.config.chip_size

    def check_scene(self, scene: Scene) -> None:
        """Raises `ConfigError` for polygons that cannot be measured. A scene that is smaller than a
        chip will do: it is seen with nodata around it."""
        if (outlines := self._outlines()) is not None:
            from rv_pipeline.label_stores.polygons import smallest_area

            smallest_area(scene.raster, outlines)

    def chip_windows(self, scene: Scene, split: str) -> Sequence[Window]:
        size = self.config.chip_size
        if split != "train":
            return slide(scene.extent, size, size)
        chooser = Chooser(self._truth(scene), self.chip, self._targets)
        if self.chip.windows == "random":
            return chooser.drawn(size, generator(self.chip.seed, scene.id))
        return chooser.surviving(slide(scene.extent, size, self.chip.stride or size))

    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        truth = self._truth(scene)
        masks = map(truth.read, windows)
        return [PixelLabels(mask) if (mask != UNLABELLED).any() else None for mask in masks]

    def predict_windows(self, extent: Window, block: Window) -> Sequence[Window]:
        """All windows of the scene that touch the block, so that each of its pixels is blended of
        the same windows in the same order, whatever the blocks."""
        size = self.config.chip_size
        stride = self.predict.stride or max(1, size // 2)
        return slide(extent, size, stride, block)

    def display_windows(self, extent: Window) -> Sequence[Window]:
        return blocks(extent, _TILE)

    def write_part(
        self, path: Path, scene: Scene, block: Window, predictions: Iterator[Predicted]
    ) -> None:
        from rv_pipeline.label_stores import raster as store

        count = len(self.classes)
        with store.PartWriter(path, block, count if self.predict.probabilities else 0) as part:
            for band in blend(block, count, map(self._seen, predictions)):
                missing = ~band.covered
                stored = None
                if self.predict.probabilities:
                    stored = store.stored_probabilities(band.probabilities, missing)
                part.write(band.window, store.best_classes(band.probabilities, missing), stored)

    def _seen(self, predicted: Predicted) -> Seen:
        """What a model says of a window; raises `ModelError` for something else than a class of
        each pixel."""
        window, label, nodata = predicted
        count = len(self.classes)
        if not isinstance(label, PixelLabels):
            raise ModelError(
                f"the model predicts {type(label).__name__}, where {self.key} needs PixelLabels"
            )
        shape: tuple[int, ...] = ()
        if label.probabilities is not None:
            shape = label.probabilities.shape
            if shape == (window.height, window.width, count):
                if not np.isfinite(label.probabilities.sum()):
                    raise ModelError(
                        "the model predicts probabilities that are no numbers",
                        hint="its training may have diverged: try a lower learning rate",
                    )
                return Seen(window, label.probabilities, nodata)
        elif label.mask is not None:
            shape = label.mask.shape
            if shape == (window.height, window.width):  # each window has a vote
                unsaid = label.mask == UNLABELLED
                if ((label.mask >= count) & ~unsaid).any():
                    raise ModelError(
                        f"the model predicts class {label.mask[~unsaid].max()}, and there are 0 to "
                        f"{count - 1}"
                    )
                votes = (label.mask[:, :, None] == np.arange(count)).astype(np.float32)
                return Seen(window, votes, unsaid if nodata is None else unsaid | nodata)
        raise ModelError(
            f"the model predicts {shape or 'nothing'} for a window of {window.height} x "
            f"{window.width} px and {count} classes"
        )

    def write_predictions(
        self, folder: Path, stem: str, scene: Scene, parts: Sequence[Part], kernel: Kernel
    ) -> int:
        from rv_pipeline.label_stores import polygons, stac
        from rv_pipeline.label_stores import raster as store

        source, classes = scene.raster, self.classes
        main = folder / f"{stem}{self.suffix}"
        store.write_classes(main, source, classes, parts)
        assets = [_cog("classes", main.name, "Classes", [stac.class_band()])]
        if self.predict.probabilities:
            name = f"{stem}-probabilities.tif"
            store.write_probabilities(folder / name, source, classes, parts)
            bands = stac.probability_bands(classes, store.PROBABILITY_STEPS)
            assets.append(_cog("probabilities", name, "Probability of each class", bands))
        if self.predict.rgb:
            name = f"{stem}-rgb.tif"
            store.write_rgb(folder / name, source, classes, parts)
            assets.append(_cog("rgb", name, "Classes in their colors", [], "visual"))
        if (outlines := self._outlines()) is not None:
            uri, crs = str(folder / f"{stem}{_POLYGONS}"), self.predict.crs
            polygons.write_polygons(uri, main, source, classes, outlines, kernel, crs=crs)
            assets.append(
                stac.ItemAsset(
                    key="polygons",
                    name=f"{stem}{_POLYGONS}",
                    media_type=stac.GEOJSON,
                    title="Polygons",
                )
            )
        stac.write_item(folder, stem, source, classes, assets, kernel, task=self.key)
        return sum(part.block.width * part.block.height for part in parts)

    def _outlines(self) -> Outlines | None:
        """The polygons that are asked for."""
        options = self.predict.polygons
        if options is None:
            return None
        from rv_pipeline.label_stores.polygons import Outlines

        names = options.classes or [
            name for name in self.classes.names if name != self.config.background_class
        ]
        return Outlines(
            class_ids=[self.classes.id_of(name) for name in names],
            sieve=options.sieve,
            min_area=options.min_area,
            min_area_units=options.min_area_units,
            simplify=options.simplify,
        )

    def read_predictions(self, uri: str, scene: Scene, kernel: Kernel) -> Predictions:
        return _PredictedPixels(self._open_predictions(uri, scene, kernel))

    def _open_predictions(self, uri: str, scene: Scene, kernel: Kernel) -> LabelRaster:
        from rv_pipeline.rasters.label_raster import LabelRaster

        return LabelRaster.of_predictions(uri, scene.raster, self.classes, kernel)

    def evaluate(self, scenes: Iterable[EvaluatedScene], kernel: Kernel) -> dict[str, Any]:
        """Compares pixel by pixel, and polygon by polygon where there are some and the labels are
        vectors; pixels without a label or a prediction do not count."""
        names = self.classes.names
        total = np.zeros((len(names), len(names)), np.int64)
        matched: dict[str, segmentation.Matches] = {}
        figures: dict[str, Any] = {}
        for scene_id, scene, uri in scenes:
            counts = self._count(scene, uri, kernel)
            total += counts
            figures[scene_id] = segmentation.summary(counts, names)
            found = self._match(scene, uri, kernel)
            if found:
                figures[scene_id]["polygons"] = self._polygon_figures(found)
            for name, matches in found.items():
                matched[name] = matched.get(name, segmentation.Matches()) + matches
        overall = segmentation.summary(total, names)
        if matched:
            overall["polygons"] = self._polygon_figures(matched)
        return {"task": self.key, "overall": overall, "scenes": figures}

    def _count(self, scene: Scene, uri: str, kernel: Kernel) -> NDArray[np.int64]:
        truth = self._truth(scene)
        counts = np.zeros((len(self.classes), len(self.classes)), np.int64)
        if not truth.is_labelled:
            return counts
        with self._open_predictions(uri, scene, kernel) as predicted:
            for window in self.display_windows(scene.extent):
                true = truth.read(window)
                counts += segmentation.count(true, predicted.read(window), len(self.classes))
        return counts

    def _match(self, scene: Scene, uri: str, kernel: Kernel) -> dict[str, segmentation.Matches]:
        """How the polygons of each class match the labels, where both are there."""
        outlines, options = self._outlines(), self.predict.polygons
        if outlines is None or options is None or scene.features is None:
            return {}
        from rv_pipeline.vectors import read_features
        from rv_pipeline.vectors.config import LabelConfig

        polygons = LabelConfig(uris=f"{uri.removesuffix(self.suffix)}{_POLYGONS}")
        predicted = read_features(polygons, scene.raster, self.classes, kernel)
        return {
            self.classes.name_of(class_id): segmentation.match_polygons(
                scene.features, predicted, class_id, options.iou_thresh, scene.aoi, scene.extent
            )
            for class_id in outlines.class_ids
        }

    def _polygon_figures(self, matched: dict[str, segmentation.Matches]) -> dict[str, Any]:
        assert self.predict.polygons is not None
        return {
            "iou_thresh": self.predict.polygons.iou_thresh,
            "classes": {name: matches.figures() for name, matches in matched.items()},
        }

    def headline(self, overall: dict[str, Any]) -> str:
        if not overall["pixels"]:
            return "no labelled pixels"
        return (
            f"mean IoU {overall['mean_iou']:.3f}, macro F1 {overall['macro']['f1']:.3f}, "
            f"accuracy {overall['accuracy']:.3f} over {overall['pixels']:,} pixels"
        )

    def tables(self, overall: dict[str, Any]) -> Sequence[Table]:
        shown = ("precision", "recall", "f1", "iou")
        rows = [
            [name, *(f"{figures[x]:.3f}" for x in shown), str(figures["support"])]
            for name, figures in overall["classes"].items()
        ]
        for name, average, iou in (
            ("macro average", overall["macro"], overall["mean_iou"]),
            ("weighted average", overall["weighted"], overall["frequency_weighted_iou"]),
        ):
            scores = [f"{average[x]:.3f}" for x in shown[:3]]
            rows.append([name, *scores, f"{iou:.3f}", str(average["support"])])
        headings = ("class", "precision", "recall", "F1", "IoU", "support")
        found = [Table("Pixels by class", headings, rows)]
        if (polygons := overall.get("polygons")) is not None:
            title = f"Polygons by class (IoU of at least {polygons['iou_thresh']:g})"
            headings = ("class", "precision", "recall", "F1", "predicted", "support")
            found.append(
                Table(
                    title,
                    headings,
                    [
                        [
                            name,
                            *(f"{figures[x]:.3f}" for x in shown[:3]),
                            str(figures["predicted"]),
                            str(figures["support"]),
                        ]
                        for name, figures in polygons["classes"].items()
                    ],
                )
            )
        return found

    def _truth(self, scene: Scene) -> Truth:
        """What is true of a scene; that of the last one is kept."""
        if self._last is None or self._last.scene is not scene:
            background = UNLABELLED
            if self.config.background_class is not None:
                background = self.classes.id_of(self.config.background_class)
            self._last = Truth(scene, background)
        return self._last


def _cog(
    key: str, name: str, title: str, bands: Sequence[dict[str, Any]], role: str = "data"
) -> ItemAsset:
    from rv_pipeline.label_stores.stac import COG, ItemAsset

    return ItemAsset(
        key=key, name=name, media_type=COG, title=title, roles=(role,), bands=tuple(bands)
    )


class _PredictedPixels(Predictions):
    """The class ids of a scene's GeoTIFF."""

    def __init__(self, raster: LabelRaster) -> None:
        self._open = ExitStack()
        self._raster = self._open.enter_context(raster)

    def labels(self, windows: Sequence[Window]) -> Sequence[Label | None]:
        masks = map(self._raster.read, windows)
        return [PixelLabels(mask) if (mask != UNLABELLED).any() else None for mask in masks]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()
