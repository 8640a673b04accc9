"""The task CHIP_CLASSIFICATION: from cells to chips, from predictions to figures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from rv_core import ChipLabel, Label, ModelError, Window
from rv_pipeline.evaluation import classification
from rv_pipeline.tasks.chip_classification import NO_CLASS, ChipClassificationConfig, label_cells
from rv_pipeline.tasks.config import TaskConfig
from rv_pipeline.tasks.task import (
    EvaluatedScene,
    Part,
    Predicted,
    Predictions,
    Table,
    Task,
    check_labels_are_vectors,
)
from rv_pipeline.windows import check_fits, cover, draw, grid

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.label_stores import Cells
    from rv_pipeline.scenes import Scene


class ChipClassification(Task):
    """Every cell of a grid over the scene is of one class."""

    key: ClassVar[str] = "CHIP_CLASSIFICATION"
    Config: ClassVar[type[TaskConfig]] = ChipClassificationConfig
    suffix: ClassVar[str] = ".geojson"
    unit: ClassVar[str] = "cell"
    more_chips: ClassVar[str] = (
        "lower cells.ioc_threshold, or set cells.infer_cells with a background class"
    )
    config: ChipClassificationConfig

    @property
    def chip_size(self) -> tuple[int, int]:
        return self.config.cells.size, self.config.cells.size

    def check_scene(self, scene: Scene) -> None:
        """Raises `DataError` for labels that are no vectors, or lie on a scene smaller than a cell.
        Without labels such a scene will do: it is predicted as other borders are."""
        check_labels_are_vectors(scene, self.key)
        if scene.features is not None:
            super().check_scene(scene)

    def chip_windows(self, scene: Scene, split: str) -> Sequence[Window]:
        size = self.config.cells.size
        if split == "train" and self.chip.windows == "random":
            check_fits(scene.extent, size)
            count, drawing = self.chip.chips_per_scene, generator(self.chip.seed, scene.id)

            def classed(windows: Sequence[Window]) -> Iterator[Window]:
                if self.config.cells.infer_cells and not len(scene.aoi):
                    yield from windows  # each has a class: no need to look
                    return
                for window, class_id in zip(windows, self._class_ids(scene, windows), strict=True):
                    if class_id != NO_CLASS:
                        yield window

            return draw(scene.extent, size, count, drawing, classed, scene.holds_data)
        return grid(scene.extent, size, self.chip.stride if split == "train" else None)

    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        ids = self._class_ids(scene, windows)
        return [None if i == NO_CLASS else ChipLabel(i) for i in ids]

    def predict_blocks(self, extent: Window) -> Sequence[Window]:
        """Whole cells, so that none is in two blocks."""
        from rv_pipeline.tasks.task import BLOCK_SIZE, blocks

        size = self.config.cells.size
        return blocks(extent, max(1, BLOCK_SIZE // size) * size)

    def predict_windows(self, extent: Window, block: Window) -> Sequence[Window]:
        return cover(block, self.config.cells.size)

    def display_windows(self, extent: Window) -> Sequence[Window]:
        return cover(extent, self.config.cells.size)

    def write_part(
        self, path: Path, scene: Scene, block: Window, predictions: Iterator[Predicted]
    ) -> None:
        import numpy as np

        windows: list[tuple[int, int, int, int]] = []
        ids: list[int] = []
        scores: list[Any] = []
        for window, label, _ in predictions:
            if not isinstance(label, ChipLabel):
                raise ModelError(
                    f"the model predicts {type(label).__name__}, where {self.key} needs ChipLabel"
                )
            windows.append((window.col_off, window.row_off, window.width, window.height))
            ids.append(label.class_id)
            if label.scores is not None:
                scores.append(label.scores)
        if len(scores) != len(ids):
            scores = []
        with path.open("wb") as stream:
            np.savez(
                stream,
                windows=np.array(windows, np.int64).reshape(-1, 4),
                class_ids=np.array(ids, np.int64),
                scores=np.array(scores, np.float32).reshape(-1, len(self.classes)),
            )

    def write_predictions(
        self, folder: Path, stem: str, scene: Scene, parts: Sequence[Part], kernel: Kernel
    ) -> int:
        from rv_pipeline.label_stores import write_cells
        from rv_pipeline.label_stores.stac import GEOJSON, ItemAsset, write_item

        name = f"{stem}{self.suffix}"
        cells = self._gather(parts)
        write_cells(
            str(folder / name),
            cells,
            scene.raster,
            self.classes,
            kernel,
            crs=self.predict.crs,
        )
        asset = ItemAsset(key="cells", name=name, media_type=GEOJSON, title="Classified cells")
        write_item(folder, stem, scene.raster, self.classes, [asset], kernel, task=self.key)
        return len(cells.windows)

    def _gather(self, parts: Sequence[Part]) -> Cells:
        import numpy as np

        from rv_pipeline.label_stores import Cells

        windows: list[Window] = []
        ids: list[Any] = [np.zeros(0, np.int64)]
        scores: list[Any] = [np.zeros((0, len(self.classes)), np.float32)]
        for _, path in parts:
            with np.load(path, allow_pickle=False) as stored:
                windows += [Window(*place) for place in stored["windows"].tolist()]
                ids.append(stored["class_ids"])
                scores.append(stored["scores"])
        scored = np.concatenate(scores)
        return Cells(
            windows, np.concatenate(ids), scored if len(scored) == len(windows) > 0 else None
        )

    def read_predictions(self, uri: str, scene: Scene, kernel: Kernel) -> Predictions:
        from rv_pipeline.label_stores import read_cells

        cells = read_cells(uri, scene.raster, self.classes, kernel)
        return _PredictedCells(cells)

    def evaluate(self, scenes: Iterable[EvaluatedScene], kernel: Kernel) -> dict[str, Any]:
        """Compares cell by cell; cells without a label or a prediction do not count."""
        names = self.classes.names
        matrices: dict[str, classification.Matrix] = {}
        for scene_id, scene, uri in scenes:
            with self.read_predictions(uri, scene, kernel) as predicted:
                windows = list(self.display_windows(scene.extent))
                pairs = [
                    (truth, label.class_id)
                    for truth, label in zip(
                        self._class_ids(scene, windows), predicted.labels(windows), strict=True
                    )
                    if truth != NO_CLASS and isinstance(label, ChipLabel)
                ]
            matrices[scene_id] = classification.confusion_matrix(pairs, len(names))
        overall = classification.add(list(matrices.values()), len(names))
        return {
            "task": self.key,
            "overall": classification.summary(overall, names),
            "scenes": {i: classification.summary(m, names) for i, m in matrices.items()},
        }

    def headline(self, overall: dict[str, Any]) -> str:
        if not overall["cells"]:
            return "no labelled cells"
        macro, accuracy = overall["macro"]["f1"], overall["accuracy"]
        return f"macro F1 {macro:.3f}, accuracy {accuracy:.3f} over {overall['cells']:,} cells"

    def tables(self, overall: dict[str, Any]) -> Sequence[Table]:
        rows = [*overall["classes"].items(), ("macro average", overall["macro"])]
        rows.append(("weighted average", overall["weighted"]))
        return (
            Table(
                "Cells by class",
                ("class", "precision", "recall", "F1", "support"),
                [
                    [
                        name,
                        *(f"{figures[x]:.3f}" for x in ("precision", "recall", "f1")),
                        str(figures["support"]),
                    ]
                    for name, figures in rows
                ],
            ),
        )

    def _class_ids(self, scene: Scene, windows: Sequence[Window]) -> list[int]:
        """The true class of each window, `NO_CLASS` outside the areas of interest too."""
        if scene.features is None:
            return [NO_CLASS] * len(windows)
        ids = label_cells(
            windows, scene.features, self.classes, self.config.cells, extent=scene.extent
        )
        ids[~scene.in_aoi(windows)] = NO_CLASS
        found: list[int] = ids.tolist()
        return found


class _PredictedCells(Predictions):
    """Cells by their windows."""

    def __init__(self, cells: Cells) -> None:
        scores = cells.scores if cells.scores is not None else [None] * len(cells.windows)
        self._found = {
            window: ChipLabel(class_id, score)
            for window, class_id, score in zip(
                cells.windows, cells.class_ids.tolist(), scores, strict=True
            )
        }

    def labels(self, windows: Sequence[Window]) -> Sequence[Label | None]:
        return [self._found.get(window) for window in windows]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._found.clear()


def generator(seed: int, scene_id: str) -> Any:
    """A numpy random generator that is the same for a scene wherever it is used."""
    import numpy as np

    digest = hashlib.sha256(scene_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
