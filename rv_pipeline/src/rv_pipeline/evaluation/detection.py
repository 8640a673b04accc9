"""Figures of object detection: COCO's average precision, and what is right at the score threshold.

Of each class and scene, predictions are matched with labels as COCO's reference evaluation does it
(Lin et al., 2014; cocodataset.org/#detection-eval): from the best score down, each takes the label
that is still free with the largest intersection over union of at least the threshold. With the
matches of all scenes in the order of their scores:

- precision after k predictions: those of the k with a label / k; recall: those / all labels;
- average precision: the mean over recalls 0, 0.01 ... 1 of the best precision at that recall or a
  larger one; ``ap`` is its mean over the thresholds .50, .55 ... .95, ``ap50`` and ``ap75`` are at
  one; the overall figures are means over the classes that have labels.

One thing differs: COCO looks at the best 100 predictions of an image, made for photographs. A scene
may hold thousands of objects, so here all of its predictions count.

``precision``, ``recall`` and ``f1`` are at an IoU of .50, over predictions of at least the score
threshold; ``support`` is the number of labels, ``predicted`` that of predictions, and
``count_error`` by how much the second exceeds the first.

Areas of interest say where labels are complete, so what is not wholly inside them neither counts
as missed nor as wrong: a label that crosses the border or lies beyond it is what COCO calls a
crowd (it may go without a prediction, and a prediction does not count if the threshold's share of
it lies on the crowd), and a prediction that is not wholly inside counts only if it matches a label
that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_pipeline import boxes as geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""The intersections over union from which a prediction is right."""

SCORE_ROUNDING: Final = 1e-6
"""What a score may have lost in the file it was written to."""

_RECALLS: Final = np.linspace(0, 1, 101)
_WHOLE: Final = 0.999  # of a box inside the area of interest: it was drawn in another CRS


