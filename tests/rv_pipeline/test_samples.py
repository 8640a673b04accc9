"""Sample scenes: drawn the same every time, with labels that lie on what they name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
import rasterio.features
from rasterio.enums import ColorInterp
from rv_pipeline.samples import SampleScenes, draw_sample_scenes
from rv_pipeline.scenes import SceneConfig, open_scene
from rv_pipeline.tasks.chip_classification import CellOptions, label_cells

from rv_core import ClassMap, ConfigError, Kernel
from rv_pipeline import windows

CLASSES = ClassMap.of("building", "road", "water", "tree")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SampleScenes:
    return draw_sample_scenes(tmp_path_factory.mktemp("samples"), size=512)


def test_they_are_tiled_geotiffs_in_different_places(scenes: SampleScenes) -> None:
    places = set()
    for scene in (scenes.train, scenes.validation, scenes.unseen):
        with rasterio.open(scene.image) as image:
            assert image.crs.to_epsg() == 32632
            assert image.res == (0.3, 0.3)
            assert image.shape == (512, 512)
            assert image.profile["tiled"]
            assert image.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            places.add(tuple(image.bounds))
            assert image.read().std() > 25
    assert len(places) == 3


@pytest.mark.slow
def test_the_same_seed_draws_the_same_scenes(tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> dict[str, bytes]:
        draw_sample_scenes(tmp_path / name, seed=seed, size=256)
        return {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()}

    one, again, other = draw("a", 1), draw("b", 1), draw("c", 2)
    assert one == again
    assert len(one) == 12
    assert one["train.tif"] != other["train.tif"]
    assert one["train.tif"] != one["validation.tif"]


def test_labels_lie_on_what_they_name(scenes: SampleScenes, kernel: Kernel) -> None:
    """Water is bluer than the rest, trees are greener, roads are grey."""
    config = SceneConfig(id="train", raster=scenes.train.image, labels=scenes.train.land_cover)
    with open_scene(config, kernel, classes=CLASSES) as scene:
        pixels = scene.raster.read(scene.extent)[0].astype(float)
        assert scene.features is not None
        shapes = zip(scene.features.geometries, scene.features.class_ids.tolist(), strict=True)
        cover = rasterio.features.rasterize(shapes, pixels.shape[:2], fill=255, dtype="uint8")
    red, green, blue = (
        {name: pixels[cover == CLASSES.id_of(name), band].mean() for name in CLASSES.names}
        for band in range(3)
    )
    assert blue["water"] > red["water"] + 10
    assert green["tree"] > max(red["tree"], blue["tree"]) + 10
    assert abs(red["road"] - blue["road"]) < 12
    assert red["building"] > blue["building"]
    assert all((cover == i).mean() > 0.01 for i in range(4))


def test_buildings_and_boxes_go_together(scenes: SampleScenes) -> None:
    def names(path: Path) -> list[str]:
        features = json.loads(path.read_text())["features"]
        return [feature["properties"]["class_name"] for feature in features]

    for scene in (scenes.train, scenes.validation, scenes.unseen):
        buildings, boxes = names(scene.buildings), names(scene.boxes)
        assert set(buildings) == {"building"}
        assert len(buildings) >= 10
        assert boxes.count("building") == len(buildings)
        assert boxes.count("car") >= 1


def test_cells_of_the_scenes_are_of_both_classes(scenes: SampleScenes, kernel: Kernel) -> None:
    classes = ClassMap.of("building", "background")
    options = CellOptions(
        size=64, ioc_threshold=0.2, background_class="background", infer_cells=True
    )
    for sample in (scenes.train, scenes.validation, scenes.unseen):
        config = SceneConfig(id=sample.id, raster=sample.image, labels=sample.buildings)
        with open_scene(config, kernel, classes=classes) as scene:
            assert scene.features is not None
            cells = windows.grid(scene.extent, 64)
            ids = label_cells(cells, scene.features, classes, options, extent=scene.extent)
        assert 0.15 < (ids == 0).mean() < 0.7


def test_tiny_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 256 px"):
        draw_sample_scenes(tmp_path, size=100)
