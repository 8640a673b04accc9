"""What to say of vectors that do not lie on their raster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from rv_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.vectors._projection import Projection


def no_overlap(
    what: str,
    uris: Sequence[str],
    areas: NDArray[Any],
    sources: Sequence[tuple[NDArray[Any], Projection]],
) -> DataError:
    """The error for vectors of which none lies on the raster: by how far, and in which CRS.

    ``uris``: of the files, without secrets. ``areas``: what was read, in pixel coordinates.
    ``sources``: the geometries of each file in its own coordinates, and how they were projected.
    """
    projection = sources[0][1]
    raster = projection.raster
    extent = shapely.box(0, 0, raster.width, raster.height)
    names = ", ".join(uris)
    return DataError(
        f"the {what} in {names} do not overlap the raster {raster.uri}: "
        f"{_distance(areas, extent, projection)}",
        hint=_hint(uris, sources, extent, projection),
    )


def _distance(areas: NDArray[Any], extent: Any, projection: Projection) -> str:
    there = areas[~shapely.is_empty(areas)]
    if len(there) == 0:
        return f"they lie where {projection.crs_text} has no coordinates"
    nearest = there[int(np.argmin(shapely.distance(there, extent)))]
    link = shapely.get_coordinates(shapely.shortest_line(extent, nearest))
    pixels = float(np.hypot(*(link[1] - link[0])))
    if projection.raster.crs is None:
        return f"the nearest is {pixels:,.0f} px away, in pixel coordinates"
    metres = projection.metres_between(link[0], link[1])
    if not np.isfinite(metres):
        return f"the nearest is {pixels:,.0f} px away, in {projection.crs_text}"
    ground = f"{metres / 1000:,.1f} km" if metres >= 1000 else f"{metres:,.1f} m"
    return f"the nearest is {ground} ({pixels:,.0f} px) away, in {projection.crs_text}"


def _hint(
    uris: Sequence[str],
    sources: Sequence[tuple[NDArray[Any], Projection]],
    extent: Any,
    projection: Projection,
) -> str:
    for geometries, way in sources:
        if shapely.intersects(way.to_pixels(geometries, flip=True), extent).any():
            return "with x and y exchanged they would: GeoJSON has the longitude first"
        if projection.raster.crs is None:
            return "without a CRS, coordinates are pixels: x right, y down from the upper left"
        beyond = np.abs(shapely.bounds(geometries)).max(initial=0)
        if way.is_lonlat and beyond > 360:
            if any(uri.lower().endswith(".shp") for uri in uris):
                return "its coordinates are no degrees: the .prj file names their CRS; is it there?"
            return "its coordinates are no degrees: name their CRS in the file's 'crs' member"
    return "are these the files that belong together?"
