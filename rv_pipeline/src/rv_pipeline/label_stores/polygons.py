"""Segmentation as polygons: the outlines of a raster of class ids, as GeoJSON.

The raster is traced tile by tile. A polygon inside one tile is written at once; those that reach a
tile's border are joined across it at the end, so no seam is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely

from rv_core import UNLABELLED, ConfigError, Window
from rv_pipeline.label_stores._tracing import trace
from rv_pipeline.label_stores.geojson import Placement, class_properties, write_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.config import Crs

    Traced = tuple[NDArray[Any], NDArray[np.uint8]]

_TILE: Final = 2048  # px: what is traced at a time
_SQUARE: Final = 64  # px: large enough to be measured on the ground


@attrs.frozen(kw_only=True)
class Outlines:
    """What becomes of a raster of class ids.

    ``class_ids``: of the classes that become polygons. ``sieve``: groups of fewer equal pixels,
    connected by their sides, become part of their largest neighbour first (GDAL's sieve); 0 or 1:
    none. ``min_area``: smaller polygons are left out, in ``min_area_units`` (``"m2"``: square
    metres on the ground; ``"px"``: pixels). ``simplify``: by how many pixels an outline may be
    moved to have fewer corners (Douglas-Peucker, each polygon for itself).
    """

    class_ids: Sequence[int]
    sieve: int = 0
    min_area: float = 0.0
    min_area_units: str = "px"
    simplify: float = 0.0


def pixel_area(raster: RasterSource) -> float | None:
    """Square metres on the ground of a pixel at the raster's centre, on the WGS 84 ellipsoid;
    ``None`` for a raster without CRS."""
    from pyproj import Geod

    from rv_pipeline.vectors._projection import WGS84, Projection

    if raster.crs is None:
        return None
    x, y = raster.width / 2, raster.height / 2
    square = np.array([(0, 0), (0, 1), (1, 1), (1, 0)], np.float64) * _SQUARE
    corners = Projection(raster, WGS84).lonlat(square - _SQUARE / 2 + (x, y))
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*corners.T)
    return abs(float(area)) / _SQUARE**2


def smallest_area(raster: RasterSource, outlines: Outlines) -> float:
    """The smallest area of a polygon in pixels; raises `ConfigError` where it is given in square
    metres and the raster has no CRS."""
    if outlines.min_area_units == "px" or outlines.min_area == 0:
        return outlines.min_area
    area = pixel_area(raster)
    if area is None:
        raise ConfigError(
            f"polygons of {raster.uri} cannot be measured in square metres: it has no CRS",
            hint="set min_area_units to 'px'",
        )
    return outlines.min_area / area


def write_polygons(
    uri: str,
    class_raster: Path,
    raster: RasterSource,
    classes: ClassMap,
    outlines: Outlines,
    kernel: Kernel,
    *,
    crs: Crs = "EPSG:4326",
) -> int:
    """Write the polygons of a local raster of class ids, which lies where ``raster`` does, with the
    properties ``class_id``, ``class_name`` and, on the earth, ``area_m2``; returns how many there
    are.

    Raises `ConfigError` like `smallest_area`.
    """
    placement = Placement(raster, crs)
    found = _kept(_traced(class_raster, outlines), smallest_area(raster, outlines), outlines)
    area = pixel_area(raster)
    return write_features(uri, _features(found, classes, placement, area), placement, kernel)


def _features(
    found: Iterator[Traced], classes: ClassMap, placement: Placement, pixel: float | None
) -> Iterator[str]:
    heads = [
        json.dumps(class_properties(classes, i), ensure_ascii=False)[:-1]
        for i in range(len(classes))
    ]
    for polygons, values in found:
        tails = ["}"] * len(polygons)
        if pixel is not None:
            areas = (shapely.area(polygons) * pixel).tolist()
            tails = [f', "area_m2": {area:.6g}}}' for area in areas]
        placed = shapely.orient_polygons(shapely.transform(polygons, placement.place))
        for value, tail, geometry in zip(
            values.tolist(), tails, shapely.to_geojson(placed).tolist(), strict=True
        ):
            yield (
                f'{{"type": "Feature", "properties": {heads[value]}{tail}, "geometry": {geometry}}}'
            )


def _kept(found: Iterator[Traced], smallest: float, outlines: Outlines) -> Iterator[Traced]:
    """The polygons that are large enough, simplified."""
    for polygons, values in found:
        large = shapely.area(polygons) >= smallest
        kept = polygons[large]
        if outlines.simplify:
            kept = shapely.simplify(kept, outlines.simplify)
        if len(kept):
            yield kept, values[large]


def _traced(class_raster: Path, outlines: Outlines) -> Iterator[Traced]:
    """All polygons of the chosen classes, in pixel coordinates."""
    from rv_pipeline.tasks.task import blocks

    wanted = np.full(256, UNLABELLED, np.uint8)
    wanted[list(outlines.class_ids)] = list(outlines.class_ids)
    cut: list[Traced] = []
    with _open(class_raster) as dataset:
        width, height = dataset.width, dataset.height
        for tile in blocks(Window(0, 0, width, height), _TILE):
            mask = wanted[_read(dataset, tile, outlines.sieve)]
            polygons, values = trace(mask)
            if len(polygons) == 0:
                continue
            left, top = tile.col_off, tile.row_off
            right, bottom = left + tile.width, top + tile.height
            polygons = shapely.transform(polygons, lambda points, by=(left, top): points + by)
            x0, y0, x1, y1 = shapely.bounds(polygons).T
            at_seam = (x0 == left) & (left > 0) | (x1 == right) & (right < width)
            at_seam |= (y0 == top) & (top > 0) | (y1 == bottom) & (bottom < height)
            cut.append((polygons[at_seam], values[at_seam]))
            yield polygons[~at_seam], values[~at_seam]
    yield from _joined(cut)


def _joined(cut: Sequence[Traced]) -> Iterator[Traced]:
    """The polygons that tiles cut, whole again."""
    polygons = np.concatenate([np.empty(0, object), *(found for found, _ in cut)])
    values = np.concatenate([np.empty(0, np.uint8), *(found for _, found in cut)])
    for value in np.unique(values):
        merged = shapely.get_parts(shapely.disjoint_subset_union_all(polygons[values == value]))
        # A tolerance of 0 takes away the corners that tiles left on straight outlines.
        merged = shapely.simplify(merged, 0)
        yield merged, np.full(len(merged), value, np.uint8)


def _open(path: Path) -> Any:
    import rasterio

    return rasterio.open(path)


def _read(dataset: Any, tile: Window, sieve: int) -> NDArray[np.uint8]:
    """The class ids of a tile.

    To sieve, a margin is read as well. What is smaller than the sieve and reaches into the tile
    lies wholly inside the margin: so it is taken away on both sides of a seam, or on none.
    """
    margin = sieve if sieve > 1 else 0
    left, top = max(0, tile.col_off - margin), max(0, tile.row_off - margin)
    right = min(dataset.width, tile.col_off + tile.width + margin)
    bottom = min(dataset.height, tile.row_off + tile.height + margin)
    ids: NDArray[np.uint8] = dataset.read(1, window=((top, bottom), (left, right)))
    if margin:
        from rasterio.features import sieve as sieved

        sieve = min(sieve, ids.size)  # GDAL takes no more; it changes nothing
        ids = sieved(ids, sieve, mask=ids != UNLABELLED, connectivity=4)
    rows = slice(tile.row_off - top, tile.row_off - top + tile.height)
    return ids[rows, tile.col_off - left : tile.col_off - left + tile.width]
