"""Scenes of which a part holds no data: chips are cut, and objects counted, where there is some."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource, holds_data
from rv_pipeline.tasks.config import ChipOptions, TaskConfig
from rv_pipeline.tasks.object_detection import ObjectDetection

from rv_core import BoxLabels, ChipManifest, ClassMap, Kernel, Window
from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    DatasetConfig,
    DetectionChipOptions,
    Experiment,
    LabelConfig,
    ObjectDetectionConfig,
    RasterConfig,
    SceneConfig,
    SegmentationChipOptions,
    SemanticSegmentationConfig,
    open_scene,
    run,
)

CLASSES = ClassMap.of("roof", "ground")
SIZE = 320  # px
START = 240  # the first column, and the first row, with data

Draw = Callable[..., SceneConfig]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A scene with data in its lower right sixteenth alone, and squares [N] of 10 px on it."""

    def make(name: str, *corners: tuple[int, int], **profile: Any) -> SceneConfig:
        pixels = np.zeros((SIZE, SIZE), np.uint8)
        pixels[START:, START:] = 90
        for x, y in corners:
            pixels[y : y + 10, x : x + 10] *= 2
        image, labels = tmp_path / f"{name}.tif", tmp_path / f"{name}.geojson"
        options = {"nodata": 0, "dtype": "uint8", **profile}
        with rasterio.open(
            *(image, "w", "GTiff", SIZE, SIZE, 3, "EPSG:32633", from_origin(0, 320, 1, 1)),
            **options,
        ) as sink:
            sink.write(np.stack([pixels] * 3).astype(options["dtype"]))
        features = [
            {"type": "Feature", "properties": {}, "geometry": square(x, y)} for x, y in corners
        ]
        crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
        collection = {"type": "FeatureCollection", "crs": crs, "features": features}
        labels.write_text(json.dumps(collection))
        return SceneConfig(
            id=name, raster=str(image), labels=LabelConfig(uris=str(labels), default_class="roof")
        )

    return make


def square(x: int, y: int) -> dict[str, Any]:
    left, top = x, 320 - y
    ring = [(left, top), (left + 10, top), (left + 10, top - 10), (left, top - 10), (left, top)]
    return {"type": "Polygon", "coordinates": [ring]}


RANDOM = {
    "cells": (
        ChipClassificationConfig(
            classes=CLASSES,
            cells=CellOptions(size=32, background_class="ground", infer_cells=True),
        ),
        ChipOptions(windows="random", chips_per_scene=30),
        "TOY_CLASSIFICATION",
    ),
    "pixels": (
        SemanticSegmentationConfig(classes=CLASSES, chip_size=32, background_class="ground"),
        SegmentationChipOptions(windows="random", chips_per_scene=30),
        "TOY_SEGMENTATION",
    ),
    "boxes": (
        ObjectDetectionConfig(classes=CLASSES, chip_size=32),
        DetectionChipOptions(chips_per_scene=30, neg_ratio=4),
        "TOY_DETECTION",
    ),
    "boxes-sliding": (
        ObjectDetectionConfig(classes=CLASSES, chip_size=32),
        DetectionChipOptions(windows="sliding", stride=8, chips_per_scene=30),
        "TOY_DETECTION",
    ),
}


