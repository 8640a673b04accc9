"""Scenes: a raster, the labels drawn on it and the areas of interest in it.

The ``...Config`` classes are plain data that spell JSON or YAML; where a tuple of URIs is asked
for, a single string is taken too. `open_scene` turns one into a `Scene` that can be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from rv_core import ConfigError
from rv_pipeline._uris import Uris, as_uris, at_least
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.rasters.label_raster import RasterLabelConfig
from rv_pipeline.vectors.config import LabelConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel, Window
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.rasters.label_raster import LabelRaster
    from rv_pipeline.statistics import RasterStats
    from rv_pipeline.vectors import Features

AnyLabels = LabelConfig | RasterLabelConfig

_FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,200}\Z")


def _as_raster(value: RasterConfig | str | os.PathLike[str]) -> RasterConfig:
    return RasterConfig.of(value)


def _as_labels(
    value: AnyLabels | str | os.PathLike[str] | None,
) -> AnyLabels | None:
    return value if value is None or isinstance(value, RasterLabelConfig) else LabelConfig.of(value)


@attrs.frozen(kw_only=True)
class SceneConfig:
    """A scene: ``id`` (a file name, as predictions are named after it), its ``raster``, the
    ``labels`` on it where there are any (vectors, or a raster of classes), and ``aoi_uris``: vector
    files whose polygons say where the labels are complete; everything where there are none."""

    id: str = attrs.field()
    raster: RasterConfig = attrs.field(converter=_as_raster)
    labels: AnyLabels | None = attrs.field(default=None, converter=_as_labels)
    aoi_uris: Uris = attrs.field(default=(), converter=as_uris, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        value = self.id
        if not isinstance(value, str) or not _FILE_NAME.match(value) or value.strip(". ") == "":
            raise ConfigError(
                f"SceneConfig.id must be usable as a file name, got {value!r}",
                hint="use letters, digits, '-', '_' and '.'",
            )


def _as_scenes(value: SceneConfig | Iterable[SceneConfig]) -> tuple[SceneConfig, ...]:
    if isinstance(value, str | os.PathLike):
        raise ConfigError(
            f"{value!r} stands where a list of scenes is needed",
            hint="each with an id, a raster and its labels",
        )
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

    ``raster``: reads windows. ``features``: labels that are vectors, ``label_raster``: labels that
    are pixels; both ``None`` where they were not asked for or there are none. ``aoi``: the polygons
    [N] of the areas of interest, none for "everywhere".
    """

    id: str
    raster: RasterSource
    features: Features | None
    aoi: NDArray[Any]
    label_raster: LabelRaster | None = None

    @property
    def extent(self) -> Window:
        """The window of the whole raster."""
        return self.raster.extent

    def in_aoi(self, windows: Sequence[Window]) -> NDArray[np.bool_]:
        """Which of the windows [N] lie wholly inside the areas of interest."""
        from rv_pipeline.windows import inside

        return inside(windows, self.aoi, self.extent)

    def holds_data(self, windows: Sequence[Window]) -> NDArray[np.bool_]:
        """Which of the windows [N] have a pixel with data in them. Raises `DataError` for a raster
        that is damaged there."""
        from rv_pipeline.rasters import holds_data
        from rv_pipeline.windows import bounds

        return holds_data(self.raster, bounds(windows))


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

    with ExitStack() as opened:
        opened.enter_context(gdal_session())
        raster = opened.enter_context(RasterSource.open(config.raster, kernel, stats))
        features = label_raster = None
        if with_labels and config.labels is not None:
            if classes is None:
                raise ConfigError(f"scene {config.id!r} has labels, and no classes were given")
            if isinstance(config.labels, RasterLabelConfig):
                from rv_pipeline.rasters.label_raster import LabelRaster

                label_raster = opened.enter_context(
                    LabelRaster.open(config.labels, raster, classes, kernel)
                )
            else:
                features = read_features(config.labels, raster, classes, kernel)
        aoi = read_aoi(config.aoi_uris, raster, kernel)
        yield Scene(
            id=config.id, raster=raster, features=features, aoi=aoi, label_raster=label_raster
        )
