"""Labels may be a raster: of class ids, of other values, or of the classes' colors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import ExtentCrop, RasterConfig
from rv_pipeline.rasters.label_raster import LabelRaster, RasterLabelConfig

from rv_core import ClassInfo, ClassMap, ConfigError, DataError, Kernel, NotFoundError, Window

CLASSES = ClassMap(
    (ClassInfo("roof", "#ff0000"), ClassInfo("road", "#0000ff"), ClassInfo("rest", "#00ff00"))
)
IDS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [2, 2, 2, 2]], np.uint8)
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        name: str,
        pixels: NDArray[Any],
        crs: str | None = "EPSG:32633",
        transform: Affine = UTM,
        **options: Any,
    ) -> str:
        pixels = pixels if pixels.ndim == 3 else pixels[None]
        geo = {"crs": crs, "transform": transform} if crs else {}
        path = tmp_path / name
        with rasterio.open(
            path,
            "w",
            driver="PNG" if name.endswith(".png") else "GTiff",
            count=len(pixels),
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype,
            **geo,
            **options,
        ) as sink:
            sink.write(pixels)
        return str(path)

    return make


@pytest.fixture
def raster(write: Write, kernel: Kernel) -> RasterSource:
    return RasterSource.open(RasterConfig.of(write("image.tif", IDS + 9)), kernel)


def colors(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = np.array([[255, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)
    return table[ids].transpose(2, 0, 1)


def read(raster: RasterSource, kernel: Kernel, **config: Any) -> NDArray[np.uint8]:
    with LabelRaster.open(RasterLabelConfig(**config), raster, CLASSES, kernel) as labels:
        return labels.read(raster.extent)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_values_are_class_ids_where_nothing_else_is_said(
    write: Write, raster: RasterSource, kernel: Kernel, dtype: str
) -> None:
    found = read(raster, kernel, uris=write("labels.tif", IDS.astype(dtype)))
    np.testing.assert_array_equal(found, IDS)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("name", ["labels.tif", "labels.png"])
def test_colors_are_those_of_the_class_map(
    write: Write, raster: RasterSource, kernel: Kernel, name: str
) -> None:
    crs = None if name.endswith("png") else "EPSG:32633"
    found = read(raster, kernel, uris=write(name, colors(IDS), crs))
    np.testing.assert_array_equal(found, IDS)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_a_mapping_says_which_values_are_which_class(
    write: Write, raster: RasterSource, kernel: Kernel, dtype: str
) -> None:
    values = np.array([10, 20, 30], dtype)[IDS]
    mapping: dict[Any, str | None] = {10: "road", 20: "road", 30: None}
    found = read(raster, kernel, uris=write("labels.tif", values), class_mapping=mapping)
    np.testing.assert_array_equal(found, np.array([1, 1, 255])[IDS])
    found = read(
        raster, kernel, uris=write("labels.tif", values), class_mapping={10: "roof"},
        default_class="rest",
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.array([0, 2, 2])[IDS])


def test_a_mapping_may_be_of_colors(write: Write, raster: RasterSource, kernel: Kernel) -> None:
    mapping = {"#FF0000": "rest", "#0000ff": None, "#00ff00": "roof"}
    found = read(raster, kernel, uris=write("l.tif", colors(IDS)), class_mapping=mapping)
    np.testing.assert_array_equal(found, np.array([2, 255, 0])[IDS])


def test_nodata_is_unlabelled_unless_the_mapping_has_it(
    write: Write, raster: RasterSource, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    uri = write("labels.tif", IDS, nodata=0)
    np.testing.assert_array_equal(read(raster, kernel, uris=uri) == 255, IDS == 0)
    assert "0 is the file's nodata value, so its pixels are unlabelled and not of" in caplog.text
    assert "'roof'" in caplog.text
    caplog.clear()
    mapping = {0: "rest", 1: "road", 2: "roof"}
    found = read(raster, kernel, uris=uri, class_mapping=mapping)
    np.testing.assert_array_equal(found, np.array([2, 1, 0])[IDS])
    plain = write("plain.tif", IDS)
    np.testing.assert_array_equal(read(raster, kernel, uris=plain, nodata=2) == 255, IDS == 2)
    floats = write("floats.tif", IDS.astype("float32"), nodata=math.nan)
    np.testing.assert_array_equal(read(raster, kernel, uris=floats), IDS)
    assert not caplog.records


def test_pixels_without_data_are_background_where_no_value_says_it(
    write: Write, raster: RasterSource, kernel: Kernel
) -> None:
    uri = write("labels.tif", IDS, nodata=2)

    def on_rest(mapping: dict[Any, str | None]) -> NDArray[np.uint8]:
        config = RasterLabelConfig(uris=uri, class_mapping=mapping)
        with LabelRaster.open(config, raster, CLASSES, kernel) as labels:
            return labels.read(raster.extent, CLASSES.id_of("rest"))

    np.testing.assert_array_equal(on_rest({0: "roof", 1: None}), np.array([0, 255, 2])[IDS])
    np.testing.assert_array_equal(on_rest({0: "roof", 1: "rest"}), np.array([0, 2, 255])[IDS])
    np.testing.assert_array_equal(on_rest({0: "roof", 1: "roof", 2: None})[IDS == 2], 255)
    np.testing.assert_array_equal(on_rest({}), np.array([0, 1, 255])[IDS])


def test_windows_are_the_same_pixels_and_nothing_lies_beyond(
    write: Write, raster: RasterSource, kernel: Kernel
) -> None:
    config = RasterLabelConfig(uris=write("labels.tif", IDS))
    with LabelRaster.open(config, raster, CLASSES, kernel) as labels:
        found = labels.read(Window(2, 1, 4, 4))
    np.testing.assert_array_equal(found[:2, :2], IDS[1:, 2:])
    assert (found[2:] == 255).all()
    assert (found[:, 2:] == 255).all()


def test_labels_are_cropped_with_the_raster(write: Write, kernel: Kernel) -> None:
    config = RasterConfig(uris=write("image.tif", IDS), extent_crop=ExtentCrop(left=0.5))
    with RasterSource.open(config, kernel) as raster:
        found = read(raster, kernel, uris=write("labels.tif", IDS))
    np.testing.assert_array_equal(found, IDS[:, 2:])


def test_what_does_not_belong_to_the_raster_is_refused(
    write: Write, raster: RasterSource, kernel: Kernel
) -> None:
    with pytest.raises(DataError, match=r"small\.tif has 3 x 3 px.*image\.tif has 4 x 3 px"):
        read(raster, kernel, uris=write("small.tif", IDS[:, :3]))
    with pytest.raises(DataError, match=r"is in EPSG:32634, the raster .* is in EPSG:32633"):
        read(raster, kernel, uris=write("other.tif", IDS, "EPSG:32634"))
    moved = UTM @ Affine.translation(0, 7)
    with pytest.raises(DataError, match=r"moved\.tif lies 7\.0 px away"):
        read(raster, kernel, uris=write("moved.tif", IDS, transform=moved))
    with pytest.raises(NotFoundError, match=r"nowhere\.tif"):
        read(raster, kernel, uris="nowhere.tif")


def test_values_and_colors_that_are_no_class_are_named_and_counted(
    write: Write, raster: RasterSource, kernel: Kernel
) -> None:
    with pytest.raises(DataError, match=r"values that are no class: 7 \(6 px\).*0 roof") as caught:
        read(raster, kernel, uris=write("l.tif", np.where(IDS == 2, 7, IDS)))
    assert "class_mapping" in str(caught.value.hint)
    odd = colors(IDS)
    odd[2, 0, 0] = 1
    with pytest.raises(DataError, match=r"colors that are no class: #ff0001 \(1 px\).*#ff0000"):
        read(raster, kernel, uris=write("c.tif", odd))


def test_a_config_that_cannot_be_meant_is_refused(
    write: Write, raster: RasterSource, kernel: Kernel
) -> None:
    with pytest.raises(ConfigError, match="'red'"):
        RasterLabelConfig(uris="a.tif", class_mapping={"red": "roof"})
    with pytest.raises(ConfigError, match="both values and colors"):
        RasterLabelConfig(uris="a.tif", class_mapping={"1": "roof", "#ff0000": "road"})
    with pytest.raises(ConfigError, match="holds colors, and class_mapping has values"):
        read(raster, kernel, uris=write("c.tif", colors(IDS)), class_mapping={1: "roof"})
    with pytest.raises(ConfigError, match="unknown class 'hut'"):
        read(raster, kernel, uris=write("l.tif", IDS), class_mapping={1: "hut"})
    uri = write("c.tif", colors(IDS))
    with pytest.raises(ConfigError, match="the class 'roof' has none"):
        LabelRaster.open(RasterLabelConfig(uris=uri), raster, ClassMap.of("roof"), kernel)
