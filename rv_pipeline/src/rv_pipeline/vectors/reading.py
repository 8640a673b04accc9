"""Reading labels and areas of interest from vector files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely

from rv_core import DataError, without_secrets
from rv_pipeline.vectors._classes import (
    NO_CLASS,
    check_classes,
    class_ids,
    columns_for,
    lacks_class,
    no_class,
)
from rv_pipeline.vectors._files import VectorFile, property_names, read_file
from rv_pipeline.vectors._overlap import no_overlap
from rv_pipeline.vectors._projection import Projection
from rv_pipeline.vectors.features import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.vectors.config import LabelConfig

logger = logging.getLogger(__name__)

FAR_PIXELS: Final = 1e12
"""Nothing lies this far from a raster but what could not be projected to it."""


MAX_LON: Final = 540.0
"""Degrees: a scene across the date line may go on counting."""
MAX_LAT: Final = 90.0 + 1e-6


@attrs.frozen(eq=False)
class _Projected:
    """What was read of a file, what to call it, and its way to the raster."""

    uri: str
    file: VectorFile
    projection: Projection

    @property
    def geometries(self) -> NDArray[Any]:
        return self.file.geometries


def read_features(
    config: LabelConfig, raster: RasterSource, classes: ClassMap, kernel: Kernel
) -> Features:
    """The labels that lie on a raster, in its pixel coordinates.

    Raises `NotFoundError` for a file that is missing; `DataError` for one that cannot be read, a
    class that is not in ``classes``, points or lines without a buffer, and labels of which none
    lies on the raster. Invalid polygons are repaired, with one warning a file.
    """
    check_classes(config, classes)
    columns = columns_for(config)
    geometries: list[NDArray[Any]] = []
    ids_of_files: list[NDArray[np.int64]] = []
    files = [_read(uri, columns, raster, kernel, config.layer) for uri in config.uris]
    for uri, file in zip(config.uris, files, strict=True):
        if lacks_class(config, file.file):
            raise no_class(file.uri, config, property_names(uri, kernel, config.layer))
        class_ids_ = class_ids(file.uri, file.file, classes, config)
        chosen = class_ids_ != NO_CLASS
        geometries.append(_areas(file, config, chosen))
        ids_of_files.append(class_ids_[chosen])
    areas, ids = np.concatenate(geometries), np.concatenate(ids_of_files)
    if len(areas) == 0:
        logger.warning("%s holds no labels", ", ".join(file.uri for file in files))
    on_raster = _on_raster(areas, raster)
    if len(areas) and not on_raster.any():
        raise _elsewhere("labels", files, areas)
    _check_not_degrees(files, areas[on_raster], raster)
    return Features(areas[on_raster], ids[on_raster])


def read_aoi(uris: Sequence[str], raster: RasterSource, kernel: Kernel) -> NDArray[Any]:
    """The polygons [N] of areas of interest that lie on a raster, in its pixel coordinates.

    Raises like `read_features`.
    """
    if not uris:
        return np.empty(0, object)
    files = [_read(uri, (), raster, kernel) for uri in uris]
    areas = np.concatenate([_areas(file, None) for file in files])
    if len(areas) == 0:
        raise DataError(
            f"there are no areas of interest in {', '.join(file.uri for file in files)}",
            hint="draw polygons where the labels are complete, or leave aoi_uris out",
        )
    on_raster = _on_raster(areas, raster)
    if not on_raster.any():
        raise _elsewhere("areas of interest", files, areas)
    return areas[on_raster]


def _read(
    uri: str,
    columns: Sequence[str],
    raster: RasterSource,
    kernel: Kernel,
    layer: str | None = None,
) -> _Projected:
    file = read_file(uri, columns, kernel, layer)
    shown = without_secrets(uri)
    projection = Projection.between(shown, file.crs, raster)
    _check_degrees(shown, file, projection)
    return _Projected(shown, file, projection)


def _check_degrees(uri: str, file: VectorFile, projection: Projection) -> None:
    """Some features in degrees and others in metres: no file can say so, and none may."""
    if projection.raster.crs is None or not projection.is_lonlat or not len(file.geometries):
        return
    x0, y0, x1, y1 = shapely.bounds(file.geometries).T
    beyond = np.maximum(np.abs([x0, x1]).max(0) - MAX_LON, np.abs([y0, y1]).max(0) - MAX_LAT) > 0
    if beyond.any() and not beyond.all():
        index = int(np.argmax(beyond))
        raise DataError(
            f"{uri} mixes coordinates of several CRSs: {int(beyond.sum())} of its {len(beyond)} "
            f"features lie beyond what degrees can be, one at {x0[index]:g}, {y0[index]:g}",
            hint="its CRS is longitude and latitude: keep features in another one in a file of "
            "their own",
        )


def _areas(
    file: _Projected, config: LabelConfig | None, chosen: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """A file's geometries, or the chosen ones, as valid areas in pixels, empty where they cannot
    be projected."""
    uri, projection = file.uri, file.projection
    geometries = file.geometries if chosen is None else file.geometries[chosen]
    areas = projection.to_pixels(geometries)
    lost = (np.abs(shapely.bounds(areas)) > FAR_PIXELS).any(axis=1)
    areas[lost] = shapely.Polygon()
    dimensions = np.where(lost, -1, shapely.get_dimensions(geometries))
    for dimension, kind, buffer in (
        (0, "point", config.point_buffer if config else None),
        (1, "line", config.line_buffer if config else None),
    ):
        of_kind = dimensions == dimension
        if not of_kind.any():
            continue
        if not buffer or config is None:
            hint = f"set {kind}_buffer in the labels" if config else "only polygons will do"
            count = int(of_kind.sum())
            held = f"1 {kind}, which covers" if count == 1 else f"{count} {kind}s, which cover"
            raise DataError(f"{uri} holds {held} no area", hint=hint)
        if config.buffer_units == "m":
            areas[of_kind] = projection.grown(geometries[of_kind], buffer)
        else:
            areas[of_kind] = shapely.buffer(areas[of_kind], buffer)
    invalid = ~shapely.is_valid(areas)
    if invalid.any():
        logger.warning(
            "%s: repaired %d invalid polygon%s of %d",
            uri,
            invalid.sum(),
            "" if invalid.sum() == 1 else "s",
            len(areas),
        )
        areas[invalid] = shapely.make_valid(
            areas[invalid], method="structure", keep_collapsed=False
        )
    return areas


def _check_not_degrees(
    files: Sequence[_Projected], areas: NDArray[Any], raster: RasterSource
) -> None:
    """Labels in degrees on a picture without a place, where coordinates are pixels, are specks."""
    if raster.crs is not None or not len(areas):
        return
    x0, y0, x1, y1 = shapely.bounds(areas).T
    if max((x1 - x0).max(), (y1 - y0).max()) < 1:
        names = ", ".join(file.uri for file in files)
        raise DataError(
            f"each label in {names} is smaller than a pixel of the raster {raster.uri}, which has "
            f"no CRS: coordinates are taken for pixels there",
            hint="give the raster a georeference, or the labels in its pixel coordinates "
            "(x right, y down)",
        )


def _elsewhere(what: str, files: Sequence[_Projected], areas: NDArray[Any]) -> DataError:
    sources = [(file.geometries, file.projection) for file in files]
    return no_overlap(what, [file.uri for file in files], areas, sources)


def _on_raster(areas: NDArray[Any], raster: RasterSource) -> NDArray[np.bool_]:
    extent = shapely.box(0, 0, raster.width, raster.height)
    shapely.prepare(extent)
    touching: NDArray[np.bool_] = shapely.intersects(extent, areas) & ~shapely.touches(
        extent, areas
    )
    return touching
