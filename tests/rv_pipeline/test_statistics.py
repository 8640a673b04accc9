"""What ANALYZE finds out of rasters, and the uint8 that it makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rv_pipeline._order_statistics import Percentiles
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig, StatsTransformerConfig, TransformerConfig
from rv_pipeline.statistics import BandStats, RasterStats, compute_stats

from rv_core import ConfigError, DataError, InterruptedRunError, Kernel, Progress

Make = Callable[..., RasterSource]


@pytest.fixture
def make(tmp_path: Path, kernel: Kernel) -> Make:
    """Write pixels [H, W, C] and open them."""

    def write(
        pixels: NDArray[Any],
        *transformers: TransformerConfig,
        name: str = "a",
        nodata: float | None = None,
        stats: RasterStats | None = None,
    ) -> RasterSource:
        height, width, count = pixels.shape
        path = tmp_path / f"{name}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count,
            dtype=pixels.dtype.name, nodata=nodata, crs="EPSG:32633",
            transform=from_origin(5e5, 5e6, 1, 1), photometric="minisblack",
        ) as sink:  # fmt: skip
            sink.write(pixels.transpose(2, 0, 1))
        return RasterSource.open(RasterConfig(uris=path, transformers=transformers), kernel, stats)

    return write


def uneven(height: int = 300, width: int = 400) -> NDArray[np.uint16]:
    generator = np.random.default_rng(0)
    bands = [generator.gamma(2, scale, (height, width)) for scale in (200, 3000)]
    return np.clip(np.stack(bands, axis=-1), 1, 65535).astype(np.uint16)


def test_small_rasters_are_measured_whole(make: Make) -> None:
    pixels = uneven()
    stats = compute_stats([make(pixels)])
    for band, values in zip(stats.bands, pixels.reshape(-1, 2).T.astype(float), strict=True):
        assert band.count == values.size
        assert band.mean == pytest.approx(values.mean(), rel=1e-9)
        assert band.std == pytest.approx(values.std(), rel=1e-9)
        assert (band.min, band.max) == (values.min(), values.max())
        assert (band.low, band.high) == pytest.approx(np.percentile(values, (1, 99)), rel=0.02)


def test_several_rasters_count_by_their_pixels(make: Make) -> None:
    one, other = np.full((300, 300, 1), 10, "uint8"), np.full((300, 100, 1), 50, "uint8")
    (band,) = compute_stats([make(one, name="a"), make(other, name="b")]).bands
    assert band.mean == pytest.approx(20)
    assert (band.min, band.max, band.count) == (10, 50, 120_000)


def test_pixels_without_data_do_not_count(make: Make) -> None:
    pixels = uneven()
    pixels[:100] = 0
    (band, _) = compute_stats([make(pixels, nodata=0)]).bands
    assert band.count == 200 * 400
    assert band.mean == pytest.approx(pixels[100:, :, 0].mean())
    with pytest.raises(DataError, match="none of the pixels"):
        compute_stats([make(np.zeros((50, 50, 1), "uint8"), name="empty", nodata=0)])


def test_a_sample_is_near_and_the_same_every_time(make: Make) -> None:
    source = make(uneven(2000, 2100))
    calls: list[Progress] = []
    one = compute_stats([source], sample_windows=20, on_progress=calls.append)
    assert one == compute_stats([source], sample_windows=20)
    assert one != compute_stats([source], sample_windows=20, seed=1)
    assert one.bands[0].mean == pytest.approx(400, rel=0.02)
    assert one.bands[0].count < 2000 * 2100 / 2
    assert [c.done for c in calls] == list(range(1, 21))
    assert {c.total for c in calls} == {20}


def test_rasters_of_other_bands_are_named(make: Make) -> None:
    with pytest.raises(DataError, match=r"a\.tif has 2 bands, .*b\.tif has 1"):
        compute_stats([make(uneven()), make(uneven()[..., :1], name="b")])
    with pytest.raises(DataError, match="no rasters"):
        compute_stats([])


def test_statistics_keep_through_json(make: Make) -> None:
    stats = compute_stats([make(uneven())], percentiles=(2, 98))
    assert RasterStats.from_dict(json.loads(json.dumps(stats.to_dict()))) == stats
    with pytest.raises(DataError, match="no raster statistics"):
        RasterStats.from_dict({"bands": [{"mean": 1}]})


# --- exactly


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"],
)
def test_percentiles_are_exact_on_request(make: Make, dtype: str) -> None:
    """Of every pixel, in two rasters, more than are kept of a band otherwise."""
    generator = np.random.default_rng(3)
    signed = np.dtype(dtype).kind in "if"
    values = generator.normal(-50 if signed else 3000, 700, (1500, 1600, 2))
    if dtype == "float64":
        values *= 1e-200
    span = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else None
    pixels = (np.clip(values, span.min, span.max) if span else values).astype(dtype)
    sources = [make(pixels[:, :1000], name="a"), make(pixels[:, 1000:], name="b")]
    stats = compute_stats(sources, sample_windows=2, exact=True, percentiles=(0.37, 99.21))
    for band, flat in zip(stats.bands, pixels.reshape(-1, 2).T.astype(np.float64), strict=True):
        assert band.count == flat.size
        expected = np.percentile(flat, (0.37, 99.21)).tolist()
        assert [band.low, band.high] == pytest.approx(expected, rel=1e-12, abs=1e-300)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=50),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_percentiles_of_any_numbers(values: list[float], low: float, high: float) -> None:
    array = np.array(values, np.float32)
    search = Percentiles(array.dtype, (low, high))
    while not search.is_done:
        for part in np.array_split(array, 3):
            search.add(search.count(part))
        search.narrow()
    expected = np.percentile(array.astype(np.float64), (low, high))
    scale = float(np.abs(array).max())
    assert search.values() == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-9 * scale)


@pytest.mark.parametrize("exact", [False, True])
def test_threads_change_nothing(make: Make, exact: bool) -> None:
    pixels = uneven(900, 1000)
    pixels[:100] = 0
    sources = [make(pixels[:500], name="a", nodata=0), make(pixels[500:], name="b", nodata=0)]
    calls: list[Progress] = []
    one = compute_stats(sources, sample_windows=6, exact=exact)
    four = compute_stats(
        sources, sample_windows=6, exact=exact, workers=4, on_progress=calls.append
    )
    assert one == four
    assert [c.done for c in calls] == list(range(1, len(calls) + 1))


@pytest.mark.parametrize("workers", [1, 3])
def test_statistics_stop_when_asked_to(make: Make, workers: int) -> None:
    seen: list[Progress] = []
    with pytest.raises(InterruptedRunError, match="ANALYZE was stopped"):
        compute_stats(
            [make(uneven(900, 1000))],
            workers=workers,
            on_progress=seen.append,
            should_stop=lambda: len(seen) == 3,
        )
    assert len(seen) == 3


# --- into uint8


def stats_of(*bands: tuple[float, float, float, float]) -> RasterStats:
    """Statistics with these (mean, std, low, high)."""
    return RasterStats(
        bands=tuple(
            BandStats(count=1, mean=m, std=s, min=0, max=1e6, low=lo, high=hi)
            for m, s, lo, hi in bands
        )
    )


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_percentiles_become_0_and_255(make: Make, dtype: str) -> None:
    pixels = np.array([[50, 100, 301, 500, 900]], dtype)[..., None]
    source = make(pixels, StatsTransformerConfig(), stats=stats_of((0, 0, 100, 500)))
    found, _ = source.read(source.extent)
    assert found.dtype == source.dtype == np.uint8
    assert found.ravel().tolist() == [0, 0, 128, 255, 255]


def test_standard_deviations_can_be_used_instead(make: Make) -> None:
    pixels = np.array([[0, 700, 1001, 1300, 2000]], "uint16")[..., None]
    config = StatsTransformerConfig(stretch="stds", num_stds=3)
    source = make(pixels, config, stats=stats_of((1000, 100, 0, 1)))
    assert source.read(source.extent)[0].ravel().tolist() == [0, 0, 128, 255, 255]


def test_each_band_is_stretched_by_its_own_statistics(make: Make) -> None:
    pixels = np.array([[[10, 1000], [20, 2000]]], "uint16")
    stats = stats_of((0, 0, 10, 20), (0, 0, 1000, 3000))
    source = make(pixels, StatsTransformerConfig(), stats=stats)
    assert source.read(source.extent)[0].tolist() == [[[0, 0], [255, 128]]]


def test_pixels_without_data_and_constant_bands_become_0(make: Make) -> None:
    pixels = np.array([[7, 100, 300]], "uint16")[..., None]
    source = make(pixels, StatsTransformerConfig(), stats=stats_of((0, 0, -300, 300)), nodata=7)
    found, nodata = source.read(source.extent)
    assert found.ravel().tolist() == [0, 170, 255]
    assert nodata is not None
    constant = make(pixels, StatsTransformerConfig(), stats=stats_of((5, 0, 5, 5)), name="c")
    assert constant.read(constant.extent)[0].max() == 0


def test_without_statistics_it_is_said_what_to_run(make: Make) -> None:
    source = make(uneven(), StatsTransformerConfig())
    with pytest.raises(ConfigError, match="needs statistics") as error:
        source.read(source.extent)
    assert error.value.hint == "run ANALYZE first"
    few = make(uneven(), StatsTransformerConfig(), stats=stats_of((0, 1, 0, 1)), name="b")
    with pytest.raises(DataError, match="statistics are of 1 bands, the raster has 2"):
        few.read(few.extent)


def test_a_16_bit_scene_becomes_8_bit_with_contrast(shared_data: Path, kernel: Kernel) -> None:
    config = RasterConfig(
        uris=shared_data / "spacenet4-atlanta-pan16" / "image.tif",
        transformers=(StatsTransformerConfig(),),
    )
    stats = compute_stats([RasterSource.open(config, kernel)])
    source = RasterSource.open(config, kernel, stats)
    pixels, _ = source.read(source.extent)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 40
    assert (pixels == 0).mean() == pytest.approx(0.01, abs=0.005)
    assert (pixels == 255).mean() == pytest.approx(0.01, abs=0.005)
