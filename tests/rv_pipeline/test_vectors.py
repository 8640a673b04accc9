"""Vectors, in whatever CRS they are drawn, come to lie on the pixels they were drawn over."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import CRS, Transformer
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.vectors import Features, read_aoi, read_features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassMap, ConfigError, DataError, Kernel, NotFoundError

CLASSES = ClassMap.of("building", "road")
PIXEL, WEST, NORTH = 0.5, 500_000.0, 5_000_000.0
SQUARE = shapely.box(20, 30, 60, 50)  # in pixels


@pytest.fixture
def raster(tmp_path: Path, kernel: Kernel) -> Callable[..., RasterSource]:
    """An empty raster of 200 x 100 px in a CRS, with its upper left corner near 15°E 45°N."""

    def make(crs: str | None = "EPSG:32633", pixel: float = PIXEL) -> RasterSource:
        path = tmp_path / f"{(crs or 'picture').replace(':', '')}.{'tif' if crs else 'png'}"
        if crs:
            way = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
            corner = way.transform(WEST, NORTH)
            geo = {"crs": crs, "transform": from_origin(*corner, pixel, pixel), "driver": "GTiff"}
        else:
            geo = {"driver": "PNG"}
        with rasterio.open(path, "w", width=200, height=100, count=1, dtype="uint8", **geo) as sink:
            sink.write(np.ones((1, 100, 200), "uint8"))
        return RasterSource.open(RasterConfig.of(path), kernel)

    return make


def on_map(geometry: Any, crs: str) -> Any:
    """A geometry in pixels of the UTM raster, in the coordinates of a CRS."""
    way = Transformer.from_crs("EPSG:32633", crs, always_xy=True)

    def move(points: Any) -> Any:
        return np.column_stack(
            way.transform(WEST + points[:, 0] * PIXEL, NORTH - points[:, 1] * PIXEL)
        )

    return shapely.transform(geometry, move)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., str]:
    """Write geometries as GeoJSON; ``crs``: named in the file, unless it is EPSG:4326."""

    def make(
        *geometries: Any,
        name: str = "labels.geojson",
        crs: str | None = None,
        properties: Any = None,
    ) -> str:
        properties = properties or [{"class_name": "building"}] * len(geometries)
        data: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "properties": p, "geometry": shapely.geometry.mapping(g)}
                for g, p in zip(geometries, properties, strict=True)
            ],
        }
        if crs:
            data["crs"] = {"type": "name", "properties": {"name": crs}}
        path = tmp_path / name
        path.write_text(json.dumps(data))
        return str(path)

    return make


def read(uri: str, raster: RasterSource, kernel: Kernel, **config: Any) -> Features:
    return read_features(LabelConfig(uris=uri, **config), raster, CLASSES, kernel)


@pytest.mark.parametrize(
    ("crs", "member"),
    [
        ("EPSG:4326", None),
        ("EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84"),
        ("EPSG:32633", "urn:ogc:def:crs:EPSG::32633"),
        ("EPSG:3857", "EPSG:3857"),
        ("EPSG:32632", "EPSG:32632"),
    ],
)
def test_labels_in_any_crs_land_on_their_pixels(
    raster: Any, draw: Any, kernel: Kernel, crs: str, member: str | None
) -> None:
    features = read(draw(on_map(SQUARE, crs), crs=member), raster(), kernel)
    found = shapely.get_coordinates(features.geometries[0])
    np.testing.assert_allclose(found, shapely.get_coordinates(SQUARE), atol=1e-3)
    assert features.class_ids.tolist() == [0]


def test_labels_lie_the_same_whatever_the_crs_of_the_raster(
    raster: Any, draw: Any, kernel: Kernel
) -> None:
    """Half a metre of the web's Mercator is about 0.35 m on the ground at 45°N."""
    uri = draw(on_map(SQUARE, "EPSG:4326"))
    features = read(uri, raster("EPSG:3857"), kernel)
    stretch = 1 / np.cos(np.radians(45.15))
    width, height = np.ptp(shapely.get_coordinates(features.geometries[0]), axis=0)
    assert width == pytest.approx(40 * stretch, rel=0.01)
    assert height == pytest.approx(20 * stretch, rel=0.01)


def test_labels_on_a_picture_are_in_pixels(raster: Any, draw: Any, kernel: Kernel) -> None:
    features = read(draw(SQUARE), raster(None), kernel)
    assert shapely.equals(features.geometries[0], SQUARE)


