"""RV: windows read and labelled by cell. Usage: ours.py SCENE LABELS"""

from __future__ import annotations

import sys
import time

from rv_pipeline.scenes import SceneConfig, open_scene
from rv_pipeline.tasks.chip_classification import CellOptions, label_cells
from rv_pipeline.vectors.config import LabelConfig
from windows import SIZE, random_windows, report

from rv_core import ClassMap, Kernel, Window


def main(image: str, labels: str) -> None:
    classes = ClassMap.of("building", "background")
    options = CellOptions(size=SIZE, background_class="background", infer_cells=True)
    config = SceneConfig(id="scene", raster=image, labels=LabelConfig(uris=labels))
    with open_scene(config, Kernel(), classes=classes) as scene:
        spots = random_windows(scene.extent.width, scene.extent.height)
        windows = [Window(column, row, SIZE, SIZE) for row, column in spots]
        for window in windows:  # the file cache is warm in every column
            scene.raster.read(window)
        start = time.perf_counter()
        for window, label in zip(
            windows, label_cells(windows, scene.features, classes, options), strict=True
        ):
            pixels, _ = scene.raster.read(window)
            assert pixels.shape == (SIZE, SIZE, 3)
            assert label in (0, 1)
        report(len(windows), time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
