"""Segmentation as polygons: the outlines of a raster of class ids, as GeoJSON.

The raster is traced tile by tile. A polygon inside one tile is written at once; those that reach a
tile's border are joined across it at the end, so no seam is left.
"""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import rasterio
import rasterio.features
import shapely
from rasterio.errors import NotGeoreferencedWarning

from rv_core import UNLABELLED, ConfigError, Window
from rv_pipeline.label_stores._tracing import trace
from rv_pipeline.label_stores.geojson import Placement, class_properties, write_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.config import Crs

    Traced = tuple[NDArray[Any], NDArray[np.uint8]]
    _Place = tuple[slice, slice]

_TILE: Final = 1024  # px: what is traced at a time
_THREADS: Final = 4
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
    smallest, area = smallest_area(raster, outlines), pixel_area(raster)

    def features(found: Traced) -> list[str]:
        return _features(_kept(found, smallest, outlines), classes, placement, area)

    lines = itertools.chain.from_iterable(_outlined(class_raster, outlines, features))
    with warnings.catch_warnings():
        # Pictures are welcome, and what GDAL sieves is an array without a place.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return write_features(uri, lines, placement, kernel)


def _features(
    found: Traced, classes: ClassMap, placement: Placement, pixel: float | None
) -> list[str]:
    """Each polygon as a line of JSON."""
    polygons, values = found
    heads = [
        json.dumps(class_properties(classes, i), ensure_ascii=False)[:-1]
        for i in range(len(classes))
    ]
    tails = ["}"] * len(polygons)
    if pixel is not None:
        areas = (shapely.area(polygons) * pixel).tolist()
        tails = [f', "area_m2": {area:.6g}}}' for area in areas]
    placed = shapely.orient_polygons(shapely.transform(polygons, placement.place))
    return [
        f'{{"type": "Feature", "properties": {heads[value]}{tail}, "geometry": {geometry}}}'
        for value, tail, geometry in zip(
            values.tolist(), tails, shapely.to_geojson(placed).tolist(), strict=True
        )
    ]


def _kept(found: Traced, smallest: float, outlines: Outlines) -> Traced:
    """The polygons that are large enough, simplified."""
    polygons, values = found
    large = shapely.area(polygons) >= smallest
    kept = polygons[large]
    if outlines.simplify:
        kept = shapely.simplify(kept, outlines.simplify)
    return kept, values[large]


def _outlined(
    class_raster: Path, outlines: Outlines, features: Callable[[Traced], list[str]]
) -> Iterator[list[str]]:
    """The features of all polygons of the chosen classes, tile by tile.

    Tiles are worked on side by side: GEOS, PROJ and GDAL do most of it, and let other threads run.
    """
    from rv_pipeline.tasks.task import blocks

    wanted = np.full(256, UNLABELLED, np.uint8)
    wanted[list(outlines.class_ids)] = list(outlines.class_ids)
    cut: list[Traced] = []
    with rasterio.open(class_raster) as dataset:
        scene = Window(0, 0, dataset.width, dataset.height)

        def outline(
            tile: Window, ids: NDArray[np.uint8], place: _Place
        ) -> tuple[Traced, list[str]]:
            mask = wanted[_sieved(ids, outlines.sieve)[place]]
            whole, at_seam = _traced(mask, tile, scene)
            return at_seam, features(whole)

        threads = min(_THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads, "rv-polygons") as pool:
            under_way: deque[Future[tuple[Traced, list[str]]]] = deque()
            try:
                for tile in blocks(scene, _TILE):
                    under_way.append(pool.submit(outline, tile, *_read(dataset, tile, outlines)))
                    if len(under_way) > threads:
                        at_seam, lines = under_way.popleft().result()
                        cut.append(at_seam)
                        yield lines
                while under_way:
                    at_seam, lines = under_way.popleft().result()
                    cut.append(at_seam)
                    yield lines
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    for joined in _joined(cut):
        yield features(joined)


def _traced(mask: NDArray[np.uint8], tile: Window, scene: Window) -> tuple[Traced, Traced]:
    """The polygons of a tile in pixel coordinates of the scene: those that are whole, and those
    that another tile may go on with."""
    left, top = tile.col_off, tile.row_off
    polygons, values = trace(mask, corner=(left, top))
    right, bottom = left + tile.width, top + tile.height
    x0, y0, x1, y1 = shapely.bounds(polygons).reshape(-1, 4).T
    at_seam = (x0 == left) & (left > 0) | (x1 == right) & (right < scene.width)
    at_seam |= (y0 == top) & (top > 0) | (y1 == bottom) & (bottom < scene.height)
    return (polygons[~at_seam], values[~at_seam]), (polygons[at_seam], values[at_seam])


def _joined(cut: Sequence[Traced]) -> Iterator[Traced]:
    """The polygons that tiles cut, whole again."""
    polygons = np.concatenate([np.empty(0, object), *(found for found, _ in cut)])
    values = np.concatenate([np.empty(0, np.uint8), *(found for _, found in cut)])
    for value in np.unique(values):
        merged = shapely.get_parts(shapely.disjoint_subset_union_all(polygons[values == value]))
        # A tolerance of 0 takes away the corners that tiles left on straight outlines.
        merged = shapely.simplify(merged, 0)
        yield merged, np.full(len(merged), value, np.uint8)


def _read(dataset: Any, tile: Window, outlines: Outlines) -> tuple[NDArray[np.uint8], _Place]:
    """The class ids of a tile and of a margin around it, and where the tile is in them.

    To sieve, a margin is needed as well. What is smaller than the sieve and reaches into the tile
    lies wholly inside the margin: so it is taken away on both sides of a seam, or on none.
    """
    margin = outlines.sieve if outlines.sieve > 1 else 0
    left, top = max(0, tile.col_off - margin), max(0, tile.row_off - margin)
    right = min(dataset.width, tile.col_off + tile.width + margin)
    bottom = min(dataset.height, tile.row_off + tile.height + margin)
    ids: NDArray[np.uint8] = dataset.read(1, window=((top, bottom), (left, right)))
    rows = slice(tile.row_off - top, tile.row_off - top + tile.height)
    return ids, (rows, slice(tile.col_off - left, tile.col_off - left + tile.width))


def _sieved(ids: NDArray[np.uint8], sieve: int) -> NDArray[np.uint8]:
    if sieve <= 1:
        return ids
    sieve = min(sieve, ids.size)  # GDAL takes no more; it changes nothing
    mask = ids != UNLABELLED
    found: NDArray[np.uint8] = rasterio.features.sieve(ids, sieve, mask=mask, connectivity=4)
    return found
