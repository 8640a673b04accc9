"""What may be said of a raster. Plain data that spells JSON or YAML; where a tuple of URIs is
asked for, a single string is taken too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import attrs
from rv_core.validators import choice, number

from rv_core import ConfigError
from rv_pipeline._uris import Uris, as_uris, at_least


@attrs.frozen(kw_only=True)
class StatsTransformerConfig:
    """Turns rasters of any dtype into uint8, by the statistics that ANALYZE collected.

    ``stretch``: which values become 0 and 255 in each band: the low and high ``"percentiles"`` of
    the statistics, or the mean minus and plus ``num_stds`` standard deviations (``"stds"``).
    Values outside are clipped; pixels without data become 0.
    """

    type: ClassVar[str] = "stats_uint8"

    stretch: Literal["percentiles", "stds"] = attrs.field(
        default="percentiles", validator=choice(("percentiles", "stds"))
    )
    num_stds: float = attrs.field(default=3.0, validator=number(minimum=0.01))


@attrs.frozen(kw_only=True)
class CastTransformerConfig:
    """Turns pixels into another dtype, clipping to what it can hold.

    ``dtype``: a numpy dtype name of an integer or floating-point type.
    """

    type: ClassVar[str] = "cast"

    dtype: str = attrs.field(
        validator=choice(("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"))
    )


TransformerConfig = StatsTransformerConfig | CastTransformerConfig
"""What may stand in `RasterConfig.transformers`; told apart by their ``type`` key."""


def _as_channels(value: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value)


@attrs.frozen(kw_only=True)
class RasterConfig:
    """One raster: a file, or several that make a mosaic.

    ``uris``: files of the same CRS, resolution, dtype and number of bands; where they overlap, the
    first that has data wins.
    ``channel_order``: bands to read, counted from 0, in the order the model sees them; ``None``
    means all but alpha bands.
    ``transformers``: applied to the pixels of each window, in this order.
    ``nodata``: the value of pixels without data, where the files do not say it or are wrong.
    """

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    channel_order: tuple[int, ...] | None = attrs.field(default=None, converter=_as_channels)
    transformers: tuple[TransformerConfig, ...] = attrs.field(default=(), converter=tuple)
    nodata: float | None = attrs.field(default=None)

    @channel_order.validator
    def _check_channels(self, _: attrs.Attribute[Any], value: tuple[int, ...] | None) -> None:
        if value is None:
            return
        sane = all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in value)
        if not value or not sane:
            raise ConfigError(
                f"RasterConfig.channel_order must be band numbers from 0 on, got {value!r}"
            )

    @nodata.validator
    def _check_nodata(self, _: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"RasterConfig.nodata must be a number, got {value!r}")

    @classmethod
    def of(cls, value: RasterConfig | str | os.PathLike[str]) -> RasterConfig:
        """The config itself, or the config of the file at this URI."""
        return value if isinstance(value, RasterConfig) else cls(uris=value)
