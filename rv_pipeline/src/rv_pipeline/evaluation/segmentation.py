"""Figures of a segmentation: by pixels, and by the polygons that become of them.

By pixels, with ``M[t][p]`` pixels of true class ``t`` predicted as ``p``, precision, recall, F1,
support and accuracy are those of `rv_pipeline.evaluation.classification`, and

- IoU of ``c``: ``M[c][c] / (sum_t M[t][c] + sum_p M[c][p] - M[c][c])``, intersection over union;
- mean IoU: the plain mean over the classes that occur, as truth or as prediction;
- frequency-weighted IoU: the mean over all classes, each weighing by its support.

Pixels that are 255 in either, unlabelled or without data, count nowhere.

By polygons, a predicted polygon is right where it matches a true one of its class: their IoU
reaches a threshold, and neither is matched otherwise. Pairs are made from the best IoU down. Of a
true one only what lies in the scene is asked for, and each part of it that is apart for itself, as
that is how polygons come of pixels. ``count_error`` is by how much the predicted ones outnumber the
true ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import shapely

from rv_pipeline.evaluation import classification

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import Window
    from rv_pipeline.vectors import Features

    Counts = NDArray[np.int64]


def count(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """The confusion matrix [n, n] of two masks of class ids of one shape."""
    pairs = truth.astype(np.uint16) << 8 | predicted
    counts = np.bincount(pairs.reshape(-1), minlength=1 << 16).reshape(256, 256)
    return counts[:classes, :classes].astype(np.int64)


def summary(counts: Counts, names: Sequence[str]) -> dict[str, Any]:
    """All figures of a confusion matrix [n, n] of pixels, JSON-able."""
    matrix = tuple(map(tuple, counts.tolist()))
    figures = classification.summary(matrix, names)
    figures["pixels"] = figures.pop("cells")
    rows, columns, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    union = rows + columns - hits
    iou = np.divide(hits, union, out=np.zeros(len(names)), where=union > 0)
    for name, value in zip(names, iou.tolist(), strict=True):
        figures["classes"][name]["iou"] = value
    figures["mean_iou"] = float(iou[union > 0].mean()) if (union > 0).any() else 0.0
    total = int(rows.sum())
    figures["frequency_weighted_iou"] = float((iou * rows).sum() / total) if total else 0.0
    return figures


@attrs.frozen
class Matches:
    """Polygons of a class: how many are true (``support``), ``predicted``, and ``matched``; and
    ``iou_sum``, that of the matches."""

    support: int = 0
    predicted: int = 0
    matched: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            self.support + other.support,
            self.predicted + other.predicted,
            self.matched + other.matched,
            self.iou_sum + other.iou_sum,
        )

    def figures(self) -> dict[str, Any]:
        """JSON-able; a ratio whose denominator is 0 counts as 0."""
        ends = self.support + self.predicted
        return {
            "precision": self.matched / self.predicted if self.predicted else 0.0,
            "recall": self.matched / self.support if self.support else 0.0,
            "f1": 2 * self.matched / ends if ends else 0.0,
            "support": self.support,
            "predicted": self.predicted,
            "count_error": self.predicted - self.support,
            "mean_matched_iou": self.iou_sum / self.matched if self.matched else 0.0,
        }


def match_polygons(
    truth: Features,
    predicted: Features,
    class_id: int,
    iou_thresh: float,
    aoi: NDArray[Any],
    extent: Window,
) -> Matches:
    """The matches of a class in a scene of this ``extent``. ``aoi``: the areas of interest [N]; a
    polygon counts if at least half of it lies inside. All for none."""
    one = _inside(_clipped(truth.geometries[truth.class_ids == class_id], extent), aoi)
    other = _inside(predicted.geometries[predicted.class_ids == class_id], aoi)
    if len(one) == 0 or len(other) == 0:
        return Matches(len(one), len(other))
    left, right = shapely.STRtree(other).query(one, predicate="intersects")
    shared = shapely.area(shapely.intersection(one[left], other[right]))
    iou = shared / (shapely.area(one)[left] + shapely.area(other)[right] - shared)
    enough = np.flatnonzero(iou >= iou_thresh)
    order = enough[np.lexsort((right[enough], left[enough], -iou[enough]))]
    taken: set[int] = set()
    found: set[int] = set()
    total = 0.0
    for pair in order.tolist():
        a, b = int(left[pair]), int(right[pair])
        if a in found or b in taken:
            continue
        found.add(a)
        taken.add(b)
        total += float(iou[pair])
    return Matches(len(one), len(other), len(found), total)


def _clipped(polygons: NDArray[Any], extent: Window) -> NDArray[Any]:
    """What of the polygons lies in the scene, part by part."""
    left, top = extent.col_off, extent.row_off
    scene = shapely.box(left, top, left + extent.width, top + extent.height)
    shapely.prepare(scene)
    whole = shapely.covers(scene, polygons)
    cut = shapely.intersection(polygons[~whole], scene)
    parts = shapely.get_parts(np.concatenate([polygons[whole], cut]))
    kept: NDArray[Any] = parts[shapely.area(parts) > 0]
    return kept


def _inside(polygons: NDArray[Any], aoi: NDArray[Any]) -> NDArray[Any]:
    if len(aoi) == 0 or len(polygons) == 0:
        return polygons
    area = shapely.union_all(aoi)
    shapely.prepare(area)
    kept = shapely.covers(area, polygons)
    cut = np.flatnonzero(~kept & shapely.intersects(area, polygons))
    shared = shapely.area(shapely.intersection(polygons[cut], area))
    kept[cut] = shared >= shapely.area(polygons[cut]) / 2
    inside: NDArray[Any] = polygons[kept]
    return inside