def test_labels_with_a_crs_have_no_place_on_a_picture(
    raster: Any, draw: Any, kernel: Kernel
) -> None:
    uri = draw(SQUARE, crs="EPSG:32633")
    with pytest.raises(DataError, match=r"in EPSG:32633, but the raster .*png has no CRS"):
        read(uri, raster(None), kernel)


def test_only_labels_on_the_raster_are_kept(raster: Any, draw: Any, kernel: Kernel) -> None:
    shapes = [shapely.box(-50, 0, -10, 40), SQUARE, shapely.box(190, 90, 300, 300)]
    features = read(draw(*(on_map(s, "EPSG:4326") for s in shapes)), raster(), kernel)
    assert len(features) == 2


def test_several_files_are_read_as_one(raster: Any, draw: Any, kernel: Kernel) -> None:
    one = draw(on_map(SQUARE, "EPSG:4326"), name="one.geojson")
    far = draw(on_map(shapely.box(900, 900, 950, 950), "EPSG:4326"), name="far.geojson")
    assert len(read_features(LabelConfig(uris=[far, one]), raster(), CLASSES, kernel)) == 1


# --- classes


def squares(count: int) -> list[Any]:
    return [
        on_map(shapely.box(10 + 20 * i, 10, 20 + 20 * i, 20), "EPSG:4326") for i in range(count)
    ]


def test_the_class_is_that_of_the_property(raster: Any, draw: Any, kernel: Kernel) -> None:
    uri = draw(*squares(2), properties=[{"kind": "road"}, {"kind": "building"}])
    assert read(uri, raster(), kernel, class_property="kind").class_ids.tolist() == [1, 0]


def test_values_are_mapped_to_classes(raster: Any, draw: Any, kernel: Kernel) -> None:
    values = [{"k": 1}, {"k": 2}, {"k": None}, {}]
    uri = draw(*squares(4), properties=values)
    features = read(
        uri, raster(), kernel, class_property="k", default_class="road",
        class_mapping={1: "building", 2: "road"},
    )  # fmt: skip
    assert features.class_ids.tolist() == [0, 1, 1, 1]


def test_features_without_the_property_need_a_default(
    raster: Any, draw: Any, kernel: Kernel
) -> None:
    uri = draw(*squares(1), properties=[{"other": 1}])
    match = "without the property 'class_name'; they have other"
    with pytest.raises(DataError, match=match) as error:
        read(uri, raster(), kernel)
    assert "default_class" in str(error.value.hint)
    assert read(uri, raster(), kernel, default_class="road").class_ids.tolist() == [1]
    everything = read(uri, raster(), kernel, class_property=None, default_class="building")
    assert everything.class_ids.tolist() == [0]


def test_an_unknown_class_is_named_with_its_nearest(raster: Any, draw: Any, kernel: Kernel) -> None:
    uri = draw(*squares(1), properties=[{"class_name": "biulding"}])
    with pytest.raises(DataError, match=r"class_name is 'biulding'.*building, road") as error:
        read(uri, raster(), kernel, default_class="road")
    assert "did you mean 'building'?" in str(error.value.hint)
    with pytest.raises(ConfigError, match="unknown class 'raod'") as mapped:
        read(uri, raster(), kernel, class_mapping={"biulding": "raod"})
    assert "did you mean 'road'?" in str(mapped.value.hint)


# --- geometries


