"""Boxes: their geometry, and which of several say the same.

Boxes are float arrays [M, 4], each ymin, xmin, ymax, xmax in pixels, half-open: pixel (row, col)
is inside where ymin <= row < ymax and xmin <= col < xmax. Results are float64, which keeps the
thousandth of a pixel in any scene, whereas float32 holds it to 8192 px only. A box whose ymax or
xmax is not beyond its ymin or xmin is empty: it has no area and overlaps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from rv_pipeline.windows import bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import Window

    Boxes = NDArray[np.floating[Any]]
    Found = NDArray[np.float64]
    Indices = NDArray[np.int64]

_FEW: Final = 64  # boxes of which a matrix is quicker than an index
_BATCH: Final = 512  # of boxes to ask an index for: pairs of boxes that all overlap stay few


def of_geometries(geometries: NDArray[Any]) -> Found:
    """The boxes [N, 4] around shapely geometries [N] in pixel coordinates; 0 for empty ones."""
    around: Found = shapely.bounds(geometries).reshape(-1, 4)
    return np.nan_to_num(around[:, [1, 0, 3, 2]])


def of_windows(windows: Sequence[Window]) -> Found:
    """Windows as boxes [N, 4]."""
    return bounds(windows)[:, [1, 0, 3, 2]]


def polygons(boxes: Boxes) -> NDArray[Any]:
    """The boxes as shapely polygons [M] in pixel coordinates (x = column, y = row)."""
    ymin, xmin, ymax, xmax = np.asarray(boxes, np.float64).T
    made: NDArray[Any] = shapely.box(xmin, ymin, xmax, ymax)
    return made


def shifted(boxes: Boxes, rows: float, cols: float) -> Found:
    """The boxes moved: by a window's offsets from its pixels to the scene's, by their negative
    back again."""
    moved: Found = np.asarray(boxes, np.float64) + np.array([rows, cols, rows, cols], np.float64)
    return moved


def clip(boxes: Boxes, window: Window) -> Found:
    """What lies inside a window; boxes outside become empty ones on its border."""
    return intersection(boxes, np.broadcast_to(of_windows([window]), (len(boxes), 4)))


def areas(boxes: Boxes) -> Found:
    """Square pixels [M]; 0 for empty boxes."""
    ymin, xmin, ymax, xmax = np.asarray(boxes, np.float64).T
    area: Found = np.clip(ymax - ymin, 0, None) * np.clip(xmax - xmin, 0, None)
    return area


def intersection(one: Boxes, other: Boxes) -> Found:
    """Of each pair [M, 4], [M, 4] the box that is in both; empty ones lie on the border of the
    second."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    low = np.clip(one[:, :2], other[:, :2], other[:, 2:])
    high = np.clip(one[:, 2:], other[:, :2], other[:, 2:])
    return np.concatenate([low, np.maximum(low, high)], axis=1)


def union(boxes: Boxes) -> Found:
    """The box [4] around boxes [M, 4], of which there is at least one."""
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def pair_ioa(one: Boxes, other: Boxes) -> Found:
    """Of each pair [M, 4], [M, 4] the share of the first that lies inside the second, 0..1."""
    return _share(areas(intersection(one, other)), areas(one))


def pair_iou(one: Boxes, other: Boxes) -> Found:
    """Of each pair [M, 4], [M, 4] the intersection over the union, 0..1."""
    shared = areas(intersection(one, other))
    return _share(shared, areas(one) + areas(other) - shared)


def iou(one: Boxes, other: Boxes) -> Found:
    """Intersection over union [M, N] of boxes [M, 4] with boxes [N, 4], 0..1."""
    low = np.maximum(np.asarray(one)[:, None, :2], np.asarray(other)[None, :, :2])
    high = np.minimum(np.asarray(one)[:, None, 2:], np.asarray(other)[None, :, 2:])
    shared = np.clip((high - low).astype(np.float64), 0, None).prod(axis=2)
    return _share(shared, areas(one)[:, None] + areas(other)[None, :] - shared)


def ioa(boxes: Boxes, window: Window) -> Found:
    """The share [M] of each box that lies inside a window, 0..1; 0 for empty boxes."""
    return _share(areas(clip(boxes, window)), areas(boxes))


