"""Class rasters become polygons: the outlines that GDAL finds, without seams, as GeoJSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes as gdal_shapes
from rv_pipeline.label_stores import polygons as store
from rv_pipeline.label_stores._tracing import trace
from rv_pipeline.label_stores.polygons import Outlines, pixel_area, write_polygons
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.vectors import read_features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassInfo, ClassMap, ConfigError, Kernel

CLASSES = ClassMap((ClassInfo("roof", "#aa0000"), ClassInfo("road"), ClassInfo("background")))
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)

Make = Callable[..., tuple[RasterSource, Path]]


def spelled(polygons: Any, values: Any) -> list[tuple[int, str]]:
    pairs = zip(values, shapely.to_wkt(shapely.normalize(polygons)), strict=True)
    return sorted((int(value), text) for value, text in pairs)


def by_gdal(mask: NDArray[np.uint8]) -> list[tuple[int, str]]:
    found = list(gdal_shapes(mask, mask=mask != 255))
    outlines = shapely.from_geojson([json.dumps(shape) for shape, _ in found])
    return spelled(outlines, [value for _, value in found])


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.sampled_from([0, 1, 255]),
    )
)
def test_outlines_are_those_that_gdal_finds(mask: NDArray[np.uint8]) -> None:
    polygons, values = trace(mask)
    assert shapely.is_valid(polygons).all()
    assert spelled(polygons, values) == by_gdal(mask)


def test_rings_within_rings_belong_to_their_own_polygon() -> None:
    mask = np.zeros((60, 60), np.uint8)
    for n in range(1, 14):
        mask[2 * n : -2 * n, 2 * n : -2 * n] = n % 2
    mask[5:50:3, 5:50:3] = 7
    polygons, values = trace(mask)
    assert spelled(polygons, values) == by_gdal(mask)


@pytest.fixture
def make(tmp_path: Path, kernel: Kernel) -> Make:
    """A raster, and a raster of class ids that lies there."""

    def write(
        ids: NDArray[np.uint8], crs: str | None = "EPSG:32633", transform: Affine = UTM
    ) -> tuple[RasterSource, Path]:
        path = tmp_path / ("ids.tif" if crs else "ids.png")
        geo = {"driver": "GTiff", "crs": crs, "transform": transform} if crs else {"driver": "PNG"}
        height, width = ids.shape
        shape = {"width": width, "height": height, "count": 1, "dtype": "uint8"}
        with rasterio.open(path, "w", **shape, **geo) as sink:
            sink.write(ids, 1)
        return RasterSource.open(RasterConfig.of(path), kernel), path

    return write


def blobs(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(4).choice([0, 1, 2, 255], (height // 6 + 1, width // 6 + 1))
    return coarse.repeat(6, 0).repeat(6, 1)[:height, :width].astype(np.uint8)


@pytest.mark.parametrize("tile", [32, 50])
def test_tiles_leave_no_seams(
    make: Make, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    monkeypatch.setattr(store, "_TILE", tile)
    ids = blobs(150, 130)
    raster, path = make(ids)
    uri = str(tmp_path / "out.geojson")
    count = write_polygons(uri, path, raster, CLASSES, Outlines(class_ids=[0, 1]), kernel)
    found = read_features(LabelConfig(uris=uri), raster, CLASSES, kernel)
    expected, values = trace(np.where(ids < 2, ids, 255))
    assert count == len(found) == len(expected)
    polygons = shapely.set_precision(found.geometries, 0.5)
    assert spelled(polygons, found.class_ids) == spelled(expected, values)
    drawn = found.painter.covers(raster.extent)
    np.testing.assert_array_equal(drawn, ids < 2)


@pytest.mark.parametrize("crs", ["image", "EPSG:4326"])
def test_other_programs_read_them(make: Make, kernel: Kernel, tmp_path: Path, crs: Any) -> None:
    raster, path = make(blobs(60, 60))
    out = tmp_path / "out.geojson"
    write_polygons(str(out), path, raster, CLASSES, Outlines(class_ids=[0, 2]), kernel, crs=crs)
    meta, _, wkb, columns = pyogrio.raw.read(out)
    assert meta["crs"] == ("EPSG:32633" if crs == "image" else "EPSG:4326")
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert set(fields["class_name"]) == {"roof", "background"}
    polygons = shapely.from_wkb(wkb)
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    if crs == "image":
        np.testing.assert_allclose(fields["area_m2"], shapely.area(polygons), rtol=2e-3)
        assert polygons[0].bounds[0] >= 500_000


def test_small_ones_are_left_out_or_become_part_of_their_neighbour(
    make: Make, kernel: Kernel, tmp_path: Path
) -> None:
    ids = np.full((40, 40), 2, np.uint8)
    ids[5:15, 5:15] = 0
    ids[8, 8] = 1
    ids[30:32, 30:32] = 0
    ids[:, 35:] = 255
    raster, path = make(ids)
    uri = str(tmp_path / "out.geojson")

    def areas(**options: Any) -> list[float]:
        outlines = Outlines(class_ids=[0], **options)
        write_polygons(uri, path, raster, CLASSES, outlines, kernel)
        found = read_features(LabelConfig(uris=uri), raster, CLASSES, kernel)
        return sorted(np.round(shapely.area(found.geometries), 1).tolist())

    assert areas() == [4, 99]
    assert areas(sieve=3) == [4, 100]
    assert areas(sieve=5) == [100]
    assert areas(sieve=10_000) == areas()  # more than there are: no group is large enough to take
    assert areas(min_area=5) == [99]
    assert areas(min_area=1.1, min_area_units="m2") == [99]  # a pixel is 0.25 square metres
    assert areas(min_area=0.9, min_area_units="m2") == [4, 99]


def test_what_the_sieve_takes_away_does_not_depend_on_tiles(
    make: Make, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.full((64, 64), 2, np.uint8)
    ids[:, 30:33] = 0
    ids[20, 28:37] = 1  # nine pixels on both sides of column 32
    ids[40:42, 31:33] = 1
    raster, path = make(ids)
    found = []
    for tile in (2048, 32):
        monkeypatch.setattr(store, "_TILE", tile)
        uri = str(tmp_path / f"{tile}.geojson")
        write_polygons(uri, path, raster, CLASSES, Outlines(class_ids=[0, 1], sieve=9), kernel)
        features = read_features(LabelConfig(uris=uri), raster, CLASSES, kernel)
        polygons = shapely.set_precision(features.geometries, 0.5)
        found.append(spelled(polygons, features.class_ids))
    assert found[0] == found[1]
    assert len([value for value, _ in found[0] if value == 1]) == 1


def test_simplifying_moves_no_outline_further_than_asked(
    make: Make, kernel: Kernel, tmp_path: Path
) -> None:
    rows, cols = np.mgrid[:200, :200]
    ids = np.where((rows - 100) ** 2 + (cols - 90) ** 2 < 70**2, 0, 2).astype(np.uint8)
    raster, path = make(ids)
    corners, circles = [], []
    for simplify in (0.0, 1.5):
        uri = str(tmp_path / f"{simplify}.geojson")
        outlines = Outlines(class_ids=[0], simplify=simplify)
        write_polygons(uri, path, raster, CLASSES, outlines, kernel)
        circle = read_features(LabelConfig(uris=uri), raster, CLASSES, kernel).geometries[0]
        circles.append(circle)
        corners.append(len(circle.exterior.coords))
    assert corners[1] < corners[0] / 5
    assert shapely.hausdorff_distance(*circles) <= 1.51


def test_pictures_have_no_square_metres(make: Make, kernel: Kernel, tmp_path: Path) -> None:
    raster, path = make(blobs(30, 30), None)
    uri = str(tmp_path / "out.geojson")
    assert pixel_area(raster) is None
    with pytest.raises(ConfigError, match="cannot be measured in square metres"):
        outlines = Outlines(class_ids=[0], min_area=1, min_area_units="m2")
        write_polygons(uri, path, raster, CLASSES, outlines, kernel)
    with warnings.catch_warnings(action="error", category=NotGeoreferencedWarning):
        write_polygons(uri, path, raster, CLASSES, Outlines(class_ids=[0]), kernel)
    assert "area_m2" not in Path(uri).read_text()


def test_a_pixel_is_measured_on_the_ground(make: Make) -> None:
    ids = blobs(30, 30)
    lonlat = Affine(1e-5, 0, 32.5, 0, -1e-5, 60)
    mercator = Affine(1, 0, 3_600_000, 0, -1, 8_399_738)  # 60 degrees north: twice too wide
    metres = 1e-5 * np.pi / 180 * 6_378_137
    assert pixel_area(make(ids)[0]) == pytest.approx(0.25, rel=2e-3)
    assert pixel_area(make(ids, "EPSG:4326", lonlat)[0]) == pytest.approx(metres**2 / 2, rel=1e-2)
    assert pixel_area(make(ids, "EPSG:3857", mercator)[0]) == pytest.approx(0.25, rel=1e-2)
