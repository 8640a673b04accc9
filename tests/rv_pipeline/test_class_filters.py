"""A class can be a filter on the properties of features, as in a style of Mapbox's."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.vectors import Features, read_features
from rv_pipeline.vectors.config import LabelConfig
from rv_pipeline.vectors.filters import compiled, properties_of

from rv_core import ClassMap, ConfigError, DataError, Kernel

HOUSE = {"kind": "house", "height": 7, "name": None, "old": True, "$type": "Polygon"}
ROAD = {"kind": "road", "height": 0.5, "lanes": 2.0, "old": False, "$type": "LineString"}


@pytest.mark.parametrize(
    ("expression", "house", "road"),
    [
        (["==", "kind", "house"], True, False),
        (["!=", "kind", "house"], False, True),
        ([">", "height", 3], True, False),
        ([">=", "height", 7], True, False),
        (["<", "height", 0.5], False, False),
        (["<=", "height", 0.5], False, True),
        (["in", "kind", "house", "barn"], True, False),
        (["!in", "kind", "house", "barn"], False, True),
        (["has", "lanes"], False, True),
        (["!has", "lanes"], True, False),
        (["has", "name"], False, False),  # it is null
        (["==", "old", True], True, False),
        (["==", "$type", "Polygon"], True, False),
        (["all", ["==", "kind", "house"], [">", "height", 10]], False, False),
        (["all"], True, True),
        (["any", ["==", "kind", "road"], [">", "height", 3]], True, True),
        (["any"], False, False),
        (["none", ["==", "kind", "road"], ["==", "kind", "rail"]], True, False),
        # what is not there, and what is of another kind, is not equal to anything
        (["==", "lanes", 2], False, True),
        (["!=", "lanes", 2], True, False),
        (["<", "lanes", 5], False, True),
        (["==", "height", "7"], False, False),
        (["!=", "height", "7"], True, True),
        (["<", "kind", 3], False, False),
        (["==", "old", 1], False, False),
        # expressions
        (["==", ["get", "kind"], "house"], True, False),
        ([">", ["get", "height"], ["get", "lanes"]], False, False),
        (["in", ["get", "kind"], ["literal", ["house", "barn"]]], True, False),
        (["!", ["in", ["get", "kind"], ["literal", ["house"]]]], False, True),
        (["==", ["geometry-type"], "LineString"], False, True),
        (["==", ["to-string", ["get", "height"]], "7"], True, False),
        (["==", ["to-number", ["literal", "7"]], ["get", "height"]], True, False),
        (["all", ["has", "height"], ["==", ["get", "old"], True]], True, False),
        (True, True, True),
    ],
)
def test_filters_choose_features(expression: Any, house: bool, road: bool) -> None:
    test = compiled(expression, "any")
    assert (test(HOUSE), test(ROAD)) == (house, road)


def test_missing_numbers_are_no_numbers() -> None:
    """A column of whole numbers with nulls arrives as floats, NaN for null."""
    gap = {"lanes": float("nan")}
    assert not compiled(["has", "lanes"], "x")(gap)
    assert not compiled(["<", "lanes", 3], "x")(gap)
    assert compiled(["!=", "lanes", 3], "x")(gap)


def test_only_what_is_looked_at_is_read() -> None:
    expression = [
        "all",
        ["in", "kind", "a"],
        ["any", ["has", "b"], ["!", ["==", ["get", "c"], ["get", "d"]]]],
        ["==", "$type", "Polygon"],
        ["in", ["get", "e"], ["literal", ["kind", "f"]]],
    ]
    compiled(expression, "x")
    assert properties_of(expression) == {"kind", "b", "c", "d", "e"}


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        (["=", "kind", "house"], "operator '=', which is not known", "are == != <"),
        (["within", {}], "operator 'within'", "the operators are"),
        (["all", ["=~", "kind", "x"]], "operator '=~'", None),
        (["==", ["got", "kind"], "x"], "expression 'got'", "did you mean 'get'?"),
        (["==", "kind"], "'==' with 1 operands, it takes 2", None),
        ("kind == house", "is 'kind == house', which is no filter", "a list that begins"),
        ([], "no filter", None),
        (["in", ["get", "kind"], "house"], "without a list of values", None),
        (["has", 3], "3 where the name of a property must stand", None),
    ],
)
def test_filters_that_are_none_are_named(expression: Any, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as error:
        LabelConfig(uris="a.geojson", class_filters={"house": expression})
    assert "filter of class 'house'" in error.value.message
    assert message in error.value.message
    if hint:
        assert hint in str(error.value.hint)


# --- in labels


@pytest.fixture
def raster(tmp_path: Path, kernel: Kernel) -> RasterSource:
    path = tmp_path / "image.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=100, height=100, count=1, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(500_000, 5_000_000, 1, 1),
    ) as sink:  # fmt: skip
        sink.write(np.ones((1, 100, 100), "uint8"))
    return RasterSource.open(RasterConfig.of(path), kernel)


@pytest.fixture
def labels(tmp_path: Path) -> str:
    """Five buildings of 1, 2, 3... storeys, the last of which nobody counted."""
    features = [
        {
            "type": "Feature",
            "properties": {"kind": "building", "storeys": n if n < 5 else None},
            "geometry": shapely.geometry.mapping(
                shapely.box(5e5 + 10 * n, 5e6 - 20, 5e5 + 10 * n + 5, 5e6 - 10)
            ),
        }
        for n in range(1, 6)
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path = tmp_path / "labels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return str(path)


def read(uri: str, raster: RasterSource, kernel: Kernel, **config: Any) -> Features:
    classes = ClassMap.of("low", "high", "other")
    return read_features(LabelConfig(uris=uri, **config), raster, classes, kernel)


FILTERS = {"high": [">", "storeys", 3], "low": [">=", "storeys", 2]}


def test_the_first_filter_that_fits_says_the_class(
    labels: str, raster: RasterSource, kernel: Kernel
) -> None:
    found = read(labels, raster, kernel, class_filters=FILTERS, default_class="other")
    assert found.class_ids.tolist() == [2, 0, 0, 1, 2]


def test_features_that_fit_no_filter_are_no_labels(
    labels: str, raster: RasterSource, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found = read(labels, raster, kernel, class_filters=FILTERS)
    assert found.class_ids.tolist() == [0, 0, 1]
    assert found.bounds[:, 0].tolist() == [20, 30, 40]
    assert "2 of 5 features fit no class filter" in caplog.text


def test_filters_that_fit_nothing_are_found_out(
    labels: str, raster: RasterSource, kernel: Kernel
) -> None:
    with pytest.raises(DataError, match="none of the 5 features") as error:
        read(labels, raster, kernel, class_filters={"low": ["==", "kind", "Building"]})
    assert error.value.hint == "kind is 'building'"
    with pytest.raises(DataError) as error:
        read(labels, raster, kernel, class_filters={"low": ["==", "type", "building"]})
    assert error.value.hint == "the file has no property 'type'"


def test_classes_of_filters_are_those_of_the_experiment(
    labels: str, raster: RasterSource, kernel: Kernel
) -> None:
    with pytest.raises(ConfigError, match="'tall'"):
        read(labels, raster, kernel, class_filters={"tall": True})
    with pytest.raises(ConfigError, match="class_filters says the classes, and so does"):
        LabelConfig(uris="a", class_filters=FILTERS, class_mapping={"a": "b"})
