"""What may be done to the pixels of a raster before a model sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, get_args

import attrs
from attrs.validators import optional
from rv_core.validators import choice, number

from rv_core import ConfigError

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")

Numbers = tuple[float, ...]
"""One for each band, or a single one for all bands."""


def _as_numbers(value: float | Iterable[float] | None) -> Numbers | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int | float) else tuple(value)


def _as_rows(value: Iterable[Iterable[float]]) -> tuple[Numbers, ...]:
    return tuple(tuple(row) for row in value)


def _as_mapping(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {_as_whole(key): target for key, target in value.items()}


def _as_whole(key: Any) -> Any:
    """A key as a number: JSON spells keys as text."""
    if not isinstance(key, str):
        return key
    try:
        return int(key)
    except ValueError:
        return key


def _numbers(instance: Any, field: attrs.Attribute[Any], value: Numbers) -> None:
    if not value:
        raise ConfigError(f"{type(instance).__name__}.{field.name} needs at least one number")
    for item in value:
        number()(instance, field, item)


@attrs.frozen(kw_only=True)
class StatsTransformerConfig:
    """Turns rasters of any dtype into uint8, by the statistics that ANALYZE collected.

    ``stretch``: which values become 0 and 255 in each band: the low and high ``"percentiles"`` of
    the statistics, or the mean minus and plus ``num_stds`` standard deviations (``"stds"``).
    Values outside are clipped; pixels without data become 0.
    """

    type: ClassVar[str] = "stats_uint8"
    needs_stats: ClassVar[bool] = True
    """Whether ANALYZE has to have run."""

    stretch: Literal["percentiles", "stds"] = attrs.field(
        default="percentiles", validator=choice(("percentiles", "stds"))
    )
    num_stds: float = attrs.field(default=3.0, validator=number(minimum=0.01))


@attrs.frozen(kw_only=True)
class MinMaxTransformerConfig:
    """Turns rasters of any dtype into uint8: ``min`` becomes 0, ``max`` 255, values outside are
    clipped, and pixels without data become 0. Each is one number for all bands or one for each;
    ``None``: the extremes that ANALYZE found."""

    type: ClassVar[str] = "min_max"

    min: Numbers | None = attrs.field(
        default=None,
        converter=_as_numbers,
        validator=optional(_numbers),
    )
    max: Numbers | None = attrs.field(
        default=None, converter=_as_numbers, validator=optional(_numbers)
    )

    def __attrs_post_init__(self) -> None:
        if self.min is None or self.max is None:
            return
        if len(self.min) != len(self.max) and 1 not in (len(self.min), len(self.max)):
            raise ConfigError(
                f"MinMaxTransformerConfig.min is for {len(self.min)} bands, max for {len(self.max)}"
            )
        count = max(len(self.min), len(self.max))
        lows, highs = self.min * (count // len(self.min)), self.max * (count // len(self.max))
        for low, high in zip(lows, highs, strict=True):
            if low >= high:
                raise ConfigError(
                    f"MinMaxTransformerConfig.max must be more than min, got {low:g} and {high:g}"
                )

    @property
    def needs_stats(self) -> bool:
        """Whether ANALYZE has to have run."""
        return self.min is None or self.max is None


@attrs.frozen(kw_only=True)
class LinearTransformerConfig:
    """Band math: each band of the result is a sum of the bands there are, each times a weight, and
    a constant.

    ``weights``: a row for each band of the result, in it a weight for each band there is.
    ``bias``: the constants, one for each band of the result or one for all; 0 if not given.
    ``dtype``: of the result. Whole numbers are rounded, and clipped to what it holds; pixels
    without data become 0.
    """

    type: ClassVar[str] = "linear"
    needs_stats: ClassVar[bool] = False

    weights: tuple[Numbers, ...] = attrs.field(converter=_as_rows)
    bias: Numbers = attrs.field(default=(0.0,), converter=_as_numbers, validator=_numbers)
    dtype: str = attrs.field(default="float32", validator=choice(DTYPES))

    @weights.validator
    def _check_weights(self, field: attrs.Attribute[Any], value: tuple[Numbers, ...]) -> None:
        if not value:
            raise ConfigError("LinearTransformerConfig.weights needs a row of weights")
        for row in value:
            _numbers(self, field, row)
        if len({len(row) for row in value}) != 1:
            raise ConfigError(
                "LinearTransformerConfig.weights must have rows of one length, got "
                f"{', '.join(str(len(row)) for row in value)}",
                hint="a row for each band of the result, in it a weight for each band there is",
            )

    def __attrs_post_init__(self) -> None:
        if len(self.bias) not in (1, len(self.weights)):
            raise ConfigError(
                f"LinearTransformerConfig.bias has {len(self.bias)} numbers, weights has "
                f"{len(self.weights)} rows"
            )


@attrs.frozen(kw_only=True)
class CastTransformerConfig:
    """Turns pixels into another dtype, clipping to what it can hold.

    ``dtype``: a numpy dtype name of an integer or floating-point type.
    """

    type: ClassVar[str] = "cast"
    needs_stats: ClassVar[bool] = False

    dtype: str = attrs.field(validator=choice(DTYPES))


@attrs.frozen(kw_only=True)
class ReclassTransformerConfig:
    """Replaces values, in every band. ``mapping``: value -> what it becomes, both whole numbers
    that the dtype holds; other values stay, or become ``default``."""

    type: ClassVar[str] = "reclass"
    needs_stats: ClassVar[bool] = False

    mapping: Mapping[int, int] = attrs.field(converter=_as_mapping)
    default: int | None = attrs.field(default=None)

    @mapping.validator
    def _check_mapping(self, _: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, Mapping) or not value:
            raise ConfigError(
                f"ReclassTransformerConfig.mapping must map values to values, got {value!r}",
                hint="such as {1: 0, 2: 5}",
            )
        for item in (*value.keys(), *value.values()):
            self._check_whole("mapping", item)

    @default.validator
    def _check_default(self, _: attrs.Attribute[Any], value: int | None) -> None:
        if value is not None:
            self._check_whole("default", value)

    @staticmethod
    def _check_whole(name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(
                f"ReclassTransformerConfig.{name} must hold whole numbers, got {value!r}"
            )


@attrs.frozen(kw_only=True)
class NodataFillTransformerConfig:
    """Gives pixels without data another value than 0; they stay without data. ``value``: one number
    for all bands or one for each."""

    type: ClassVar[str] = "nodata_fill"
    needs_stats: ClassVar[bool] = False

    value: Numbers = attrs.field(converter=_as_numbers, validator=_numbers)


TransformerConfig = (
    StatsTransformerConfig
    | MinMaxTransformerConfig
    | LinearTransformerConfig
    | CastTransformerConfig
    | ReclassTransformerConfig
    | NodataFillTransformerConfig
)
"""What may stand in `RasterConfig.transformers`; told apart by their ``type`` key."""

TRANSFORMERS: Final = {cls.type: cls for cls in get_args(TransformerConfig)}
"""The classes by their ``type`` key."""


def as_transformers(value: Iterable[Any] | Any) -> tuple[TransformerConfig, ...]:
    """Configs, or the types alone of those that need nothing said, as configs; one of them or
    several. Raises `ConfigError`."""
    several = [value] if isinstance(value, str | TransformerConfig) else value
    return tuple(_as_transformer(item) for item in several)


def _as_transformer(value: Any) -> TransformerConfig:
    if isinstance(value, TransformerConfig):
        return value
    cls = transformer_class(value)
    missing = [f.name for f in attrs.fields(cls) if f.default is attrs.NOTHING]
    if missing:
        raise ConfigError(
            f"the transformer {value!r} needs {' and '.join(missing)}",
            hint=f"use {cls.__name__}({missing[0]}=...)",
        )
    made: TransformerConfig = cls()
    return made


def transformer_class(name: Any) -> Any:
    """The config class of this ``type``; raises `ConfigError`."""
    if isinstance(name, str) and name in TRANSFORMERS:
        return TRANSFORMERS[name]
    close = get_close_matches(str(name), TRANSFORMERS, n=1)
    raise ConfigError(
        f"there is no transformer of type {name!r}",
        hint=f"did you mean {close[0]!r}?" if close else f"the types are {', '.join(TRANSFORMERS)}",
    )
