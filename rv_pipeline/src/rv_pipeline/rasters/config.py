"""What may be said of a raster. Plain data that spells JSON or YAML; where a tuple of URIs is
asked for, a single string is taken too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

import attrs
from attrs.validators import instance_of, optional
from rv_core.validators import choice, number

from rv_core import ConfigError
from rv_pipeline._uris import Uris, as_uris, at_least
from rv_pipeline.fingerprint import HOW
from rv_pipeline.rasters.transformer_configs import (
    CastTransformerConfig,
    LinearTransformerConfig,
    MinMaxTransformerConfig,
    NodataFillTransformerConfig,
    ReclassTransformerConfig,
    StatsTransformerConfig,
    TransformerConfig,
    as_transformers,
)

__all__ = [
    "CastTransformerConfig",
    "ExtentCrop",
    "LinearTransformerConfig",
    "MinMaxTransformerConfig",
    "NodataFillTransformerConfig",
    "RasterConfig",
    "ReclassTransformerConfig",
    "StatsTransformerConfig",
    "TransformerConfig",
]

Resampling = Literal["nearest", "bilinear", "cubic", "lanczos", "average", "mode"]
RESAMPLINGS: tuple[Resampling, ...] = (
    "nearest",
    "bilinear",
    "cubic",
    "lanczos",
    "average",
    "mode",
)


def _as_channels(value: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value)


def _as_shift(value: Iterable[float] | None) -> tuple[float, float] | None:
    return None if value is None else tuple(value)  # type: ignore[return-value]  # see validator


@attrs.frozen(kw_only=True)
class ExtentCrop:
    """What is cut off a raster at each side, as fractions of its height and width (``0.1``: a
    tenth). The cuts are made at whole pixels, the nearest ones."""

    top: float = attrs.field(default=0.0, validator=number(minimum=0, maximum=1))
    left: float = attrs.field(default=0.0, validator=number(minimum=0, maximum=1))
    bottom: float = attrs.field(default=0.0, validator=number(minimum=0, maximum=1))
    right: float = attrs.field(default=0.0, validator=number(minimum=0, maximum=1))

    def __attrs_post_init__(self) -> None:
        for one, other in (("top", "bottom"), ("left", "right")):
            cut = getattr(self, one) + getattr(self, other)
            if cut >= 1:
                raise ConfigError(
                    f"ExtentCrop.{one} and {other} cut off everything: together they are {cut:g}",
                    hint="they are fractions, such as 0.1 for a tenth",
                )


@attrs.frozen(kw_only=True)
class RasterConfig:
    """One raster: a file, or several that make a mosaic.

    ``uris``: files of the same CRS, resolution, dtype and number of bands; where they overlap, the
    first that has data wins.
    ``channel_order``: bands to read, counted from 0, in the order the model sees them; ``None``
    means all but alpha bands.
    ``transformers``: applied to the pixels of each window, in this order; their ``type`` alone
    (``"stats_uint8"``) stands for one with its defaults.
    ``nodata``: the value of pixels without data, where the files do not say it or are wrong.
    ``extent_crop``: what is left out at the sides.
    ``shift``: by how many metres (x, y) the raster is moved under its labels, to correct its
    georeference: along the axes of a projected CRS, to the east and north in degrees. What is
    predicted lies where the raster was moved to.
    ``resolution``: the size of a pixel that the raster is resampled to, in ``resolution_units``:
    ``"m"``, metres (on the ground at the raster's centre, where the CRS is in degrees), or
    ``"crs"``, the units of the CRS (of the file's own pixels, where it has none). The raster's
    upper left corner stays; its size is the nearest in whole pixels.
    ``resampling``: how, as GDAL's warper does it: ``nearest`` and ``mode`` for classes; the others
    look at all pixels that a larger one covers. Files of a mosaic are resampled one by one.
    ``access``: how a remote file is read: ``"in_place"`` (by the windows asked for), ``"copy"``
    (from the cache) or ``"auto"``, which copies what is small, what cannot be read by window, and
    what was read for the most part.
    """

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    channel_order: tuple[int, ...] | None = attrs.field(default=None, converter=_as_channels)
    transformers: tuple[TransformerConfig, ...] = attrs.field(default=(), converter=as_transformers)
    nodata: float | None = attrs.field(default=None)
    extent_crop: ExtentCrop | None = attrs.field(
        default=None, validator=optional(instance_of(ExtentCrop))
    )
    shift: tuple[float, float] | None = attrs.field(default=None, converter=_as_shift)
    resolution: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    resolution_units: Literal["m", "crs"] = attrs.field(default="m", validator=choice(("m", "crs")))
    resampling: Resampling = attrs.field(default="bilinear", validator=choice(RESAMPLINGS))
    access: Literal["auto", "in_place", "copy"] = attrs.field(
        default="auto", validator=choice(("auto", "in_place", "copy")), metadata={HOW: True}
    )

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

    @shift.validator
    def _check_shift(self, field: attrs.Attribute[Any], value: tuple[float, ...] | None) -> None:
        if value is None:
            return
        if len(value) != 2:
            raise ConfigError(f"RasterConfig.shift must be x and y in metres, got {value!r}")
        for metres in value:
            number()(self, field, metres)

    @transformers.validator
    def _check_order(self, _: attrs.Attribute[Any], value: tuple[TransformerConfig, ...]) -> None:
        for config in value[1:]:
            if config.needs_stats:
                raise ConfigError(
                    f"RasterConfig.transformers has {config.type!r} behind another one",
                    hint="statistics are those of the pixels as they are read: put it first",
                )

    def __attrs_post_init__(self) -> None:
        if self.resolution == 0:
            raise ConfigError("RasterConfig.resolution must be more than 0")

    @classmethod
    def of(cls, value: RasterConfig | str | os.PathLike[str]) -> RasterConfig:
        """The config itself, or the config of the file at this URI."""
        return value if isinstance(value, RasterConfig) else cls(uris=value)