@pytest.mark.parametrize(("task", "chip", "backend"), RANDOM.values(), ids=RANDOM)
def test_random_chips_are_as_many_as_asked_for_though_most_of_a_scene_is_empty(
    task: TaskConfig, chip: ChipOptions, backend: str, draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    experiment = Experiment(
        id="collar",
        root_uri=str(tmp_path / "out"),
        task=task,
        chip=chip,
        backend={"backend": backend},
        dataset=DatasetConfig(train=draw("collar", (262, 270))),
    )
    run(experiment, ["analyze", "chip"], kernel=kernel)
    manifest = json.loads((tmp_path / "out/chip/collar/manifest.json").read_text())
    assert ChipManifest.from_dict(manifest).count("train") == 30


def detection(**chip: Any) -> ObjectDetection:
    config = ObjectDetectionConfig(classes=CLASSES, chip_size=64)
    return ObjectDetection(config, DetectionChipOptions(**chip))


def test_labels_without_a_pixel_of_data_are_left_out_and_said(
    draw: Draw, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    config = draw("collar", (235, 260), (262, 270), (20, 20), (229, 260))
    with open_scene(config, kernel, classes=CLASSES) as scene:
        task = detection(neg_ratio=0)
        windows = task.chip_windows(scene, "train")
        (label,) = task.label(scene, [scene.extent])
    assert len(windows) == 2
    assert isinstance(label, BoxLabels)
    assert label.boxes.tolist() == [[260, 235, 270, 245], [270, 262, 280, 272]]
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "2 of its 4 labels lie where the raster has no data" in record.getMessage()


def test_labels_without_data_do_not_count_as_missed(
    draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    train = draw("train", (262, 270), (290, 250))
    validation = draw("validation", (20, 20), (262, 270), (100, 290))
    experiment = Experiment(
        id="boats",
        root_uri=str(tmp_path / "out"),
        task=ObjectDetectionConfig(classes=CLASSES, chip_size=64),
        backend={"backend": "TOY_DETECTION"},
        dataset=DatasetConfig(train=train, validation=validation),
    )
    run(experiment, ["analyze", "chip", "train", "predict", "eval"], kernel=kernel)
    overall = json.loads((tmp_path / "out/eval/boats/eval.json").read_text())["overall"]
    assert overall["boxes"] == 1
    assert overall["confusion_matrix"]["counts"][0] == [1, 0, 0]
    assert overall["classes"]["roof"]["recall"] == 1


FLOATS = np.where(np.indices((700, 1100)).sum(axis=0) < 900, np.nan, 1).astype(np.float32)


def picture(folder: Path, pixels: NDArray[Any], **profile: Any) -> str:
    path = str(folder / "picture.tif")
    height, width = pixels.shape
    with rasterio.open(
        *(path, "w", "GTiff", width, height, 1, "EPSG:32633", from_origin(9, 9, 1, 1)),
        dtype=pixels.dtype,
        **profile,
    ) as sink:
        sink.write(pixels, 1)
    return path


@pytest.mark.parametrize("resolution", [None, 2.0])
def test_whether_places_hold_data_is_found_to_the_pixel(
    kernel: Kernel, tmp_path: Path, resolution: float | None
) -> None:
    generator = np.random.default_rng(0)
    config = RasterConfig(uris=picture(tmp_path, FLOATS), resolution=resolution)
    with RasterSource.open(config, kernel) as raster:
        _, nodata = raster.read_raw(raster.extent)
        assert nodata is not None
        low = generator.integers(0, (raster.width - 1, raster.height - 1), (500, 2))
        high = low + generator.integers(1, 40, (500, 2))
        places = np.hstack([low, high]).astype(float)
        places[0] = (0, 0, raster.width, raster.height)
        expected = [not nodata[y0:y1, x0:x1].all() for x0, y0, x1, y1 in places.astype(int)]
        assert 100 < sum(expected) < 400
        assert holds_data(raster, places).tolist() == expected
        assert holds_data(raster, places + 1e-9).tolist() == expected
        assert holds_data(raster, np.empty((0, 4))).tolist() == []
        assert holds_data(raster, np.array([[-9.0, 5, -3, 9]])).tolist() == [False]


def test_a_raster_that_lacks_nothing_is_not_read_for_it(kernel: Kernel, tmp_path: Path) -> None:
    path = picture(tmp_path, np.ones((700, 900), np.uint8))
    with RasterSource.open(RasterConfig(uris=path), kernel) as raster:
        Path(path).unlink()  # reading would fail
        places = np.array([[0, 0, 20, 20], [890, 690, 950, 750], [900, 0, 950, 50]], float)
        assert holds_data(raster, places).tolist() == [True, True, False]


def test_windows_of_a_scene_that_hold_data(draw: Draw, kernel: Kernel) -> None:
    with open_scene(draw("collar"), kernel, with_labels=False) as scene:
        windows = [Window(0, 0, 240, 320), Window(0, 0, 241, 241), Window(300, 300, 64, 64)]
        assert scene.holds_data(windows).tolist() == [False, True, True]
