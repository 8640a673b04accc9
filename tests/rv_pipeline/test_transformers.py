"""Pixels are transformed before a model sees them, as the config says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rv_pipeline._structure import StructureError, structure
from rv_pipeline.fingerprint import plain
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import (
    CastTransformerConfig,
    ExtentCrop,
    LinearTransformerConfig,
    MinMaxTransformerConfig,
    NodataFillTransformerConfig,
    RasterConfig,
    ReclassTransformerConfig,
    StatsTransformerConfig,
)
from rv_pipeline.statistics import BandStats, RasterStats

from rv_core import ConfigError, Kernel

Transform = Callable[..., tuple[NDArray[Any], NDArray[np.bool_] | None]]

PIXELS = np.array([[[10, 1], [20, 2]], [[30, 3], [0, 0]]], "uint16")  # the last one has no data


@pytest.fixture
def transform(tmp_path: Path, kernel: Kernel) -> Transform:
    """What a raster of these pixels, 0 being nodata, reads like after the transformers."""

    def make(
        *transformers: Any, pixels: NDArray[Any] = PIXELS, stats: RasterStats | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        path = tmp_path / "a.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=pixels.shape[0], width=pixels.shape[1],
            count=pixels.shape[2], dtype=pixels.dtype.name, nodata=0, crs="EPSG:32633",
            transform=from_origin(5e5, 5e6, 1, 1),
        ) as sink:  # fmt: skip
            sink.write(pixels.transpose(2, 0, 1))
        config = RasterConfig(uris=path, transformers=transformers)
        with RasterSource.open(config, kernel, stats) as raster:
            found, nodata = raster.read(raster.extent)
            assert (found.dtype, found.shape[2]) == (raster.dtype, raster.bands)
            return found, nodata

    return make


def test_min_and_max_become_0_and_255(transform: Transform) -> None:
    found, nodata = transform(MinMaxTransformerConfig(min=0, max=[20, 4]))
    assert found.dtype == np.uint8
    assert found.tolist() == [[[128, 64], [255, 128]], [[255, 191], [0, 0]]]
    found, _ = transform(MinMaxTransformerConfig(min=[0, 1], max=[40, 3]))
    assert found.tolist() == [[[64, 0], [128, 128]], [[191, 255], [0, 0]]]
    assert nodata is not None
    assert nodata.tolist() == [[False, False], [False, True]]


def test_min_and_max_are_those_that_analyze_found_where_none_are_given(
    transform: Transform,
) -> None:
    bands = tuple(
        BandStats(count=1, mean=0, std=0, min=low, max=high, low=0, high=1)
        for low, high in ((10, 30), (1, 3))
    )
    found, _ = transform(MinMaxTransformerConfig(), stats=RasterStats(bands=bands))
    assert found.tolist() == [[[0, 0], [128, 128]], [[255, 255], [0, 0]]]
    with pytest.raises(ConfigError, match="'min_max' needs statistics"):
        transform(MinMaxTransformerConfig(max=4))


def test_bands_are_added_up_by_weights(transform: Transform) -> None:
    config = LinearTransformerConfig(weights=[[1, 0], [0.5, 10], [0, -1]], bias=[0.5, 0, 2])
    found, nodata = transform(config)
    assert found.dtype == np.float32
    assert found.tolist() == [[[10.5, 15, 1], [20.5, 30, 0]], [[30.5, 45, -1], [0, 0, 0]]]
    assert nodata is not None
    whole, _ = transform(attrs_evolve(config, dtype="uint8", bias=0))
    assert whole[1, 0].tolist() == [30, 45, 0]
    with pytest.raises(ConfigError, match="'linear' has weights for 3 bands, the raster has 2"):
        transform(LinearTransformerConfig(weights=[[1, 1, 1]]))


def attrs_evolve(config: Any, **changes: Any) -> Any:
    import attrs

    return attrs.evolve(config, **changes)


def test_values_are_replaced(transform: Transform) -> None:
    found, _ = transform(ReclassTransformerConfig(mapping={10: 20, 20: 10, 3: 65535}))
    assert found.dtype == np.uint16
    assert found.tolist() == [[[20, 1], [10, 2]], [[30, 65535], [0, 0]]]
    found, _ = transform(ReclassTransformerConfig(mapping={"10": 1, 0: 9}, default=7))
    assert found.tolist() == [[[1, 7], [7, 7]], [[7, 7], [0, 0]]]
    with pytest.raises(ConfigError, match=r"'reclass' makes -1, which pixels of dtype uint16"):
        transform(ReclassTransformerConfig(mapping={1: -1}))


def test_pixels_without_data_are_filled(transform: Transform) -> None:
    found, nodata = transform(NodataFillTransformerConfig(value=[5, 6]))
    assert found[1, 1].tolist() == [5, 6]
    assert found[0].tolist() == PIXELS[0].tolist()
    assert nodata is not None
    assert nodata[1, 1]
    with pytest.raises(ConfigError, match=r"'nodata_fill' makes 0\.5, which pixels of dtype"):
        transform(NodataFillTransformerConfig(value=0.5))
    with pytest.raises(ConfigError, match="numbers for 3 bands, the raster has 2"):
        transform(NodataFillTransformerConfig(value=[1, 2, 3]))


def test_transformers_go_one_after_the_other(transform: Transform) -> None:
    found, _ = transform(
        LinearTransformerConfig(weights=[[1, 100]]),
        MinMaxTransformerConfig(min=110, max=330),
        ReclassTransformerConfig(mapping={128: 1}, default=0),
        NodataFillTransformerConfig(value=9),
        CastTransformerConfig(dtype="float32"),
    )
    assert found.dtype == np.float32
    assert found[..., 0].tolist() == [[0, 1], [0, 9]]


def test_statistics_are_of_the_pixels_as_they_are_read() -> None:
    with pytest.raises(ConfigError, match="'stats_uint8' behind another one") as error:
        RasterConfig(
            uris="a.tif",
            transformers=(CastTransformerConfig(dtype="float32"), StatsTransformerConfig()),
        )
    assert "put it first" in str(error.value.hint)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinMaxTransformerConfig(min=3, max=3), "max must be more than min, got 3 and 3"),
        (lambda: MinMaxTransformerConfig(min=[1, 2], max=[3, 4, 5]), "min is for 2 bands, max for"),
        (lambda: MinMaxTransformerConfig(min="low", max=3), "min must be a number"),
        (lambda: LinearTransformerConfig(weights=[[1, 2], [1]]), "rows of one length, got 2, 1"),
        (lambda: LinearTransformerConfig(weights=[]), "needs a row of weights"),
        (lambda: LinearTransformerConfig(weights=[[1]], bias=[1, 2]), "bias has 2 numbers"),
        (lambda: ReclassTransformerConfig(mapping={}), "must map values to values"),
        (lambda: ReclassTransformerConfig(mapping={1.5: 2}), "whole numbers, got 1.5"),
        (lambda: NodataFillTransformerConfig(value=[]), "needs at least one number"),
        (lambda: RasterConfig(uris="a", shift=(1, 2, 3)), "shift must be x and y in metres"),
        (lambda: RasterConfig(uris="a", resolution=0), "resolution must be more than 0"),
        (
            lambda: RasterConfig(uris="a", resampling="smooth"),
            "resampling must be one of 'nearest'",
        ),
        (lambda: RasterConfig(uris="a", access="stream"), "access must be one of 'auto'"),
    ],
)
def test_configs_that_make_no_sense_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make()
    assert message in error.value.message


def test_rasters_are_spelled_in_yaml() -> None:
    import yaml

    text = """
    uris: a.tif
    extent_crop: {top: 0.1}
    shift: [1.5, -2]
    resolution: 0.3
    resampling: cubic
    access: in_place
    transformers:
      - {type: linear, weights: [[1, 0.5], [0, 2]], bias: 1, dtype: uint16}
      - {type: min_max, min: 0, max: [100, 200]}
      - {type: reclass, mapping: {1: 2}, default: 0}
      - {type: nodata_fill, value: 7}
      - {type: cast, dtype: float32}
    """
    assert structure(yaml.safe_load(text), RasterConfig) == RasterConfig(
        uris="a.tif",
        extent_crop=ExtentCrop(top=0.1),
        shift=(1.5, -2),
        resolution=0.3,
        resampling="cubic",
        access="in_place",
        transformers=(
            LinearTransformerConfig(weights=[[1, 0.5], [0, 2]], bias=1, dtype="uint16"),
            MinMaxTransformerConfig(min=0, max=[100, 200]),
            ReclassTransformerConfig(mapping={1: 2}, default=0),
            NodataFillTransformerConfig(value=7),
            CastTransformerConfig(dtype="float32"),
        ),
    )
    with pytest.raises(StructureError) as error:
        structure({"uris": "a", "transformers": [{"type": "min_maxx"}]}, RasterConfig)
    assert error.value.complaint.path == ("transformers", 0)
    assert "min_max" in str(error.value.complaint.hint)


def test_the_type_alone_stands_for_a_transformer_in_python_as_in_yaml() -> None:
    expected = RasterConfig(uris="a.tif", transformers=(StatsTransformerConfig(),))
    assert RasterConfig(uris="a.tif", transformers=["stats_uint8"]) == expected
    assert RasterConfig(uris="a.tif", transformers="stats_uint8") == expected
    assert structure({"uris": "a.tif", "transformers": ["stats_uint8"]}, RasterConfig) == expected
    with pytest.raises(ConfigError, match="no transformer of type 'stats_uint16'") as unknown:
        RasterConfig(uris="a.tif", transformers=["stats_uint16"])
    assert "stats_uint8" in str(unknown.value.hint)
    with pytest.raises(ConfigError, match="'cast' needs dtype"):
        RasterConfig(uris="a.tif", transformers=["cast"])


def test_rasters_keep_through_json() -> None:
    """As in a bundle."""
    config = RasterConfig(
        uris="a.tif",
        channel_order=(2, 0),
        nodata=0.5,
        extent_crop=ExtentCrop(right=0.25),
        shift=(1, 2.5),
        resolution=2,
        resolution_units="crs",
        transformers=(
            MinMaxTransformerConfig(max=7),
            LinearTransformerConfig(weights=[[1, 0.5]], bias=1),
            ReclassTransformerConfig(mapping={1: 2, -3: 4}, default=9),
            NodataFillTransformerConfig(value=[1]),
            CastTransformerConfig(dtype="int16"),
        ),
    )
    assert structure(json.loads(json.dumps(plain(config))), RasterConfig) == config