def _share(part: Found, whole: Found) -> Found:
    share: Found = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return share


def overlapping(one: Boxes, other: Boxes, tree: shapely.STRtree | None = None) -> Indices:
    """The pairs [2, P] of indices into ``one`` and ``other`` whose boxes share some area, sorted.

    ``tree``: the index of ``other`` (`shapely.STRtree` of its `polygons`) where there is one.
    """
    if len(one) == 0 or len(other) == 0:
        return np.empty((2, 0), np.int64)
    if tree is None:
        tree = shapely.STRtree(polygons(other))
    a, b = tree.query(polygons(one))
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    shared = areas(intersection(one[a], other[b])) > 0
    a, b = a[shared], b[shared]
    order = np.lexsort((b, a))
    return np.stack([a[order], b[order]]).astype(np.int64)


def ranking(
    boxes: Boxes, scores: NDArray[np.floating[Any]], class_ids: NDArray[np.integer[Any]]
) -> Indices:
    """The indices of boxes [M], the best score first. Equal scores go from the top down, then from
    left to right, then by class: the same boxes have one order, however they were ordered
    before."""
    ymin, xmin, ymax, xmax = np.asarray(boxes, np.float64).T
    return np.lexsort((class_ids, xmax, ymax, xmin, ymin, -np.asarray(scores, np.float64)))


def nms(
    boxes: Boxes,
    scores: NDArray[np.floating[Any]],
    class_ids: NDArray[np.integer[Any]],
    threshold: float,
) -> Indices:
    """Non-maximum suppression, class by class: which boxes stay, the best score first.

    From the best score down, a box stays unless a better one of its class that stays overlaps it
    by an intersection over union of more than ``threshold``. Empty boxes do not stay.

    Boxes are looked up by place, a few hundred at a time: the time grows with the number of boxes
    and of overlaps, the memory with that of boxes, be they all in one spot.
    """
    boxes = np.asarray(boxes, np.float64)
    order = ranking(boxes, scores, class_ids)
    order = order[areas(boxes[order]) > 0]
    stays = np.zeros(len(boxes), np.bool_)
    for class_id in np.unique(class_ids).tolist():
        members = order[np.asarray(class_ids)[order] == class_id]
        stays[members[_greedy(boxes[members], threshold)]] = True
    return order[stays[order]]


def _greedy(boxes: Found, threshold: float) -> Indices:
    """Which of these boxes stay, the best being first."""
    alive = np.ones(len(boxes), np.bool_)
    if threshold >= 1:
        return np.flatnonzero(alive)
    tree = shapely.STRtree(polygons(boxes)) if len(boxes) > _BATCH else None
    start = 0
    while start < len(boxes):
        batch = start + np.flatnonzero(alive[start : start + 8 * _BATCH])[:_BATCH]
        if len(batch) == 0:
            start += 8 * _BATCH
            continue
        # Among themselves first, one after the other; what then stays rules out what comes after.
        one, other = _rivals(boxes[batch], threshold)
        for better, worse in zip(batch[one].tolist(), batch[other].tolist(), strict=True):
            if alive[better]:
                alive[worse] = False
        start = int(batch[-1]) + 1
        if tree is None:
            continue
        kept = batch[alive[batch]]
        for piece in np.array_split(kept, max(1, len(kept) // 64)):
            one, other = tree.query(polygons(boxes[piece]))
            one = piece[one]
            later = (other >= start) & alive[other]
            one, other = one[later], other[later]
            alive[other[pair_iou(boxes[one], boxes[other]) > threshold]] = False
    return np.flatnonzero(alive)


def _rivals(boxes: Found, threshold: float) -> tuple[Indices, Indices]:
    """The pairs of boxes, the better one first, of which only one can stay; the best come first."""
    if len(boxes) <= _FEW:
        one, other = np.nonzero(np.triu(iou(boxes, boxes) > threshold, k=1))
        return one, other
    one, other = overlapping(boxes, boxes)
    rival = (one < other) & (pair_iou(boxes[one], boxes[other]) > threshold)
    return one[rival], other[rival]
