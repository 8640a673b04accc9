"""Labels and areas of interest are read from whatever people keep them in."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import CRS
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.vectors import Features, read_aoi, read_features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassMap, DataError, Kernel

CLASSES = ClassMap.of("house", "road")
WEST, NORTH = 500_000.0, 5_000_000.0
PIXELS = [shapely.box(10, 20, 30, 40), shapely.box(100, 50, 140, 60)]
KINDS = ["house", "road"]


def on_map(geometry: Any) -> Any:
    return shapely.transform(geometry, lambda p: np.column_stack((WEST + p[:, 0], NORTH - p[:, 1])))


HOUSES = [on_map(p) for p in PIXELS]


@pytest.fixture
def raster(tmp_path: Path, kernel: Kernel) -> RasterSource:
    """200 x 100 px of a metre."""
    path = tmp_path / "image.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=200, height=100, count=1, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(WEST, NORTH, 1, 1),
    ) as sink:  # fmt: skip
        sink.write(np.ones((1, 100, 200), "uint8"))
    return RasterSource.open(RasterConfig.of(path), kernel)


def write(
    path: Path,
    geometries: list[Any] = HOUSES,
    kinds: list[str] = KINDS,
    crs: str | None = "EPSG:32633",
    **options: Any,
) -> str:
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(geometries)), [np.array(kinds, object)], ["kind"],
        geometry_type="Polygon", crs=crs, **options,
    )  # fmt: skip
    return str(path)


Read = Callable[..., Features]


@pytest.fixture
def read(raster: RasterSource, kernel: Kernel) -> Read:
    def make(uri: str, **config: Any) -> Features:
        options = {"class_property": "kind", **config}
        return read_features(LabelConfig(uris=uri, **options), raster, CLASSES, kernel)

    return make


def assert_labels(found: Features) -> None:
    np.testing.assert_allclose(found.bounds, shapely.bounds(PIXELS), atol=1e-3)
    assert found.class_ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", "GPKG"),
        ("a.fgb", "FlatGeobuf"),
        ("a.shp", "ESRI Shapefile"),
        ("a.geojson", "GeoJSON"),
        ("a.geojsonl", "GeoJSONSeq"),
    ],
)
def test_formats_say_the_same(tmp_path: Path, read: Read, name: str, driver: str) -> None:
    options = {"crs": "EPSG:4326"} if driver == "GeoJSONSeq" else {}
    geometries = HOUSES
    if driver == "GeoJSONSeq":  # which knows but degrees
        from pyproj import Transformer

        way = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
        geometries = [
            shapely.transform(g, lambda p: np.column_stack(way.transform(p[:, 0], p[:, 1])))
            for g in HOUSES
        ]
    spatial = {"SPATIAL_INDEX": "NO"} if driver == "FlatGeobuf" else {}  # which would sort them
    uri = write(tmp_path / name, geometries, driver=driver, **options, **spatial)
    found = read(uri)
    np.testing.assert_allclose(found.bounds, shapely.bounds(PIXELS), atol=0.2)
    assert found.class_ids.tolist() == [0, 1]
    with pytest.raises(DataError, match="property 'Kindd'; they have ") as error:
        read(uri, class_property="Kindd")
    assert "did you mean 'kind'?" in str(error.value.hint)


def test_geoparquet(tmp_path: Path, read: Read) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    about = {
        "version": "1.0.0",
        "primary_column": "shape",
        "columns": {
            "shape": {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": CRS("EPSG:32633").to_json_dict(),
            }
        },
    }
    table = pyarrow.table({"shape": shapely.to_wkb(HOUSES).tolist(), "kind": KINDS})
    path = tmp_path / "a.parquet"
    parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(about)}), path)
    assert_labels(read(str(path)))
    parquet.write_table(table, path)
    with pytest.raises(DataError, match=r"a\.parquet: it is Parquet without geometries"):
        read(str(path))


def test_a_zipped_shapefile(tmp_path: Path, read: Read) -> None:
    write(tmp_path / "houses.shp", driver="ESRI Shapefile")
    with zipfile.ZipFile(tmp_path / "houses.zip", "w") as archive:
        for part in tmp_path.glob("houses.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    assert_labels(read(str(tmp_path / "houses.zip")))


@pytest.fixture
def attic(far_storage: Any) -> Kernel:
    return Kernel(plugins=[far_storage, "rv_plugins.plugin"])


@pytest.mark.parametrize("query", ["", "?signature=hush"])
def test_a_shapefile_in_storage_comes_with_its_other_files(
    tmp_path: Path, raster: RasterSource, attic: Kernel, query: str
) -> None:
    write(tmp_path / "Houses.shp", driver="ESRI Shapefile")
    config = LabelConfig(uris=f"attic://Houses.shp{query}", class_property="kind")
    assert_labels(read_features(config, raster, CLASSES, attic))
    (tmp_path / "Houses.dbf").unlink()
    with pytest.raises(DataError, match=r"attic://Houses\.shp is not whole: its \.dbf file"):
        read_features(config, raster, CLASSES, attic)


def test_signatures_reach_no_message(
    tmp_path: Path, raster: RasterSource, attic: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    far = [shapely.box(WEST + 5000, NORTH, WEST + 5100, NORTH + 100)]
    write(tmp_path / "far.gpkg", far, ["house"], driver="GPKG")
    (tmp_path / "none.geojson").write_text(collection())
    for name in ("far.gpkg", "none.geojson"):
        uri = f"attic://{name}?signature=hush"
        with pytest.raises(DataError, match=f"attic://{name}") as error:
            read_aoi([uri], raster, attic)
        assert "hush" not in f"{error.value} {error.value.hint}"
    with pytest.raises(DataError, match=r"attic://far\.gpkg") as error:
        read_features(
            LabelConfig(uris="attic://far.gpkg?signature=hush", class_property="kind"),
            raster, CLASSES, attic,
        )  # fmt: skip
    assert "hush" not in f"{error.value} {error.value.hint}"
    read_features(LabelConfig(uris="attic://none.geojson?signature=hush"), raster, CLASSES, attic)
    assert "attic://none.geojson holds no labels" in caplog.text
    assert "hush" not in caplog.text


def test_parts_of_a_shapefile_that_are_missing_are_named(tmp_path: Path, read: Read) -> None:
    uri = write(tmp_path / "a.shp", driver="ESRI Shapefile")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(DataError, match="do not overlap") as error:
        read(uri)
    assert ".prj" in str(error.value.hint)
    (tmp_path / "a.shx").unlink()
    with pytest.raises(DataError, match=r"a\.shp is not whole: its \.shx file is not beside it"):
        read(uri)


def test_one_of_several_layers_has_to_be_chosen(
    tmp_path: Path, read: Read, raster: RasterSource, kernel: Kernel
) -> None:
    path = tmp_path / "city.gpkg"
    uri = write(path, layer="houses", driver="GPKG")
    write(path, [shapely.box(10, 50, 11, 51)], ["x"], crs="EPSG:4326", layer="zones", append=True)
    with pytest.raises(DataError, match=r"city\.gpkg holds several layers: ") as error:
        read(uri)
    assert "houses (EPSG:32633), zones (EPSG:4326)" in str(error.value)
    assert_labels(read(uri, layer="houses"))
    with pytest.raises(DataError, match="no layer 'house'") as unknown:
        read(uri, layer="house")
    assert unknown.value.hint == "it has houses, zones"
    with pytest.raises(DataError, match="several layers"):
        read_aoi([uri], raster, kernel)


def test_areas_of_interest_come_in_any_format(
    tmp_path: Path, raster: RasterSource, kernel: Kernel
) -> None:
    uris = [
        write(tmp_path / "one.gpkg", HOUSES[:1], KINDS[:1], driver="GPKG"),
        write(tmp_path / "two.shp", HOUSES[1:], KINDS[1:], driver="ESRI Shapefile"),
    ]
    found = read_aoi(uris, raster, kernel)
    np.testing.assert_allclose(shapely.bounds(found), shapely.bounds(PIXELS), atol=1e-3)


def test_areas_of_interest_outside_the_scene_are_named(
    tmp_path: Path, raster: RasterSource, kernel: Kernel
) -> None:
    far = [shapely.box(WEST + 5000, NORTH, WEST + 5100, NORTH + 100)]
    uri = write(tmp_path / "far.gpkg", far, ["x"], driver="GPKG")
    match = r"areas of interest in .*far\.gpkg do not overlap the raster .*: the nearest is 4\.8 km"
    with pytest.raises(DataError, match=match):
        read_aoi([uri], raster, kernel)


def test_a_file_without_areas_of_interest_is_named(
    tmp_path: Path, raster: RasterSource, kernel: Kernel
) -> None:
    (tmp_path / "none.geojson").write_text(collection())
    match = r"there are no areas of interest in .*none\.geojson"
    with pytest.raises(DataError, match=match) as error:
        read_aoi([str(tmp_path / "none.geojson")], raster, kernel)
    assert "leave aoi_uris out" in str(error.value.hint)


def collection(*features: dict[str, Any]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def feature(geometry: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"kind": "house"},
        "geometry": shapely.geometry.mapping(geometry),
        **more,
    }


def test_degrees_and_metres_in_one_file_are_found_out(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "mixed.geojson"
    path.write_text(collection(feature(shapely.box(15, 45, 15.001, 45.001)), feature(HOUSES[0])))
    with pytest.raises(DataError, match=r"mixes coordinates of several CRSs: 1 of its 2") as error:
        read(str(path))
    assert "500010" in str(error.value)


def test_features_that_name_crss_of_their_own_are_found_out(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "mixed.geojson"
    names = [{"type": "name", "properties": {"name": f"EPSG:{n}"}} for n in (4326, 32633)]
    path.write_text(
        collection(
            feature(shapely.box(15, 45, 15.001, 45.001), crs=names[0]),
            feature(shapely.box(15, 45, 15.001, 45.001), crs=names[1]),
        )
    )
    with pytest.raises(DataError, match="several CRSs: EPSG:32633, EPSG:4326"):
        read(str(path))


def test_a_file_without_geometries_is_named(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "table.csv"
    path.write_text("kind,size\nhouse,3\n")
    with pytest.raises(DataError, match=r"cannot read the vectors in .*table\.csv"):
        read(str(path))
