"""RV. Usage: ours.py chips SCENE LABELS random|sliding; ours.py predict SCENE FOLDER; ours.py eval
FOLDER; ours.py polygons FOLDER plain|cleaned"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import rasterio
from affine import Affine
from rv_pipeline.commands._predict_blocks import ScenePredictor, plan_blocks
from rv_pipeline.commands.reading import read_windows
from rv_pipeline.commands.workers import Surroundings
from rv_pipeline.label_stores.polygons import Outlines, write_polygons
from rv_pipeline.rasters import RasterSource
from rv_pipeline.tasks.semantic_segmentation import SemanticSegmentation
from rv_pipeline.tasks.task import EvaluatedScene
from task import BATCH, CHIP, PREDICTED, STRIDE, Clock, chip_windows

from rv_core import ClassMap, Kernel, Model, PixelLabels, Window
from rv_pipeline import (
    LabelConfig,
    RasterConfig,
    RasterLabelConfig,
    SceneConfig,
    SegmentationPredictOptions,
    SemanticSegmentationConfig,
    open_scene,
)

CLASSES = ClassMap.of("building", "background")
SIDE = 8192
SHARE = 64  # windows that CHIP labels and reads at a time: 16 MB of pixels


def task_of(size: int, stride: int | None = None) -> SemanticSegmentation:
    return SemanticSegmentation(
        SemanticSegmentationConfig(classes=CLASSES, chip_size=size, background_class="background"),
        predict=SegmentationPredictOptions(stride=stride, batch_size=BATCH),
    )


def chips(image: str, labels: str, mode: str) -> None:
    task = task_of(CHIP)
    config = SceneConfig(id="scene", raster=image, labels=LabelConfig(uris=labels))
    with open_scene(config, Kernel(), classes=CLASSES) as scene:
        spots = chip_windows(scene.extent.width, scene.extent.height, mode)
        windows = [Window(col, row, CHIP, CHIP) for row, col in spots]
        for _ in read_windows(scene.raster, windows):  # the file cache is warm in every column
            pass
        labelled, clock = 0, Clock()
        for first in range(0, len(windows), SHARE):
            some = windows[first : first + SHARE]
            known = dict(zip(some, task.label(scene, some), strict=True))
            for window, pixels, _ in read_windows(scene.raster, some):
                assert pixels.shape == (CHIP, CHIP, 3)
                labelled += int((known[window].mask == 0).sum())
        clock.report(len(windows), labelled=labelled)


class Trivial(Model):
    """The brightness is the probability of a building."""

    classes = CLASSES
    bands = 3

    def predict(self, chips: np.ndarray) -> list[PixelLabels]:
        bright = chips.mean(-1, dtype="f4") / np.float32(255)
        return [PixelLabels(None, p) for p in np.stack([bright, 1 - bright], -1)]


def predict(image: str, folder: str) -> None:
    import pyproj  # noqa: F401  # what RV imports when it comes to it; the clock has not started yet
    import pystac.extensions.projection
    import pystac.extensions.raster  # noqa: F401

    kernel, task, place = Kernel(), task_of(PREDICTED, STRIDE), Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    config = SceneConfig(id="scene", raster=image)
    clock = Clock()
    with open_scene(config, kernel) as scene:
        blocks, _ = plan_blocks(config, scene, task, place)
        windows = task.predict_windows(scene.extent, scene.extent)
        around = Surroundings(kernel, lambda _: None, lambda: False)
        with ScenePredictor(task, Trivial(), None, around) as predictor:
            parts = [predictor(block) for block in blocks]
        blended = clock.seconds
        task.write_predictions(place, "scene", scene, parts, kernel)
    for part in parts:
        part.path.unlink()
    clock.report(len(windows), blended=blended)


def write(path: Path, ids: np.ndarray) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=ids.shape[1], height=ids.shape[0], count=1,
        dtype="uint8", crs="EPSG:32633", transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
        tiled=True, blockxsize=512, blockysize=512, compress="deflate",
    ) as sink:  # fmt: skip
        sink.write(ids, 1)


def evaluate(folder: str) -> None:
    """EVAL of a label raster and a predicted one, both 8192 x 8192."""
    place, kernel = Path(folder), Kernel()
    place.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name in ("labels.tif", "scene.tif"):
        coarse = generator.integers(0, 2, (SIDE // 16, SIDE // 16), dtype=np.uint8)
        write(place / name, coarse.repeat(16, 0).repeat(16, 1))
    config = SceneConfig(
        id="scene",
        raster=str(place / "labels.tif"),
        labels=RasterLabelConfig(uris=place / "labels.tif"),
    )
    clock = Clock()
    with open_scene(config, kernel, classes=CLASSES) as scene:
        several = [EvaluatedScene("scene", scene, str(place / "scene.tif"))]
        figures: dict[str, Any] = task_of(PREDICTED).evaluate(several, kernel)
    clock.report(figures["overall"]["pixels"])


def polygons(folder: str, how: str) -> None:
    """Polygons of 8192 x 8192 px with 300,000 shapes: rounded squares, some with a hole; ``plain``
    as the options' defaults have them, or sieved, measured on the ground and simplified."""
    place, kernel = Path(folder), Kernel()
    place.mkdir(parents=True, exist_ok=True)
    ids = np.ones((SIDE, SIDE), np.uint8)
    for number, (row, col) in enumerate(itertools.product(range(548), range(548))):
        top, left = row * 14 + 2, col * 14 + 2
        ids[top : top + 11, left + 1 : left + 10] = 0
        ids[top + 1 : top + 10, left : left + 11] = 0
        if number % 4 == 0:
            ids[top + 4 : top + 7, left + 3 : left + 6] = 1
    write(place / "shapes.tif", ids)
    raster = RasterSource.open(RasterConfig(uris=place / "shapes.tif"), kernel)
    outlines = Outlines(class_ids=[0])
    if how == "cleaned":
        outlines = attrs.evolve(outlines, sieve=4, min_area=10, min_area_units="m2", simplify=0.5)
    clock = Clock()
    target = str(place / "shapes.geojson")
    count = write_polygons(target, place / "shapes.tif", raster, CLASSES, outlines, kernel)
    clock.report(count, polygons=count)


if __name__ == "__main__":
    WAYS = {"chips": chips, "predict": predict, "eval": evaluate, "polygons": polygons}
    WAYS[sys.argv[1]](*sys.argv[2:])