@attrs.frozen(eq=False)
class Matches:
    """What came of the predictions of one class, the best score first.

    ``scores`` float64 [D]; ``hits`` bool [T, D]: those that took a label, at each of the
    `THRESHOLDS`; ``ignored`` bool [T, D]: those that do not count; ``support``: how many labels do.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    support: int

    @classmethod
    def together(cls, several: Iterable[Matches]) -> Matches:
        """Those of several scenes."""
        found = [cls.none(), *several]
        scores = np.concatenate([m.scores for m in found])
        order = np.argsort(-scores, kind="stable")
        return cls(
            scores[order],
            np.concatenate([m.hits for m in found], axis=1)[:, order],
            np.concatenate([m.ignored for m in found], axis=1)[:, order],
            sum(m.support for m in found),
        )

    @classmethod
    def none(cls) -> Matches:
        empty = np.zeros((len(THRESHOLDS), 0), np.bool_)
        return cls(np.zeros(0), empty, empty, 0)


def match(
    truth: NDArray[np.floating[Any]],
    predicted: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
    *,
    truth_counts: NDArray[np.bool_] | None = None,
    predicted_counts: NDArray[np.bool_] | None = None,
) -> Matches:
    """Match boxes [D, 4] predicted with ``scores`` [D] with the true ones [G, 4], all of one class
    and one scene.

    ``truth_counts`` [G]: false for labels that are crowds. ``predicted_counts`` [D]: false for
    predictions that do not count unless they take a label.
    """
    counts = np.ones(len(truth), np.bool_) if truth_counts is None else truth_counts
    # COCO's order: labels that count before crowds, predictions by their scores.
    labels = np.argsort(~counts, kind="stable")
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    truth, counts, predicted = truth[labels], counts[labels], predicted[order]
    found, label = geometry.overlapping(predicted, truth)
    overlap = np.where(
        counts[label],
        geometry.pair_iou(predicted[found], truth[label]),
        geometry.pair_ioa(predicted[found], truth[label]),
    )
    near = overlap >= THRESHOLDS[0] - 1e-9
    taken = _greedy(found[near], label[near], overlap[near], counts, len(predicted))
    hit_label = np.where(taken >= 0, counts[taken], False) if len(counts) else taken >= 0
    ignored = (taken >= 0) & ~hit_label
    if predicted_counts is not None:
        ignored |= (taken < 0) & ~predicted_counts[order]
    return Matches(
        np.asarray(scores, np.float64)[order], hit_label, ignored, int(np.count_nonzero(counts))
    )


def _greedy(
    found: NDArray[np.int64],
    label: NDArray[np.int64],
    overlap: NDArray[np.float64],
    counts: NDArray[np.bool_],
    predictions: int,
) -> NDArray[np.int64]:
    """The label [T, D] that each prediction takes at each threshold, -1 for none. The pairs come
    prediction by prediction, the best first, and label by label."""
    taken = np.full((len(THRESHOLDS), predictions), -1, np.int64)
    free = np.ones((len(THRESHOLDS), len(counts)), np.bool_)
    starts = np.searchsorted(found, np.arange(predictions + 1))
    for one in np.unique(found).tolist():
        pairs = range(starts[one], starts[one + 1])
        for level, threshold in enumerate(THRESHOLDS.tolist()):
            best, chosen = min(threshold, 1 - 1e-10), -1
            for pair in pairs:
                candidate = int(label[pair])
                if not counts[candidate] and chosen >= 0 and counts[chosen]:
                    break  # a label that counts goes before any crowd
                if overlap[pair] >= best and (free[level, candidate] or not counts[candidate]):
                    best, chosen = overlap[pair], candidate
            if chosen >= 0:
                taken[level, one] = chosen
                free[level, chosen] = False
    return taken


def average_precision(matches: Matches) -> NDArray[np.float64] | None:
    """The average precision [T] at each of the `THRESHOLDS`; ``None`` where there are no labels."""
    if not matches.support:
        return None
    found = np.zeros(len(THRESHOLDS))
    for level in range(len(THRESHOLDS)):
        counted = ~matches.ignored[level]
        hits = np.cumsum(matches.hits[level, counted])
        precision = hits / np.arange(1, len(hits) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        place = np.searchsorted(hits / matches.support, _RECALLS, side="left")
        reached = place < len(best)
        found[level] = best[place[reached]].sum() / len(_RECALLS)
    return found


def inside(boxes: NDArray[np.floating[Any]], aoi: NDArray[Any]) -> NDArray[np.bool_]:
    """Which boxes [M] lie wholly inside the polygons of an area of interest, but for a thousandth
    of their area; all, for no polygons."""
    import shapely

    if len(aoi) == 0:
        return np.ones(len(boxes), np.bool_)
    area = shapely.union_all(aoi)
    shapely.prepare(area)
    polygons = geometry.polygons(boxes)
    whole: NDArray[np.bool_] = shapely.covers(area, polygons)
    crossing = ~whole & shapely.intersects(area, polygons)
    share = shapely.area(shapely.intersection(area, polygons[crossing]))
    whole[crossing] = share >= _WHOLE * geometry.areas(boxes[crossing])
    return whole


def summary(
    scenes: Sequence[Sequence[Matches]], names: Sequence[str], score_thresh: float
) -> dict[str, Any]:
    """All figures of the matches of each class [K] in each scene [S], JSON-able.

    Average precisions are ``None`` where there are no labels. ``macro``: means over the classes
    that occur, as label or as prediction. ``count_mae``: the mean over the scenes of how many boxes
    there are too many or too few.
    """
    by_class = [Matches.together(scene[c] for scene in scenes) for c in range(len(names))]
    classes = {
        name: _class_figures(matches, score_thresh)
        for name, matches in zip(names, by_class, strict=True)
    }
    found = [ap for ap in map(average_precision, by_class) if ap is not None]
    precisions = np.mean(found, axis=0) if found else None
    present = [f for f in classes.values() if f["support"] or f["predicted"]]
    off = [abs(sum(_at(m, score_thresh)[1] - m.support for m in scene)) for scene in scenes]
    support = sum(f["support"] for f in classes.values())
    predicted = sum(f["predicted"] for f in classes.values())
    return {
        **_precisions(precisions),
        "classes": classes,
        "macro": {
            **{key: _mean([f[key] for f in present]) for key in ("precision", "recall", "f1")},
            "support": support,
        },
        "score_thresh": score_thresh,
        "iou_thresh": float(THRESHOLDS[0]),
        "boxes": support,
        "predicted": predicted,
        "count_error": predicted - support,
        "count_mae": _mean(off),
    }


def _class_figures(matches: Matches, score_thresh: float) -> Mapping[str, Any]:
    hits, predicted = _at(matches, score_thresh)
    support = matches.support
    return {
        **_precisions(average_precision(matches)),
        "precision": hits / predicted if predicted else 0.0,
        "recall": hits / support if support else 0.0,
        "f1": 2 * hits / (predicted + support) if predicted + support else 0.0,
        "support": support,
        "predicted": predicted,
        "count_error": predicted - support,
    }


def _at(matches: Matches, score_thresh: float) -> tuple[int, int]:
    """How many predictions of at least this score are right, and how many there are."""
    good = (matches.scores >= score_thresh - SCORE_ROUNDING) & ~matches.ignored[0]
    return int(np.count_nonzero(good & matches.hits[0])), int(np.count_nonzero(good))


def _precisions(found: NDArray[np.float64] | None) -> dict[str, float | None]:
    if found is None:
        return {"ap": None, "ap50": None, "ap75": None}
    return {"ap": float(found.mean()), "ap50": float(found[0]), "ap75": float(found[5])}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
