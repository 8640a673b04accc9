"""Changing the pixels of a window: one function for each transformer config."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rv_core import ConfigError, DataError
from rv_pipeline.rasters.transformer_configs import (
    CastTransformerConfig,
    LinearTransformerConfig,
    MinMaxTransformerConfig,
    NodataFillTransformerConfig,
    ReclassTransformerConfig,
    StatsTransformerConfig,
    TransformerConfig,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.statistics import RasterStats

Transformer = Callable[["NDArray[Any]", "NDArray[np.bool_] | None"], "NDArray[Any]"]
"""(pixels [H, W, C], nodata mask [H, W] or None) -> pixels [H, W, C], perhaps of another dtype
or number of bands."""

_EXACT_IN_FLOAT32: Final = (np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float16)


def make_transformer(
    config: TransformerConfig,
    stats: RasterStats | None,
    bands: int,
    dtype: np.dtype[Any] | None = None,
) -> Transformer:
    """The transformer of a config, for pixels of this many bands and this dtype.

    Raises `ConfigError` where it needs statistics and there are none, or does not fit the bands or
    the dtype; `DataError` where the statistics are of another number of bands.
    """
    if isinstance(config, CastTransformerConfig):
        return _cast(np.dtype(config.dtype))
    if isinstance(config, LinearTransformerConfig):
        return _linear(config, bands)
    if isinstance(config, ReclassTransformerConfig):
        return _reclass(config, dtype)
    if isinstance(config, NodataFillTransformerConfig):
        return _fill(config, bands, dtype)
    if isinstance(config, MinMaxTransformerConfig):
        return _min_max(config, stats, bands)
    return _stretch(config, stats, bands)


def result_of(
    config: TransformerConfig, dtype: np.dtype[Any], bands: int
) -> tuple[np.dtype[Any], int]:
    """The dtype and the number of bands that a transformer makes of these."""
    if isinstance(config, StatsTransformerConfig | MinMaxTransformerConfig):
        return np.dtype(np.uint8), bands
    if isinstance(config, CastTransformerConfig):
        return np.dtype(config.dtype), bands
    if isinstance(config, LinearTransformerConfig):
        return np.dtype(config.dtype), len(config.weights)
    return dtype, bands


def _cast(dtype: np.dtype[Any]) -> Transformer:
    def transform(pixels: NDArray[Any], _: NDArray[np.bool_] | None) -> NDArray[Any]:
        return _as_dtype(pixels, dtype)

    return transform


def _as_dtype(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rounded and clipped where the dtype is one of whole numbers."""
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


def _linear(config: LinearTransformerConfig, bands: int) -> Transformer:
    weights = np.array(config.weights, np.float64).T
    if len(weights) != bands:
        raise ConfigError(
            f"the raster transformer {config.type!r} has weights for {len(weights)} bands, the "
            f"raster has {bands}",
            hint="each row of weights has one for each band; see channel_order",
        )
    bias = np.array(config.bias, np.float64)
    dtype = np.dtype(config.dtype)

    def transform(pixels: NDArray[Any], nodata: NDArray[np.bool_] | None) -> NDArray[Any]:
        work = np.float32 if pixels.dtype.type in _EXACT_IN_FLOAT32 else np.float64
        result = _as_dtype(pixels.astype(work) @ weights.astype(work) + bias.astype(work), dtype)
        if nodata is not None:
            result[nodata] = 0
        return result

    return transform


def _reclass(config: ReclassTransformerConfig, dtype: np.dtype[Any] | None) -> Transformer:
    keys = np.array(sorted(config.mapping))
    targets = np.array([config.mapping[key] for key in keys.tolist()])
    if dtype is not None:
        others = [] if config.default is None else [config.default]
        for value in (*targets.tolist(), *others):
            _check_held(config.type, value, dtype)

    def transform(pixels: NDArray[Any], nodata: NDArray[np.bool_] | None) -> NDArray[Any]:
        place = np.searchsorted(keys, pixels)
        place[place == len(keys)] = 0
        found = keys[place] == pixels
        if nodata is not None:
            found &= ~nodata[:, :, np.newaxis]
        result = pixels.copy()
        if config.default is not None:
            result[:] = config.default
            if nodata is not None:
                result[nodata] = 0
        np.copyto(result, targets[place], where=found, casting="unsafe")
        return result

    return transform


def _fill(
    config: NodataFillTransformerConfig, bands: int, dtype: np.dtype[Any] | None
) -> Transformer:
    values = _for_bands(config.value, bands, config.type)
    if dtype is not None:
        for value in values.tolist():
            _check_held(config.type, value, dtype)

    def transform(pixels: NDArray[Any], nodata: NDArray[np.bool_] | None) -> NDArray[Any]:
        if nodata is None:
            return pixels
        result = pixels.copy()
        result[nodata] = values.astype(pixels.dtype)
        return result

    return transform


def _min_max(config: MinMaxTransformerConfig, stats: RasterStats | None, bands: int) -> Transformer:
    if config.needs_stats:
        stats = _checked(stats, config.type, bands)
    ends: list[NDArray[np.float64]] = []
    for name, given in (("min", config.min), ("max", config.max)):
        if given is not None:
            ends.append(_for_bands(given, bands, config.type))
        else:
            assert stats is not None
            ends.append(np.array([getattr(band, name) for band in stats.bands], np.float64))
    return _scale(*ends)


def _stretch(config: StatsTransformerConfig, stats: RasterStats | None, bands: int) -> Transformer:
    stats = _checked(stats, config.type, bands)
    if config.stretch == "percentiles":
        low = np.array([band.low for band in stats.bands], np.float64)
        high = np.array([band.high for band in stats.bands], np.float64)
    else:
        mean = np.array([band.mean for band in stats.bands], np.float64)
        reach = config.num_stds * np.array([band.std for band in stats.bands], np.float64)
        low, high = mean - reach, mean + reach
    return _scale(low, high)


def _scale(low: NDArray[np.float64], high: NDArray[np.float64]) -> Transformer:
    """Each band so that low becomes 0 and high 255."""
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


def _checked(stats: RasterStats | None, name: str, bands: int) -> RasterStats:
    if stats is None:
        raise ConfigError(
            f"the raster transformer {name!r} needs statistics, and there are none",
            hint="run ANALYZE first",
        )
    if len(stats.bands) != bands:
        raise DataError(
            f"the statistics are of {len(stats.bands)} bands, the raster has {bands}",
            hint="scenes of one experiment have the same bands; see channel_order",
        )
    return stats


def _for_bands(values: tuple[float, ...], bands: int, name: str) -> NDArray[np.float64]:
    if len(values) not in (1, bands):
        raise ConfigError(
            f"the raster transformer {name!r} has numbers for {len(values)} bands, the raster has "
            f"{bands}",
            hint="give one for all bands or one for each; see channel_order",
        )
    return np.broadcast_to(np.array(values, np.float64), (bands,)).copy()


def _check_held(name: str, value: float, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "f":
        return
    span = np.iinfo(str(dtype))
    if not (float(value).is_integer() and span.min <= value <= span.max):
        raise ConfigError(
            f"the raster transformer {name!r} makes {value:g}, which pixels of dtype {dtype} "
            "cannot hold",
            hint="put a 'cast' to a wider dtype before it",
        )
