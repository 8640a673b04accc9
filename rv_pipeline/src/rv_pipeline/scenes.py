"""Scenes: a raster, the labels drawn on it and the areas of interest in it.

The ``...Config`` classes are plain data that spell JSON or YAML; where a tuple of URIs is asked
for, a single string is taken too. `open_scene` turns one into a `Scene` that can be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
from attrs.validators import optional
from rv_core.validators import choice, number, text

from rv_core import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel, Window
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.statistics import RasterStats
    from rv_pipeline.vectors import Features

_FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,200}\Z")

Uris = tuple[str, ...]


def _as_uris(value: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Uris:
    """One URI or several, as a tuple of strings."""
    several = [value] if isinstance(value, str | os.PathLike) else value
    return tuple(item if isinstance(item, str) else os.fspath(item) for item in several)


def _as_mapping(value: Mapping[Any, str]) -> dict[str, str]:
    return {str(key): name for key, name in value.items()}


def _as_raster(value: RasterConfig | str | os.PathLike[str]) -> RasterConfig:
    return RasterConfig.of(value)


def _as_labels(value: LabelConfig | str | os.PathLike[str] | None) -> LabelConfig | None:
    return None if value is None else LabelConfig.of(value)


def _uris(least: int) -> Callable[[Any, attrs.Attribute[Any], Uris], None]:
    """Validator: at least this many URIs, none of them empty."""

    def check(instance: Any, field: attrs.Attribute[Any], value: Uris) -> None:
        where = f"{type(instance).__name__}.{field.name}"
        if len(value) < least:
            raise ConfigError(f"{where} needs at least {least} URI, got none")
        for uri in value:
            if not isinstance(uri, str) or not uri:
                raise ConfigError(f"{where} holds URIs, got {uri!r}")

    return check


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

    uris: Uris = attrs.field(converter=_as_uris, validator=_uris(least=1))
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


@attrs.frozen(kw_only=True)
class LabelConfig:
    """Labels drawn as vectors: GeoJSON in any CRS, or any other format that GDAL reads.

    The class of a feature is found so: the value of its property ``class_property`` is looked up in
    ``class_mapping``, and where it is not there is taken as a class name itself. A feature without
    that property (or with null) is of the ``default_class``.

    ``class_property``: ``None``: every feature is of the ``default_class``.
    ``class_mapping``: property value (as text) -> class name.
    ``point_buffer``, ``line_buffer``: the distance in ``buffer_units`` (``"m"``: metres on the
    ground; ``"px"``: pixels) by which points and lines grow to each side into areas.
    """

    uris: Uris = attrs.field(converter=_as_uris, validator=_uris(least=1))
    class_property: str | None = attrs.field(default="class_name")
    class_mapping: Mapping[str, str] = attrs.field(factory=dict, converter=_as_mapping)
    default_class: str | None = attrs.field(default=None, validator=optional(text()))
    point_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    line_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    buffer_units: Literal["m", "px"] = attrs.field(default="m", validator=choice(("m", "px")))

    @class_property.validator
    def _check_property(self, field: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None:
            text()(self, field, value)

    def __attrs_post_init__(self) -> None:
        if self.class_property is None and self.default_class is None:
            raise ConfigError(
                "LabelConfig has neither class_property nor default_class",
                hint="set default_class to the class that all features are of",
            )

    @classmethod
    def of(cls, value: LabelConfig | str | os.PathLike[str]) -> LabelConfig:
        """The config itself, or that of the file at this URI with its ``class_name`` property."""
        return value if isinstance(value, LabelConfig) else cls(uris=value)


@attrs.frozen(kw_only=True)
class SceneConfig:
    """A scene: ``id`` (a file name, as predictions are named after it), its ``raster``, the
    ``labels`` on it where there are any, and ``aoi_uris``: vector files whose polygons say where
    the labels are complete; everything where there are none."""

    id: str = attrs.field()
    raster: RasterConfig = attrs.field(converter=_as_raster)
    labels: LabelConfig | None = attrs.field(default=None, converter=_as_labels)
    aoi_uris: Uris = attrs.field(default=(), converter=_as_uris, validator=_uris(least=0))

    def __attrs_post_init__(self) -> None:
        value = self.id
        if not isinstance(value, str) or not _FILE_NAME.match(value) or value.strip(". ") == "":
            raise ConfigError(
                f"SceneConfig.id must be usable as a file name, got {value!r}",
                hint="use letters, digits, '-', '_' and '.'",
            )


def _as_scenes(value: SceneConfig | Iterable[SceneConfig]) -> tuple[SceneConfig, ...]:
    return (value,) if isinstance(value, SceneConfig) else tuple(value)


@attrs.frozen(kw_only=True)
class DatasetConfig:
    """The scenes of an experiment: to ``train`` on, for ``validation`` (predicted and evaluated),
    and to ``test`` on (predicted only, and evaluated where they have labels)."""

    train: tuple[SceneConfig, ...] = attrs.field(default=(), converter=_as_scenes)
    validation: tuple[SceneConfig, ...] = attrs.field(default=(), converter=_as_scenes)
    test: tuple[SceneConfig, ...] = attrs.field(default=(), converter=_as_scenes)

    def __attrs_post_init__(self) -> None:
        ids = [scene.id for scene in self.scenes]
        doubled = sorted({i for i in ids if ids.count(i) > 1})
        if doubled:
            raise ConfigError(
                f"scene ids must differ, but {', '.join(doubled)} is there twice",
                hint="give each scene of train, validation and test an id of its own",
            )

    @property
    def scenes(self) -> tuple[SceneConfig, ...]:
        """All scenes: train, then validation, then test."""
        return self.train + self.validation + self.test


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """A scene that is open for reading, all of it in pixel coordinates (x = column, y = row).

    ``raster``: reads windows. ``features``: the labels, ``None`` where they were not asked for or
    there are none. ``aoi``: the polygons [N] of the areas of interest, none for "everywhere".
    """

    id: str
    raster: RasterSource
    features: Features | None
    aoi: NDArray[Any]

    @property
    def extent(self) -> Window:
        """The window of the whole raster."""
        return self.raster.extent

    def in_aoi(self, windows: Sequence[Window]) -> NDArray[np.bool_]:
        """Which of the windows [N] lie wholly inside the areas of interest."""
        from rv_pipeline.windows import inside

        return inside(windows, self.aoi, self.extent)


@contextmanager
def open_scene(
    config: SceneConfig,
    kernel: Kernel,
    *,
    classes: ClassMap | None = None,
    stats: RasterStats | None = None,
    with_labels: bool = True,
) -> Iterator[Scene]:
    """The scene, its headers read and its labels brought into pixel coordinates once.

    ``classes`` is needed where labels are read: ``with_labels``, and the config has some. ``stats``
    are needed to read pixels where a transformer asks for them.

    Raises `NotFoundError` for a file that is missing, `DataError` for rasters and labels that
    cannot be read or do not belong together, `ConfigError` for labels without ``classes``.
    """
    from rv_pipeline.rasters import RasterSource, gdal_session
    from rv_pipeline.vectors import read_aoi, read_features

    with gdal_session(), RasterSource.open(config.raster, kernel, stats) as raster:
        features = None
        if with_labels and config.labels is not None:
            if classes is None:
                raise ConfigError(f"scene {config.id!r} has labels, and no classes were given")
            features = read_features(config.labels, raster, classes, kernel)
        aoi = read_aoi(config.aoi_uris, raster, kernel)
        yield Scene(id=config.id, raster=raster, features=features, aoi=aoi)
