"""Changing the pixels of a window: one function for each transformer config."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rv_core import ConfigError, DataError
from rv_pipeline.rasters.config import (
    CastTransformerConfig,
    StatsTransformerConfig,
    TransformerConfig,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.statistics import RasterStats

Transformer = Callable[["NDArray[Any]", "NDArray[np.bool_] | None"], "NDArray[Any]"]
"""(pixels [H, W, C], nodata mask [H, W] or None) -> pixels [H, W, C], perhaps of another dtype."""

_EXACT_IN_FLOAT32: Final = (np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float16)


def make_transformer(
    config: TransformerConfig, stats: RasterStats | None, bands: int
) -> Transformer:
    """The transformer of a config, for pixels of this many bands.

    Raises `ConfigError` where it needs statistics and there are none, `DataError` where they are
    of another number of bands.
    """
    if isinstance(config, CastTransformerConfig):
        return _cast(np.dtype(config.dtype))
    return _stretch(config, stats, bands)


def _cast(dtype: np.dtype[Any]) -> Transformer:
    def transform(pixels: NDArray[Any], _: NDArray[np.bool_] | None) -> NDArray[Any]:
        if pixels.dtype == dtype:
            return pixels
        if dtype.kind == "f":
            return pixels.astype(dtype)
        if pixels.dtype.kind == "f":
            pixels = np.rint(pixels)
        span = np.iinfo(dtype)
        # The limits are compared in a dtype that holds both, or -1 would become 255.
        wide = np.result_type(pixels.dtype, np.int64 if pixels.dtype.kind != "f" else np.float64)
        cast: NDArray[Any] = np.clip(pixels.astype(wide), span.min, span.max).astype(dtype)
        return cast

    return transform


def _stretch(config: StatsTransformerConfig, stats: RasterStats | None, bands: int) -> Transformer:
    if stats is None:
        raise ConfigError(
            f"the raster transformer {config.type!r} needs statistics, and there are none",
            hint="run ANALYZE first",
        )
    if len(stats.bands) != bands:
        raise DataError(
            f"the statistics are of {len(stats.bands)} bands, the raster has {bands}",
            hint="scenes of one experiment have the same bands; see channel_order",
        )
    if config.stretch == "percentiles":
        low = np.array([band.low for band in stats.bands], np.float64)
        high = np.array([band.high for band in stats.bands], np.float64)
    else:
        mean = np.array([band.mean for band in stats.bands], np.float64)
        reach = config.num_stds * np.array([band.std for band in stats.bands], np.float64)
        low, high = mean - reach, mean + reach
    span = high - low
    scale = np.divide(255.0, span, out=np.zeros_like(span), where=span > 0)  # a constant band: 0

    def transform(pixels: NDArray[Any], nodata: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        work = np.float32 if pixels.dtype.type in _EXACT_IN_FLOAT32 else np.float64
        scaled: NDArray[Any] = pixels.astype(work)
        np.subtract(scaled, low.astype(work), out=scaled)
        np.multiply(scaled, scale.astype(work), out=scaled)
        np.clip(scaled, 0, 255, out=scaled)
        np.rint(scaled, out=scaled)
        result = scaled.astype(np.uint8)
        if nodata is not None:
            result[nodata] = 0
        return result

    return transform
