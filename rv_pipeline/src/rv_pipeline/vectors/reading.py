"""Reading labels and areas of interest from vector files."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import pyogrio
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError

from rv_core import DataError
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


@attrs.frozen(eq=False)
class _VectorFile:
    """What was read of a file: geometries [N] in its own coordinates, and their values of one
    property [N]."""

    geometries: NDArray[Any]
    values: Sequence[Any]
    projection: Projection


def read_features(
    config: LabelConfig, raster: RasterSource, classes: ClassMap, kernel: Kernel
) -> Features:
    """The labels that lie on a raster, in its pixel coordinates.

    Raises `NotFoundError` for a file that is missing; `DataError` for one that cannot be read, a
    class that is not in ``classes``, points or lines without a buffer, and labels of which none
    lies on the raster. Invalid polygons are repaired, with one warning a file.
    """
    for name in (*config.class_mapping.values(), config.default_class):
        if name is not None:
            classes.id_of(name)
    geometries: list[NDArray[Any]] = []
    class_ids: list[NDArray[np.int64]] = []
    files = [_read(uri, config.class_property, raster, kernel) for uri in config.uris]
    for uri, file in zip(config.uris, files, strict=True):
        geometries.append(_areas(uri, file, config))
        class_ids.append(_class_ids(uri, file.values, classes, config))
    areas, ids = np.concatenate(geometries), np.concatenate(class_ids)
    if len(areas) == 0:
        logger.warning("%s holds no labels", ", ".join(config.uris))
    on_raster = _on_raster(areas, raster)
    if len(areas) and not on_raster.any():
        raise no_overlap(
            "labels", config.uris, areas, [(f.geometries, f.projection) for f in files]
        )
    return Features(areas[on_raster], ids[on_raster])


def read_aoi(uris: Sequence[str], raster: RasterSource, kernel: Kernel) -> NDArray[Any]:
    """The polygons [N] of areas of interest that lie on a raster, in its pixel coordinates.

    Raises like `read_features`.
    """
    if not uris:
        return np.empty(0, object)
    files = [_read(uri, None, raster, kernel) for uri in uris]
    areas = np.concatenate([_areas(uri, file, None) for uri, file in zip(uris, files, strict=True)])
    on_raster = _on_raster(areas, raster)
    if not on_raster.any():
        raise no_overlap(
            "areas of interest", uris, areas, [(f.geometries, f.projection) for f in files]
        )
    return areas[on_raster]


def _read(uri: str, column: str | None, raster: RasterSource, kernel: Kernel) -> _VectorFile:
    path = kernel.files.local_path(uri)
    try:
        meta, _, wkb, columns = pyogrio.raw.read(
            path, columns=[] if column is None else [column], force_2d=True
        )
        geometries = shapely.from_wkb(wkb)
        projection = Projection.between(uri, meta["crs"], raster)
    except (
        CRSError,
        DataSourceError,
        DataLayerError,
        FeatureError,
        GeometryError,
        shapely.errors.GEOSException,
        OSError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split()).replace(str(path), uri)
        raise DataError(
            f"cannot read the vectors in {uri}: {reason}",
            hint="is it whole, and GeoJSON or another format that GDAL reads?",
        ) from error
    values = columns[0].tolist() if columns else [None] * len(geometries)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    kept = [value for value, keep in zip(values, there.tolist(), strict=True) if keep]
    return _VectorFile(geometries[there], kept, projection)


def _areas(uri: str, file: _VectorFile, config: LabelConfig | None) -> NDArray[Any]:
    """A file's geometries as valid areas in pixels, empty where they cannot be projected."""
    areas = file.projection.to_pixels(file.geometries)
    lost = (np.abs(shapely.bounds(areas)) > FAR_PIXELS).any(axis=1)
    areas[lost] = shapely.Polygon()
    dimensions = np.where(lost, -1, shapely.get_dimensions(file.geometries))
    for dimension, kind, buffer in (
        (0, "point", config.point_buffer if config else None),
        (1, "line", config.line_buffer if config else None),
    ):
        chosen = dimensions == dimension
        if not chosen.any():
            continue
        if not buffer or config is None:
            hint = f"set {kind}_buffer in the labels" if config else "only polygons will do"
            raise DataError(
                f"{uri} holds {int(chosen.sum())} {kind}s, which cover no area", hint=hint
            )
        if config.buffer_units == "m":
            areas[chosen] = file.projection.grown(file.geometries[chosen], buffer)
        else:
            areas[chosen] = shapely.buffer(areas[chosen], buffer)
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


def _on_raster(areas: NDArray[Any], raster: RasterSource) -> NDArray[np.bool_]:
    extent = shapely.box(0, 0, raster.width, raster.height)
    shapely.prepare(extent)
    touching: NDArray[np.bool_] = shapely.intersects(extent, areas) & ~shapely.touches(
        extent, areas
    )
    return touching


def _class_ids(
    uri: str, values: Sequence[Any], classes: ClassMap, config: LabelConfig
) -> NDArray[np.int64]:
    """The class id of each value of the class property."""
    known: dict[str | None, int] = {}
    ids = np.empty(len(values), np.int64)
    for index, value in enumerate(values):
        text = _as_text(value)
        if text not in known:
            known[text] = _class_id(uri, text, classes, config)
        ids[index] = known[text]
    return ids


def _as_text(value: Any) -> str | None:
    """A property's value as it is spelled in ``class_mapping``; ``None`` where it says nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # whole numbers beside nulls arrive as floats
    return str(value)


def _class_id(uri: str, value: str | None, classes: ClassMap, config: LabelConfig) -> int:
    if value is None:
        if config.default_class is None:
            raise DataError(
                f"{uri} holds features without the property {config.class_property!r}",
                hint="set class_property to the one that names the class, or a default_class",
            )
        return classes.id_of(config.default_class)
    name = config.class_mapping.get(value, value)
    if name in classes.names:
        return classes.id_of(name)
    close = get_close_matches(name, [*config.class_mapping, *classes.names], n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise DataError(
        f"{uri} holds features whose {config.class_property} is {value!r}, which is none of the "
        f"classes {', '.join(classes.names)}",
        hint=f"{meant}add the class, or say in class_mapping which one {value!r} is",
    )
