"""Which predicted box is of which label: what a confusion matrix and a picture of mistakes show.

A pair has an intersection over union of at least 0.5. Those of one class are made first, as COCO's
evaluation makes them, and of what is left over those of different classes: a label that was found
and called something else. What counts is as in `rv_pipeline.evaluation.detection`, so that the
figures there and the counts here agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import numpy as np

from rv_pipeline import boxes as geometry
from rv_pipeline.evaluation.detection import inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

IOU: Final = 0.5
"""Intersection over union from which on a predicted box and a labelled one are of one object."""

NOTHING: Final = "nothing"
"""What the last row and column of a confusion matrix of boxes are called."""


class Boxes(Protocol):
    """``boxes`` [N, 4] ymin, xmin, ymax, xmax; ``class_ids`` [N]; ``scores`` [N] of predictions."""

    @property
    def boxes(self) -> NDArray[Any]: ...
    @property
    def class_ids(self) -> NDArray[Any]: ...
    @property
    def scores(self) -> NDArray[Any] | None: ...


@attrs.frozen(eq=False)
class BoxPairs:
    """``of_truth`` int64 [N]: the predicted box of each label, -1 for none; ``of_predicted`` int64
    [M]: the reverse. ``truth_counts`` bool [N], ``predicted_counts`` bool [M]: false for what is
    neither right nor wrong, as the area of interest does not hold it."""

    of_truth: Ids
    of_predicted: Ids
    truth_counts: NDArray[np.bool_]
    predicted_counts: NDArray[np.bool_]


def pair_boxes(truth: Boxes, predicted: Boxes, aoi: NDArray[Any]) -> BoxPairs:
    """The pairs of a scene. ``aoi``: polygons [P] of its area of interest, in the pixels of the
    boxes; none for everywhere."""
    whole, within = inside(truth.boxes, aoi), inside(predicted.boxes, aoi)
    said, true = geometry.overlapping(predicted.boxes, truth.boxes)
    overlap = np.where(
        whole[true],
        geometry.pair_iou(predicted.boxes[said], truth.boxes[true]),
        geometry.pair_ioa(predicted.boxes[said], truth.boxes[true]),
    )
    same = np.asarray(truth.class_ids)[true] == np.asarray(predicted.class_ids)[said]
    good = (overlap >= IOU - 1e-9) & (same | (whole[true] & within[said]))
    said, true, overlap, same = said[good], true[good], overlap[good], same[good]
    scores = np.zeros(len(within)) if predicted.scores is None else np.asarray(predicted.scores)
    of_truth, of_predicted = np.full(len(whole), -1), np.full(len(within), -1)
    counts = within.copy()
    order = np.lexsort((-overlap, ~whole[true], said, -scores[said], ~same))
    for s, t in zip(said[order].tolist(), true[order].tolist(), strict=True):
        if of_predicted[s] >= 0 or (whole[t] and of_truth[t] >= 0):
            continue
        of_predicted[s], counts[s] = t, whole[t]
        if whole[t]:
            of_truth[t] = s
    return BoxPairs(of_truth, of_predicted, whole, counts)


def confusion(truth: Boxes, predicted: Boxes, aoi: NDArray[Any], classes: int) -> Ids:
    """Counts [n + 1, n + 1]: the row is the class of the label, the column that of the predicted
    box; the last row and column stand for nothing: boxes without a label, labels without a box."""
    pairs = pair_boxes(truth, predicted, aoi)
    true_ids = np.append(np.asarray(truth.class_ids, np.int64), classes)  # -1 finds the last
    said = pairs.predicted_counts
    rows = true_ids[pairs.of_predicted[said]]
    columns = np.asarray(predicted.class_ids, np.int64)[said]
    side = classes + 1
    counts = np.bincount(rows * side + columns, minlength=side * side).reshape(side, side)
    missed = true_ids[:-1][pairs.truth_counts & (pairs.of_truth < 0)]
    counts[:, classes] += np.bincount(missed, minlength=side)
    return counts
