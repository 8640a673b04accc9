"""The task OBJECT_DETECTION: from labels to boxes on chips, from boxes in windows to objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rv_core import BoxLabels, ConfigError, DataError, Label, ModelError, Window
from rv_pipeline import boxes as geometry
from rv_pipeline.evaluation import detection
from rv_pipeline.evaluation.box_pairs import NOTHING, confusion
from rv_pipeline.rasters import holds_data
from rv_pipeline.tasks import config as bases
from rv_pipeline.tasks._detection_config import (
    DetectionChipOptions,
    DetectionPredictOptions,
    ObjectDetectionConfig,
)
from rv_pipeline.tasks._detection_merging import Findings, merge
from rv_pipeline.tasks._detection_windows import Chooser, SceneBoxes, box_labels
from rv_pipeline.tasks.cells import generator
from rv_pipeline.tasks.task import (
    EvaluatedScene,
    Part,
    Predicted,
    Predictions,
    Table,
    Task,
    check_labels_are_vectors,
)
from rv_pipeline.windows import Good, first, slide

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.scenes import Scene
    from rv_pipeline.vectors import Features

logger = logging.getLogger(__name__)


class ObjectDetection(Task):
    """Objects in upright boxes; the box of a label is the one around its polygon."""

    key: ClassVar[str] = "OBJECT_DETECTION"
    Config: ClassVar[type[bases.TaskConfig]] = ObjectDetectionConfig
    ChipOptions: ClassVar[type[bases.ChipOptions]] = DetectionChipOptions
    PredictOptions: ClassVar[type[bases.PredictOptions]] = DetectionPredictOptions
    suffix: ClassVar[str] = ".geojson"
    unit: ClassVar[str] = "box"

    config: ObjectDetectionConfig
    chip: DetectionChipOptions
    predict: DetectionPredictOptions

    def __init__(
        self,
        config: bases.TaskConfig,
        chip: bases.ChipOptions | None = None,
        predict: bases.PredictOptions | None = None,
    ) -> None:
        super().__init__(config, chip, predict)
        self._last: tuple[Features, SceneBoxes] | None = None
        size = self.config.chip_size
        if self.predict.stride is not None and self.predict.stride > size:
            raise ConfigError(
                f"predict.stride is {self.predict.stride}: windows of {size} px leave gaps then",
                hint="use a stride of at most half the chip_size",
            )

    @property
    def chip_size(self) -> tuple[int, int]:
        return self.config.chip_size, self.config.chip_size

    def check_scene(self, scene: Scene) -> None:
        """Raises `DataError` for labels that are no vectors. A scene that is smaller than a chip
        will do: it is seen with nodata around it."""
        check_labels_are_vectors(scene, self.key)

    def chip_windows(self, scene: Scene, split: str) -> Sequence[Window]:
        """`DetectionChipOptions` says which; row by row, none of them twice."""
        extent, options, size = scene.extent, self.chip, self.config.chip_size
        if options.windows == "image":
            return [_whole_image(extent, size)]
        labels = self._boxes(scene)
        chooser = Chooser(
            labels,
            extent,
            scene.aoi,
            size,
            options.ioa_thresh,
            options.neg_ioa_thresh,
            scene.id,
            scene.holds_data,
        )
        draw = generator(options.seed, scene.id)
        if split != "train" or options.windows == "sliding":
            found = chooser.usable(slide(extent, size, _stride(options.stride, size)))
            if split == "train":
                found = _at_most(options.chips_per_scene, found, draw, scene.holds_data)
        elif options.windows == "label":
            found = chooser.centred(options.label_buffer)
            found += chooser.negatives(_share(len(found), options.neg_ratio), draw)
            found = _at_most(options.chips_per_scene, found, draw, scene.holds_data)
        else:
            found = self._around_labels(chooser, draw)
        return sorted(set(found), key=lambda window: (window.row_off, window.col_off))

    def _around_labels(self, chooser: Chooser, draw: np.random.Generator) -> list[Window]:
        ratio, total = self.chip.neg_ratio, self.chip.chips_per_scene
        if len(chooser.labels) == 0:
            return chooser.negatives(total or _share(0, ratio), draw) if ratio else []
        count = None if total is None else max(1, round(total / (1 + ratio)))
        found, missed = chooser.around_labels(count, draw)
        if missed:
            logger.warning(
                "scene %r: %d of its %d labels are on no chip: none%s holds %.0f %% of their "
                "boxes; a larger chip_size than %d may",
                chooser.scene_id,
                missed,
                len(chooser.labels),
                " inside the area of interest" if len(chooser.aoi) else "",
                100 * self.chip.ioa_thresh,
                self.config.chip_size,
            )
        wanted = _share(len(found), ratio) if count is None else max(0, (total or 0) - count)
        return [*found, *(chooser.negatives(wanted, draw) if ratio else [])]

    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        if scene.features is None:
            return [None] * len(windows)
        return box_labels(self._boxes(scene), windows, self.chip.ioa_thresh)

    def _boxes(self, scene: Scene) -> SceneBoxes:
        """The labels of a scene, looked through once; those wholly on pixels without data, where
        there is nothing to see, are left out."""
        if scene.features is None:
            return SceneBoxes(np.empty((0, 4)), np.empty(0, np.int64))
        if self._last is None or self._last[0] is not scene.features:
            found = SceneBoxes.of(scene.features, scene.extent)
            seen = holds_data(scene.raster, found.boxes[:, [1, 0, 3, 2]])
            if not seen.all():
                logger.warning(
                    "scene %r: %d of its %d labels lie where the raster has no data, and are left "
                    "out",
                    scene.id,
                    np.count_nonzero(~seen),
                    len(found),
                )
            self._last = (scene.features, found.only(seen))
        return self._last[1]

    def predict_windows(self, extent: Window, block: Window) -> Sequence[Window]:
        """Those that start in the block: each window belongs to one block."""
        size = self.config.chip_size
        return [
            window
            for window in slide(extent, size, _stride(self.predict.stride, size), block)
            if window.col_off >= block.col_off and window.row_off >= block.row_off
        ]

    def write_part(
        self, path: Path, scene: Scene, block: Window, predictions: Iterator[Predicted]
    ) -> None:
        found = Findings.together([self._findings(scene, *one) for one in predictions])
        with path.open("wb") as stream:
            np.savez(
                stream,
                boxes=found.boxes,
                class_ids=found.class_ids,
                scores=found.scores,
                windows=found.windows,
            )

    def _findings(
        self, scene: Scene, window: Window, label: Label, nodata: np.ndarray[Any, Any] | None
    ) -> Findings:
        """What a model says of one window, in the pixels of the scene; what of a box lies beyond
        the window or the scene is cut off, and boxes on nothing but nodata are dropped."""
        boxes, class_ids, scores = self._checked(label)
        if nodata is not None:
            boxes[[_is_empty(box, nodata) for box in boxes.tolist()]] = 0
        boxes = geometry.clip(geometry.shifted(boxes, window.row_off, window.col_off), window)
        boxes = geometry.clip(boxes, scene.extent)
        good = (geometry.areas(boxes) > 0) & (scores >= self.predict.score_thresh)
        around = np.repeat(geometry.of_windows([window]), len(boxes), axis=0)
        return Findings(boxes, class_ids, scores, around)[good].best(self.predict.merge_thresh)

    def _checked(self, label: Label) -> tuple[Any, Any, Any]:
        """The boxes, classes and scores that a model predicts; raises `ModelError`."""
        if not isinstance(label, BoxLabels):
            raise ModelError(
                f"the model predicts {type(label).__name__}, where {self.key} needs BoxLabels"
            )
        if label.scores is None:
            raise ModelError(f"the model predicts boxes without scores, which {self.key} needs")
        boxes = np.array(label.boxes, np.float64).reshape(-1, 4)
        class_ids = np.asarray(label.class_ids, np.int64)
        scores = np.asarray(label.scores, np.float32)
        if not len(boxes) == len(class_ids) == len(scores):
            raise ModelError(
                f"the model predicts {len(boxes)} boxes with {len(class_ids)} classes and "
                f"{len(scores)} scores"
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelError(
                "the model predicts boxes or scores that are no numbers",
                hint="its training may have diverged: try a lower learning rate",
            )
        if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < len(self.classes):
            raise ModelError(
                f"the model predicts classes {class_ids.min()} to {class_ids.max()}, and there are "
                f"0 to {len(self.classes) - 1}"
            )
        return boxes, class_ids, scores

    def write_predictions(
        self, folder: Path, stem: str, scene: Scene, parts: Sequence[Part], kernel: Kernel
    ) -> int:
        """One GeoJSON of all objects, the best score first, and a STAC item of it."""
        from rv_pipeline.label_stores import StoredBoxes, write_boxes
        from rv_pipeline.label_stores.stac import GEOJSON, ItemAsset, write_item

        name = f"{stem}{self.suffix}"
        asset = ItemAsset(key="boxes", name=name, media_type=GEOJSON, title="Detected objects")
        write_item(folder, stem, scene.raster, self.classes, [asset], kernel, task=self.key)
        loaded = []
        for _, path in parts:
            with np.load(path, allow_pickle=False) as stored:
                loaded.append(Findings(**stored))
        found = merge(Findings.together(loaded), scene.extent, self.predict.merge_thresh)
        return write_boxes(
            str(folder / name),
            StoredBoxes(found.boxes, found.class_ids, found.scores),
            scene.raster,
            self.classes,
            kernel,
            crs=self.predict.crs,
        )

    def read_predictions(self, uri: str, scene: Scene, kernel: Kernel) -> PredictedBoxes:
        from rv_pipeline.label_stores import read_boxes

        found = read_boxes(uri, scene.raster, self.classes, kernel)
        if found.scores is None:
            if len(found):
                raise DataError(f"{uri} holds boxes without scores", hint="run PREDICT again")
            return PredictedBoxes(SceneBoxes(found.boxes, found.class_ids, np.empty(0, np.float32)))
        return PredictedBoxes(SceneBoxes(found.boxes, found.class_ids, found.scores))

    def display_windows(self, extent: Window) -> Sequence[Window]:
        return (extent,)

    def evaluate(self, scenes: Iterable[EvaluatedScene], kernel: Kernel) -> dict[str, Any]:
        """`rv_pipeline.evaluation.detection` and `.box_pairs` say what the figures are."""
        names, threshold = self.classes.names, self.predict.score_thresh
        matches: dict[str, list[detection.Matches]] = {}
        confusions: dict[str, np.ndarray[Any, Any]] = {}
        for scene_id, scene, uri in scenes:
            with self.read_predictions(uri, scene, kernel) as predicted:
                found = predicted.found
            matches[scene_id] = self._matches(scene, found)
            confusions[scene_id] = confusion(
                self._boxes(scene), found.of_score(threshold), scene.aoi, len(names)
            )

        def figures(ids: Sequence[str]) -> dict[str, Any]:
            counts = sum((confusions[i] for i in ids), np.zeros((len(names) + 1,) * 2, np.int64))
            matrix = {"classes": [*names, NOTHING], "counts": counts.tolist()}
            summary = detection.summary([matches[i] for i in ids], names, threshold)
            return summary | {"confusion_matrix": matrix}

        return {
            "task": self.key,
            "overall": figures(list(matches)),
            "scenes": {i: figures([i]) for i in matches},
        }

    def _matches(self, scene: Scene, found: SceneBoxes) -> list[detection.Matches]:
        truth = self._boxes(scene)
        assert found.scores is not None
        truth_counts = detection.inside(truth.boxes, scene.aoi)
        found_counts = detection.inside(found.boxes, scene.aoi)
        by_class = []
        for class_id in range(len(self.classes)):
            true, said = truth.class_ids == class_id, found.class_ids == class_id
            by_class.append(
                detection.match(
                    truth.boxes[true],
                    found.boxes[said],
                    found.scores[said],
                    truth_counts=truth_counts[true],
                    predicted_counts=found_counts[said],
                )
            )
        return by_class

    def headline(self, overall: dict[str, Any]) -> str:
        if not overall["boxes"]:
            return "no labelled boxes"
        return (
            f"AP {overall['ap']:.3f} (AP50 {overall['ap50']:.3f}), F1 {overall['macro']['f1']:.3f} "
            f"over {overall['boxes']:,} boxes"
        )

    def tables(self, overall: dict[str, Any]) -> Sequence[Table]:
        macro = {**overall["macro"], **{k: overall[k] for k in ("ap", "ap50", "ap75")}}
        macro |= {k: overall[k] for k in ("predicted", "count_error")}
        ratios = ("ap", "ap50", "ap75", "precision", "recall", "f1")
        rows = [
            [
                name,
                *("-" if figures[x] is None else f"{figures[x]:.3f}" for x in ratios),
                str(figures["support"]),
                str(figures["predicted"]),
                f"{figures['count_error']:+d}",
            ]
            for name, figures in [*overall["classes"].items(), ("all classes", macro)]
        ]
        headings = ["class", "AP", "AP50", "AP75", "precision", "recall", "F1"]
        headings += ["support", "predicted", "count error"]
        title = f"Boxes by class, scores from {overall['score_thresh']:g}"
        return (Table(title, headings, rows),)


class PredictedBoxes(Predictions):
    """The boxes that were predicted in a scene."""

    def __init__(self, found: SceneBoxes) -> None:
        self.found = found

    def __enter__(self) -> Self:
        return self

    def labels(self, windows: Sequence[Window]) -> Sequence[Label | None]:
        return box_labels(self.found, windows)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


def _stride(stride: int | None, size: int) -> int:
    return max(1, size // 2) if stride is None else stride


def _share(count: int, ratio: float) -> int:
    """How many negatives go with so many positives."""
    return int(np.ceil(max(1, count) * ratio))


def _at_most(
    count: int | None, windows: list[Window], draw: np.random.Generator, good: Good
) -> list[Window]:
    unique = list(dict.fromkeys(windows))
    if count is None or len(unique) <= count:
        return unique
    return first(count, (unique[i] for i in draw.permutation(len(unique)).tolist()), good)


def _whole_image(extent: Window, size: int) -> Window:
    if max(extent.width, extent.height) > size:
        raise DataError(
            f"the scene of {extent.width} x {extent.height} px (width x height) is larger than a "
            f"chip of {size} x {size} px, and windows 'image' makes it one chip",
            hint=f"use a chip_size of {max(extent.width, extent.height)}, or other windows",
        )
    return Window(extent.col_off, extent.row_off, size, size)


def _is_empty(box: Sequence[float], nodata: np.ndarray[Any, Any]) -> bool:
    """Whether a box on a chip covers nothing but pixels without data."""
    ymin, xmin, ymax, xmax = (max(0, round(side)) for side in box)
    under = nodata[ymin:ymax, xmin:xmax]
    return bool(under.size and under.all())
