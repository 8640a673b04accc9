"""Predictions come with a STAC item that a catalogue takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rv_pipeline.label_stores.stac import (
    COG,
    GEOJSON,
    ItemAsset,
    class_band,
    probability_bands,
    write_item,
)
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig

from rv_core import ClassMap, Kernel

CLASSES = ClassMap.of("roof", "background")
UNNAMED = "+proj=tmerc +lat_0=45 +lon_0=15.3 +k=1 +x_0=500000 +y_0=5000000 +datum=WGS84 +units=m"
ASSETS = (
    ItemAsset(key="classes", name="a.tif", media_type=COG, title="Classes", bands=[class_band()]),
    ItemAsset(
        key="probabilities",
        name="a-probabilities.tif",
        media_type=COG,
        title="Probabilities",
        bands=probability_bands(CLASSES, 254),
    ),
    ItemAsset(key="polygons", name="a-polygons.geojson", media_type=GEOJSON, title="Polygons"),
)


def item_of(
    folder: Path, kernel: Kernel, crs: str | None, transform: Affine | None
) -> tuple[RasterSource, dict[str, Any]]:
    image = folder / ("image.tif" if crs else "image.png")
    geo = {"driver": "GTiff", "crs": crs, "transform": transform} if crs else {"driver": "PNG"}
    with rasterio.open(image, "w", width=80, height=50, count=1, dtype="uint8", **geo) as sink:
        sink.write(np.ones((1, 50, 80), "uint8"))
    raster = RasterSource.open(RasterConfig.of(image), kernel)
    path = write_item(folder, "a", raster, CLASSES, ASSETS, kernel, task="SEMANTIC_SEGMENTATION")
    assert path == folder / "a.stac.json"
    return raster, json.loads(path.read_text())


def check_core(item: dict[str, Any]) -> None:
    """By the schema that pystac brings along; no network."""
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)),
        ("EPSG:32633", Affine(0.25, 0.15, 500_000, 0.15, -0.25, 5_000_000)),
        ("EPSG:4326", Affine(2.7e-6, 0, 15, 0, -2.7e-6, 45)),
        (UNNAMED, Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)),
    ],
)
def test_the_item_is_valid_and_lies_where_the_image_does(
    tmp_path: Path, kernel: Kernel, crs: str, transform: Affine
) -> None:
    raster, data = item_of(tmp_path, kernel, crs, transform)
    check_core(data)
    item = pystac.Item.from_dict(data)
    projection = ProjectionExtension.ext(item)
    assert projection.shape == [50, 80]
    assert projection.transform is not None
    assert Affine(*projection.transform[:6]).almost_equals(raster.transform)
    if crs.startswith("EPSG"):
        assert projection.code == crs
    else:
        assert "PROJCRS" in str(projection.wkt2)
    footprint = shapely.geometry.shape(item.geometry)
    assert footprint.is_valid
    assert item.bbox == pytest.approx(footprint.bounds)
    way = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    centre = shapely.Point(way.transform(*(raster.transform @ (40.0, 25.0))))
    assert footprint.centroid.distance(centre) < 1e-6
    changed = datetime.fromtimestamp((tmp_path / "image.tif").stat().st_mtime, UTC)
    assert item.datetime == changed.replace(microsecond=0)


@pytest.mark.parametrize(("crs", "west"), [("EPSG:32760", 819_437), ("EPSG:32701", 180_535)])
def test_an_item_on_the_date_line_is_cut_there(
    tmp_path: Path, kernel: Kernel, crs: str, west: float
) -> None:
    _, data = item_of(tmp_path, kernel, crs, Affine(0.3, 0, west, 0, -0.3, 8_118_008))
    check_core(data)
    footprint = shapely.geometry.shape(data["geometry"])
    assert footprint.geom_type == "MultiPolygon"
    assert footprint.is_valid
    assert {round(abs(x)) for part in footprint.geoms for x in part.bounds[::2]} == {180}
    assert sum(part.bounds[2] - part.bounds[0] for part in footprint.geoms) < 1e-3
    east, _, west, _ = data["bbox"]
    assert 179.999 < east < 180
    assert -180 < west < -179.999


def test_its_assets_are_the_files_beside_it(tmp_path: Path, kernel: Kernel) -> None:
    transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    _, data = item_of(tmp_path, kernel, "EPSG:32633", transform)
    assets = data["assets"]
    assert {key: asset["href"] for key, asset in assets.items()} == {
        "classes": "./a.tif",
        "probabilities": "./a-probabilities.tif",
        "polygons": "./a-polygons.geojson",
    }
    assert assets["probabilities"]["bands"][0]["name"] == "roof"
    assert assets["probabilities"]["bands"][0]["raster:scale"] == pytest.approx(1 / 254)
    assert any("raster" in schema for schema in data["stac_extensions"])


def test_a_picture_makes_an_item_without_a_place(tmp_path: Path, kernel: Kernel) -> None:
    _, data = item_of(tmp_path, kernel, None, None)
    check_core(data)
    assert data["geometry"] is None
    assert "bbox" not in data
