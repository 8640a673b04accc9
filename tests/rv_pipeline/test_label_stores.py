"""Predicted cells and boxes are written as GeoJSON that other programs read, and read back to the
pixel and to its thousandth."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rv_pipeline.label_stores import (
    Cells,
    StoredBoxes,
    read_boxes,
    read_cells,
    write_boxes,
    write_cells,
)
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.vectors import read_features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassInfo, ClassMap, DataError, Kernel, NotFoundError, Window
from rv_pipeline import boxes as geometry
from rv_pipeline import windows

CLASSES = ClassMap.of("house", "Straße", "rest")
UTM = Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000)
TURNED = Affine(0.25, 0.15, 500_000, 0.15, -0.25, 5_000_000)
UNNAMED = "+proj=tmerc +lat_0=45 +lon_0=15.3 +k=1 +x_0=500000 +y_0=5000000 +datum=WGS84 +units=m"

PLACES = [
    ("EPSG:32633", UTM),
    ("EPSG:32633", TURNED),
    ("EPSG:4326", Affine(2.7e-6, 0, 15, 0, -2.7e-6, 45)),
    ("EPSG:32760", Affine(0.3, 0, 819_437, 0, -0.3, 8_118_008)),  # across the date line
    (UNNAMED, UTM),
    (None, UTM),
]

Crs = Literal["image", "EPSG:4326"]
MakeRaster = Callable[..., RasterSource]


@pytest.fixture
def raster(tmp_path: Path, kernel: Kernel) -> MakeRaster:
    def make(crs: str | None = "EPSG:32633", transform: Affine = UTM) -> RasterSource:
        path = tmp_path / ("image.tif" if crs else "image.png")
        geo = {"driver": "GTiff", "crs": crs, "transform": transform} if crs else {"driver": "PNG"}
        with rasterio.open(path, "w", width=100, height=70, count=1, dtype="uint8", **geo) as sink:
            sink.write(np.ones((1, 70, 100), "uint8"))
        return RasterSource.open(RasterConfig.of(path), kernel)

    return make


def some_cells(raster: RasterSource) -> Cells:
    grid = windows.grid(raster.extent, 16)
    scores = np.random.default_rng(0).dirichlet((1, 1, 1), len(grid)).astype(np.float32)
    return Cells(grid, scores.argmax(axis=1), scores)


@pytest.mark.parametrize("crs", ["image", "EPSG:4326"])
@pytest.mark.parametrize(("raster_crs", "transform"), PLACES)
def test_cells_come_back_to_the_pixel(
    raster: MakeRaster,
    kernel: Kernel,
    tmp_path: Path,
    raster_crs: str | None,
    transform: Affine,
    crs: Crs,
) -> None:
    source = raster(raster_crs, transform)
    cells, uri = some_cells(source), str(tmp_path / "out" / "cells.geojson")
    write_cells(uri, cells, source, CLASSES, kernel, crs=crs)
    found = read_cells(uri, source, CLASSES, kernel)
    assert list(found.windows) == list(cells.windows)
    np.testing.assert_array_equal(found.class_ids, cells.class_ids)
    np.testing.assert_allclose(found.scores, cells.scores, atol=1e-6)  # type: ignore[arg-type]


def test_cells_on_the_date_line_stay_in_one_piece(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, path = raster(*PLACES[3]), tmp_path / "cells.geojson"
    write_cells(str(path), some_cells(source), source, CLASSES, kernel, crs="EPSG:4326")
    rings = [f["geometry"]["coordinates"][0] for f in json.loads(path.read_text())["features"]]
    longitudes = np.abs(np.array(rings)[:, :, 0])
    assert longitudes.min() < 180 < longitudes.max()
    assert np.ptp(longitudes, axis=1).max() < 1e-4
    labels = read_features(LabelConfig(uris=str(path)), source, CLASSES, kernel)
    assert len(labels) == len(rings)


@pytest.mark.parametrize("crs", ["image", "EPSG:4326"])
def test_degrees_need_no_crs_in_geojson(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path, crs: Crs
) -> None:
    """Where EPSG:4326 is named, its latitude would come first."""
    source, path = raster(*PLACES[2]), tmp_path / "cells.geojson"
    write_cells(str(path), some_cells(source), source, CLASSES, kernel, crs=crs)
    data = json.loads(path.read_text())
    assert "crs" not in data
    longitude, latitude = data["features"][0]["geometry"]["coordinates"][0][0]
    assert (round(longitude), round(latitude)) == (15, 45)


@pytest.mark.parametrize(("crs", "expected"), [("image", 32633), ("EPSG:4326", 4326)])
def test_other_programs_read_them(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path, crs: Crs, expected: int
) -> None:
    source, path = raster(), tmp_path / "cells.geojson"
    cells = some_cells(source)
    write_cells(str(path), cells, source, CLASSES, kernel, crs=crs)
    meta, _, wkb, columns = pyogrio.raw.read(path)
    assert CRS(meta["crs"]) == CRS(expected)
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert fields["class_name"].tolist() == [CLASSES.name_of(i) for i in cells.class_ids.tolist()]
    assert fields["class_id"].tolist() == cells.class_ids.tolist()
    assert cells.scores is not None
    np.testing.assert_allclose(fields["score"], cells.scores.max(axis=1), atol=1e-6)
    assert set(json.loads(fields["scores"][0])) == set(CLASSES.names)
    polygons = shapely.from_wkb(wkb)
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    if crs == "image":
        assert polygons[0].bounds == pytest.approx((500_000, 4_999_995.2, 500_004.8, 5_000_000))


def test_predictions_can_be_labels_of_the_next_experiment(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, uri = raster(), str(tmp_path / "cells.geojson")
    cells = some_cells(source)
    write_cells(uri, cells, source, CLASSES, kernel)
    features = read_features(LabelConfig(uris=uri), source, CLASSES, kernel)
    assert features.class_ids.tolist() == cells.class_ids.tolist()


def test_a_picture_has_its_cells_in_pixels_and_the_file_says_so(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, path = raster(None), tmp_path / "cells.geojson"
    with caplog.at_level(logging.WARNING):
        write_cells(str(path), some_cells(source), source, CLASSES, kernel, crs="EPSG:4326")
    assert "has no CRS" in caplog.text
    data = json.loads(path.read_text())
    assert data["coordinates"] == "pixels of the image: x right, y down from its upper left corner"
    assert data["features"][1]["geometry"]["coordinates"][0][0] == [16, 0]


def test_scores_are_optional_and_cells_without_a_class_are_left_out(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, uri = raster(), str(tmp_path / "cells.geojson")
    cells = Cells([Window(0, 0, 9, 9), Window(9, 0, 9, 9)], np.array([-1, 2]))
    write_cells(uri, cells, source, CLASSES, kernel)
    found = read_cells(uri, source, CLASSES, kernel)
    assert (list(found.windows), found.class_ids.tolist()) == ([Window(9, 0, 9, 9)], [2])
    assert found.scores is None


def test_a_scene_may_have_no_cells(raster: MakeRaster, kernel: Kernel, tmp_path: Path) -> None:
    source, uri = raster(), str(tmp_path / "cells.geojson")
    write_cells(uri, Cells([], np.empty(0, np.int64)), source, CLASSES, kernel)
    assert list(read_cells(uri, source, CLASSES, kernel).windows) == []


def test_a_writer_that_fails_leaves_what_was_there(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, path = raster(), tmp_path / "cells.geojson"
    path.write_text("earlier")
    with pytest.raises(Exception, match="class id 9"):
        write_cells(str(path), Cells([Window(0, 0, 9, 9)], np.array([9])), source, CLASSES, kernel)
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.glob("*cells*")] == ["cells.geojson"]


def test_what_holds_no_cells_is_named(raster: MakeRaster, kernel: Kernel, tmp_path: Path) -> None:
    source, path = raster(), tmp_path / "cells.geojson"
    with pytest.raises(NotFoundError, match=r"cells\.geojson"):
        read_cells(str(path), source, CLASSES, kernel)
    for text in ("{", "[]", '{"features": [{}]}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"cells\.geojson does not hold labelled cells"):
            read_cells(str(path), source, CLASSES, kernel)
    write_cells(str(path), some_cells(source), source, CLASSES, kernel)
    with pytest.raises(DataError, match="cells of the class 'Straße'; the classes are house, rest"):
        read_cells(str(path), source, ClassMap.of("house", "rest"), kernel)


def some_boxes(count: int, seed: int = 0) -> StoredBoxes:
    """Boxes at fractions of a pixel, some of them reaching beyond the raster."""
    generator = np.random.default_rng(seed)
    low = generator.uniform((-20, -20), (70, 100), (count, 2))
    found = np.concatenate([low, low + generator.uniform(0.5, 40, (count, 2))], axis=1)
    scores = generator.random(count).astype(np.float32)
    return StoredBoxes(found, generator.integers(0, 3, count), scores)


@pytest.mark.parametrize("crs", ["image", "EPSG:4326"])
@pytest.mark.parametrize(("raster_crs", "transform"), PLACES)
def test_boxes_come_back_to_the_thousandth_of_a_pixel(
    raster: MakeRaster,
    kernel: Kernel,
    tmp_path: Path,
    raster_crs: str | None,
    transform: Affine,
    crs: Crs,
) -> None:
    source, uri = raster(raster_crs, transform), str(tmp_path / "boxes.geojson")
    boxes = some_boxes(200)
    assert write_boxes(uri, boxes, source, CLASSES, kernel, crs=crs) == 200
    found = read_boxes(uri, source, CLASSES, kernel)
    np.testing.assert_allclose(found.boxes, boxes.boxes, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(found.class_ids, boxes.class_ids)
    np.testing.assert_allclose(found.scores, boxes.scores, atol=1e-6)  # type: ignore[arg-type]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    chip=st.tuples(st.integers(-50, 100), st.integers(-50, 70)),
    inside=st.tuples(*[st.floats(0, 60, width=32)] * 2, *[st.floats(0.5, 40, width=32)] * 2),
    turn=st.floats(0, 360),
    pixel=st.floats(0.01, 100),
    crs=st.sampled_from(["image", "EPSG:4326"]),
)
def test_boxes_survive_chip_scene_geojson_scene(
    raster: MakeRaster,
    kernel: Kernel,
    tmp_path: Path,
    chip: tuple[int, int],
    inside: tuple[float, float, float, float],
    turn: float,
    pixel: float,
    crs: Crs,
) -> None:
    """From the pixels of a chip, in float32, to the map and back, on a raster turned by any
    angle."""
    x, y, height, width = inside
    on_chip = np.array([[y, x, y + height, x + width]], np.float32)
    on_scene = geometry.shifted(on_chip, chip[1], chip[0])
    way = Affine.translation(500_000, 5_000_000) @ Affine.rotation(turn)
    source = raster("EPSG:32633", way @ Affine.scale(pixel, -pixel))
    uri = str(tmp_path / "boxes.geojson")
    boxes = StoredBoxes(on_scene, np.array([1]), np.array([0.5], np.float32))
    write_boxes(uri, boxes, source, CLASSES, kernel, crs=crs)
    found = read_boxes(uri, source, CLASSES, kernel)
    np.testing.assert_allclose(found.boxes, on_scene, atol=1e-3, rtol=0)
    back = geometry.shifted(found.boxes, -chip[1], -chip[0])
    np.testing.assert_allclose(back, on_chip, atol=1e-3, rtol=0)


def test_other_programs_read_boxes_with_their_colours(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, path = raster(), tmp_path / "boxes.geojson"
    classes = ClassMap((ClassInfo("house", "#cc3311"), ClassInfo("tree")))
    boxes = StoredBoxes(
        np.array([[10, 20, 30, 50], [0, 0, 1, 1]], np.float64),
        np.array([0, 1]),
        np.array([0.75, 0.5], np.float32),
    )
    write_boxes(str(path), boxes, source, classes, kernel, crs="image")
    meta, _, wkb, columns = pyogrio.raw.read(path)
    assert CRS(meta["crs"]) == CRS(32633)
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert fields["class_name"].tolist() == ["house", "tree"]
    assert fields["score"].tolist() == [0.75, 0.5]
    assert fields["stroke"].tolist() == ["#cc3311", None]
    polygons = shapely.from_wkb(wkb)
    assert polygons[0].bounds == pytest.approx((500_006, 4_999_991, 500_015, 4_999_997))
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()


def test_boxes_can_be_labels_of_the_next_experiment(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, uri = raster(), str(tmp_path / "boxes.geojson")
    boxes = StoredBoxes(np.array([[10.5, 20, 30, 50]]), np.array([2]), np.array([1], np.float32))
    write_boxes(uri, boxes, source, CLASSES, kernel)
    features = read_features(LabelConfig(uris=uri), source, CLASSES, kernel)
    np.testing.assert_allclose(geometry.of_geometries(features.geometries), boxes.boxes, atol=1e-3)
    assert features.class_ids.tolist() == [2]


def test_a_scene_may_have_no_boxes_and_boxes_no_scores(
    raster: MakeRaster, kernel: Kernel, tmp_path: Path
) -> None:
    source, uri = raster(None), str(tmp_path / "boxes.geojson")
    for count in (0, 3):
        boxes = attrs.evolve(some_boxes(count), scores=None)
        write_boxes(uri, boxes, source, CLASSES, kernel)
        found = read_boxes(uri, source, CLASSES, kernel)
        assert (len(found), found.scores) == (count, None)


def test_what_holds_no_boxes_is_named(raster: MakeRaster, kernel: Kernel, tmp_path: Path) -> None:
    source, path = raster(), tmp_path / "boxes.geojson"
    write_boxes(str(path), some_boxes(1), source, CLASSES, kernel)
    path.write_text(path.read_text().replace('"score": 0', '"score": "high", "rest": 0'))
    with pytest.raises(DataError, match=r"boxes\.geojson does not hold labelled boxes"):
        read_boxes(str(path), source, CLASSES, kernel)
