"""The task CHIP_CLASSIFICATION: from cells to chips, from predictions to figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rv_core import ChipLabel, Label, ModelError, Window
from rv_pipeline.evaluation import classification
from rv_pipeline.tasks.chip_classification import NO_CLASS, label_cells
from rv_pipeline.tasks.task import Task
from rv_pipeline.windows import grid

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import ChipOptions, Crs
    from rv_pipeline.scenes import Scene


class ChipClassification(Task):
    """Every cell of a grid over the scene is of one class."""

    key: ClassVar[str] = "CHIP_CLASSIFICATION"

    @property
    def chip_size(self) -> tuple[int, int]:
        return self.config.cells.size, self.config.cells.size

    def chip_windows(self, scene: Scene, split: str, options: ChipOptions) -> Sequence[Window]:
        stride = options.stride if split == "train" else None
        return grid(scene.extent, self.config.cells.size, stride)

    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        ids = self._class_ids(scene, windows)
        return [None if i == NO_CLASS else ChipLabel(i) for i in ids]

    def predict_windows(self, scene: Scene) -> Sequence[Window]:
        return grid(scene.extent, self.config.cells.size)

    def prediction_name(self, scene_id: str) -> str:
        return f"{scene_id}.geojson"

    def write_predictions(
        self,
        uri: str,
        scene: Scene,
        predictions: Iterable[tuple[Window, Label]],
        crs: Crs,
        kernel: Kernel,
    ) -> None:
        import numpy as np

        from rv_pipeline.label_stores import Cells, write_cells

        windows: list[Window] = []
        labels: list[ChipLabel] = []
        for window, label in predictions:
            if not isinstance(label, ChipLabel):
                raise ModelError(
                    f"the model predicts {type(label).__name__}, where {self.key} needs ChipLabel"
                )
            windows.append(window)
            labels.append(label)
        scored = [label.scores for label in labels if label.scores is not None]
        scores = np.stack(scored) if scored and len(scored) == len(labels) else None
        ids = np.array([label.class_id for label in labels], np.int64)
        cells = Cells(windows, ids, scores)
        write_cells(uri, cells, scene.raster, self.classes, kernel, crs=crs)

    def evaluate(self, scenes: Iterable[tuple[str, Scene, str]], kernel: Kernel) -> dict[str, Any]:
        """Compares cell by cell; cells without a label or a prediction do not count."""
        names = self.classes.names
        matrices: dict[str, classification.Matrix] = {}
        for scene_id, scene, uri in scenes:
            predicted = self._read(uri, scene, kernel)
            windows = list(predicted)
            pairs = [
                (truth, predicted[window])
                for window, truth in zip(windows, self._class_ids(scene, windows), strict=True)
                if truth != NO_CLASS
            ]
            matrices[scene_id] = classification.confusion_matrix(pairs, len(names))
        overall = classification.add(list(matrices.values()), len(names))
        return {
            "task": self.key,
            "overall": classification.summary(overall, names),
            "scenes": {i: classification.summary(m, names) for i, m in matrices.items()},
        }

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

    def _read(self, uri: str, scene: Scene, kernel: Kernel) -> dict[Window, int]:
        from rv_pipeline.label_stores import read_cells

        cells = read_cells(uri, scene.raster, self.classes, kernel)
        return dict(zip(cells.windows, cells.class_ids.tolist(), strict=True))