def test_invalid_polygons_are_repaired_with_one_warning_a_file(
    raster: Any, draw: Any, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    bow = shapely.Polygon([(10, 10), (50, 50), (50, 10), (10, 50)])
    uri = draw(*(on_map(g, "EPSG:4326") for g in (bow, SQUARE, bow)))
    with caplog.at_level(logging.WARNING):
        features = read(uri, raster(), kernel)
    assert [r.getMessage() for r in caplog.records] == [f"{uri}: repaired 2 invalid polygons of 3"]
    assert shapely.is_valid(features.geometries).all()
    assert shapely.area(features.geometries[0]) == pytest.approx(800, rel=1e-3)


def test_features_without_geometry_are_left_out(raster: Any, draw: Any, kernel: Kernel) -> None:
    uri = draw(on_map(SQUARE, "EPSG:4326"), shapely.Polygon())
    data = json.loads(Path(uri).read_text())
    data["features"].append({"type": "Feature", "properties": {}, "geometry": None})
    Path(uri).write_text(json.dumps(data))
    assert len(read(uri, raster(), kernel)) == 1


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326"])
def test_lines_and_points_grow_by_metres_on_the_ground(
    raster: Any, draw: Any, kernel: Kernel, crs: str
) -> None:
    """A circle of 4 m covers as much ground whatever CRS the raster is in."""
    uri = draw(on_map(shapely.Point(40, 40), "EPSG:4326"))
    scene = raster(crs, pixel=5e-6 if crs == "EPSG:4326" else 0.5)
    features = read(uri, scene, kernel, point_buffer=4)
    t = scene.transform
    ground = shapely.transform(
        features.geometries[0],
        lambda xy: np.column_stack(
            Transformer.from_crs(crs, "EPSG:32633", always_xy=True).transform(
                t.c + xy[:, 0] * t.a, t.f + xy[:, 1] * t.e
            )
        ),
    )
    assert ground.area == pytest.approx(np.pi * 16, rel=0.01)
    x0, y0, x1, y1 = ground.bounds
    assert (x1 - x0, y1 - y0) == pytest.approx((8, 8), rel=0.01)


def test_lines_grow_by_pixels_too(raster: Any, draw: Any, kernel: Kernel) -> None:
    uri = draw(on_map(shapely.LineString([(20, 50), (120, 50)]), "EPSG:4326"))
    features = read(uri, raster(), kernel, line_buffer=3, buffer_units="px")
    assert features.geometries[0].bounds == pytest.approx((17, 47, 123, 53), abs=0.01)


@pytest.mark.parametrize(
    ("kind", "geometry"),
    [("point", shapely.Point(5, 5)), ("line", shapely.LineString([(5, 5), (9, 9)]))],
)
def test_points_and_lines_need_a_buffer(
    raster: Any, draw: Any, kernel: Kernel, kind: str, geometry: Any
) -> None:
    uri = draw(on_map(SQUARE, "EPSG:4326"), on_map(geometry, "EPSG:4326"))
    with pytest.raises(DataError, match=f"holds 1 {kind}, which covers no area") as error:
        read(uri, raster(), kernel)
    assert error.value.hint == f"set {kind}_buffer in the labels"


def test_metres_mean_nothing_on_a_picture(raster: Any, draw: Any, kernel: Kernel) -> None:
    with pytest.raises(ConfigError, match="cannot grow by metres"):
        read(draw(shapely.Point(5, 5)), raster(None), kernel, point_buffer=2)
    features = read(
        draw(shapely.Point(5, 5)), raster(None), kernel, point_buffer=2, buffer_units="px"
    )
    assert shapely.area(features.geometries[0]) == pytest.approx(12.5, rel=0.02)


# --- labels that are somewhere else


def test_it_is_said_by_how_far_labels_miss_the_raster(
    raster: Any, draw: Any, kernel: Kernel
) -> None:
    far = shapely.box(200 + 20_000, 0, 200 + 20_400, 100)  # 10 km to the east
    with pytest.raises(DataError) as error:
        read(draw(on_map(far, "EPSG:4326")), raster(), kernel)
    assert re.search(
        r"labels in .*labels\.geojson do not overlap the raster .*EPSG32633\.tif: the nearest is "
        r"10\.0 km \(20,000 px\) away, in EPSG:32633",
        str(error.value),
    )


def test_on_a_picture_it_is_said_in_pixels(raster: Any, draw: Any, kernel: Kernel) -> None:
    with pytest.raises(DataError, match="the nearest is 300 px away, in pixel coordinates"):
        read(draw(shapely.box(500, 0, 600, 50)), raster(None), kernel)


def test_degrees_on_a_picture_are_found_out(raster: Any, draw: Any, kernel: Kernel) -> None:
    """15 degrees east and 45 degrees north is a pixel of it, too."""
    uri = draw(on_map(SQUARE, "EPSG:4326"), on_map(shapely.box(30, 2, 90, 80), "EPSG:4326"))
    with pytest.raises(DataError, match=r"smaller than a pixel of the raster .* has no CRS"):
        read(uri, raster(None), kernel)
    mixed = draw(on_map(SQUARE, "EPSG:4326"), shapely.box(3, 3, 9, 8))
    assert len(read(mixed, raster(None), kernel)) == 2


def test_latitude_first_is_found_out(raster: Any, draw: Any, kernel: Kernel) -> None:
    swapped = shapely.transform(on_map(SQUARE, "EPSG:4326"), lambda xy: xy[:, ::-1])
    with pytest.raises(DataError, match="do not overlap") as error:
        read(draw(swapped), raster(), kernel)
    assert error.value.hint == "with x and y exchanged they would: GeoJSON has the longitude first"


def test_metres_without_a_crs_member_are_found_out(raster: Any, draw: Any, kernel: Kernel) -> None:
    with pytest.raises(DataError, match="do not overlap") as error:
        read(draw(on_map(SQUARE, "EPSG:32633")), raster(), kernel)
    assert "'crs' member" in str(error.value.hint)


def test_a_scene_may_have_no_labels_at_all(
    raster: Any, draw: Any, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read(draw(), raster(), kernel)) == 0
    assert "holds no labels" in caplog.text


# --- damaged files


def test_missing_and_broken_files_are_named(
    raster: Any, draw: Any, kernel: Kernel, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.geojson"):
        read(str(tmp_path / "gone.geojson"), raster(), kernel)
    uri = draw(*squares(5))
    text = Path(uri).read_text()
    for broken in ("", "[1, 2", text[: len(text) // 2]):
        Path(uri).write_text(broken)
        with pytest.raises(DataError, match=r"cannot read the vectors in .*labels\.geojson"):
            read(uri, raster(), kernel)


# --- areas of interest


def test_areas_of_interest(raster: Any, draw: Any, kernel: Kernel) -> None:
    uri = draw(on_map(SQUARE, "EPSG:4326"), name="aoi.geojson", properties=[{}])
    (area,) = read_aoi([uri], raster(), kernel)
    assert area.bounds == pytest.approx(SQUARE.bounds, abs=1e-3)
    assert len(read_aoi([], raster(), kernel)) == 0
    away = draw(on_map(shapely.box(900, 0, 950, 9), "EPSG:4326"), name="b.geojson")
    with pytest.raises(DataError, match=r"areas of interest in .* do not overlap"):
        read_aoi([away], raster(), kernel)


# --- real labels


def test_real_labels_are_repaired(
    shared_data: Path, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shared_data / "hot-oam-kampala-rgb"
    raster = RasterSource.open(RasterConfig.of(folder / "train.tif"), kernel)
    config = LabelConfig(
        uris=folder / "labels.geojson", class_property=None, default_class="building"
    )
    assert len(read_features(config, raster, CLASSES, kernel)) == 108
    assert "repaired 1 invalid polygon of 206" in caplog.text


def test_real_labels_lie_on_their_buildings(shared_data: Path, kernel: Kernel) -> None:
    """Along the outlines the image changes more than along the same ones a little to any side."""
    folder = shared_data / "hot-oam-kampala-rgb"
    raster = RasterSource.open(RasterConfig.of(folder / "val.tif"), kernel)
    config = LabelConfig(
        uris=folder / "labels.geojson", class_property=None, default_class="building"
    )
    outlines = shapely.boundary(read_features(config, raster, CLASSES, kernel).geometries)
    points = shapely.get_coordinates(shapely.segmentize(outlines, 2))
    pixels, _ = raster.read(raster.extent)
    edges = np.hypot(*np.gradient(pixels.mean(axis=2)))

    def strength(right: int, down: int) -> float:
        x, y = np.floor(points + np.array([right, down])).astype(int).T
        seen = (x >= 0) & (y >= 0) & (x < raster.width) & (y < raster.height)
        return float(edges[y[seen], x[seen]].mean())

    around = [strength(x, y) for x in (-12, -6, 6, 12) for y in (-12, -6, 6, 12)]
    assert strength(0, 0) > 1.6 * max(around)


def test_scenes_of_two_utm_zones(shared_data: Path, kernel: Kernel) -> None:
    for name, zone, count in (("train", 32617, 61), ("val", 32611, 7)):
        folder = shared_data / "neon-trees-rgb"
        raster = RasterSource.open(RasterConfig.of(folder / f"{name}.tif"), kernel)
        assert CRS.from_wkt(raster.crs.to_wkt()) == CRS(zone)  # type: ignore[union-attr]
        config = LabelConfig(
            uris=folder / f"{name}-labels.geojson", class_property=None, default_class="building"
        )
        assert len(read_features(config, raster, CLASSES, kernel)) == count
