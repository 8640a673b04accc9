"""Labelled polygons in pixel coordinates, indexed by place."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.vectors.rasterize import Painter

_MANY_POINTS: Final = 256  # polygons of more are cut up: to clip one costs by its points


@attrs.frozen(eq=False, slots=False)
class Features:
    """Polygons of a scene with their classes.

    ``geometries``: object [N], valid shapely polygons and multipolygons in pixel coordinates
    (x = column, y = row). ``class_ids``: int64 [N], 0..n-1.
    """

    geometries: NDArray[Any]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.geometries)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """An index of `geometries` by place."""
        return shapely.STRtree(self.geometries)

    @cached_property
    def disjoint(self) -> Features:
        """The same areas as polygons of which no two of one class overlap, none of them very
        long: so the areas of clips of them add up, and each clip is quick."""
        geometries, class_ids = _merge_overlaps(self)
        return Features(*_cut_up(geometries, class_ids))

    @cached_property
    def painter(self) -> Painter:
        """Draws the polygons into masks of class ids."""
        from rv_pipeline.vectors.rasterize import Painter

        return Painter(self.geometries, self.class_ids)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """The area of each polygon in square pixels [N]."""
        areas: NDArray[np.float64] = shapely.area(self.geometries)
        return areas

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """x0, y0, x1, y1 of each polygon [N, 4]."""
        bounds: NDArray[np.float64] = shapely.bounds(self.geometries)
        return bounds


def _merge_overlaps(features: Features) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The polygons with those of one class that overlap replaced by their union."""
    geometries, class_ids = features.geometries, features.class_ids
    one, other = features.tree.query(geometries, predicate="intersects")
    pairs = (one < other) & (class_ids[one] == class_ids[other])
    one, other = one[pairs], other[pairs]
    shared = shapely.area(shapely.intersection(geometries[one], geometries[other])) > 0
    if not shared.any():
        return geometries, class_ids
    groups = connected(len(features), one[shared], other[shared])
    sizes = np.bincount(groups, minlength=len(features))
    alone = sizes[groups] == 1
    members: dict[int, list[int]] = {}
    for index in np.flatnonzero(~alone).tolist():
        members.setdefault(int(groups[index]), []).append(index)
    merged = np.empty(len(members), object)
    for place, group in enumerate(members.values()):
        merged[place] = shapely.union_all(geometries[group])
    firsts = [group[0] for group in members.values()]
    return (
        np.concatenate([geometries[alone], merged]),
        np.concatenate([class_ids[alone], class_ids[firsts]]),
    )


def connected(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ``count`` items the smallest item it is linked to, directly or not."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(item) for item in range(count)], np.int64)


def _cut_up(
    geometries: NDArray[Any], class_ids: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The polygons with those of many points cut into pieces of few."""
    long = shapely.get_num_coordinates(geometries) > _MANY_POINTS
    if not long.any():
        return geometries, class_ids
    pieces: list[Any] = []
    owners: list[int] = []
    for index in np.flatnonzero(long).tolist():
        found = _pieces(geometries[index], depth=24)
        pieces.extend(found)
        owners.extend([index] * len(found))
    cut = np.empty(len(pieces), object)
    cut[:] = pieces
    return (
        np.concatenate([geometries[~long], cut]),
        np.concatenate([class_ids[~long], class_ids[owners]]),
    )


def _pieces(geometry: Any, depth: int) -> list[Any]:
    if geometry.is_empty:
        return []
    if depth == 0 or shapely.get_num_coordinates(geometry) <= _MANY_POINTS:
        return [geometry]
    x0, y0, x1, y1 = geometry.bounds
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    wide = x1 - x0 > y1 - y0
    halves = [(x0, y0, x, y1), (x, y0, x1, y1)] if wide else [(x0, y0, x1, y), (x0, y, x1, y1)]
    return [
        piece
        for half in halves
        for piece in _pieces(shapely.intersection(geometry, shapely.box(*half)), depth - 1)
    ]
