"""Where predictions differ from labels, drawn over the picture of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely

from rv_core import UNLABELLED, BoxLabels, ChipLabel, Label, PixelLabels, Window
from rv_pipeline.report.drawing import Frame, LabelLayer, class_mask, in_scene
from rv_pipeline.report.palette import CONFUSED, CORRECT, FALSE, MISSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: Final = ("correct", "missed", "false", "confused")
"""How a prediction can be to its label, in the order of `MistakeLayer.counts`."""

IOU: Final = 0.5
"""Intersection over union from which on a predicted box and a labelled one are of one object."""

_CORRECT, _MISSED, _FALSE, _CONFUSED = range(4)
_QUIET: Final = 24  # of 255: how strongly what is correct is filled


class MistakeLayer(LabelLayer):
    """A layer that shows, of each window, how its prediction differs from its label.

    ``background``: the class id that stands for "nothing": something predicted there is *false*,
    something labelled but predicted as it is *missed*. Without one, whatever is of another class
    than its label is *confused*. Pixels and cells without a label or prediction stay clear; so do
    pixels that are correct. ``counts``: how many cells, boxes or pixels are of each of `KINDS`.
    """

    def __init__(self, frame: Frame, background: int | None = None) -> None:
        super().__init__(frame, (CORRECT, MISSED, FALSE, CONFUSED))
        self.background = background
        self.counts = [0, 0, 0, 0]

    def compare(self, window: Window, truth: Label | None, predicted: Label | None) -> None:
        """Draw the mistakes of a window."""
        if isinstance(truth, ChipLabel) and isinstance(predicted, ChipLabel):
            kind = int(self._kinds(np.array(truth.class_id), np.array(predicted.class_id)))
            self.counts[kind] += 1
            self.add_cell(window, self.colors[kind], _QUIET if kind == _CORRECT else 150)
        elif isinstance(truth, PixelLabels) and isinstance(predicted, PixelLabels):
            self._compare_pixels(window, class_mask(truth), class_mask(predicted))
        elif isinstance(truth, BoxLabels) and isinstance(predicted, BoxLabels):
            self._compare_boxes(window, truth, predicted)

    def _kinds(self, truth: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.uint8]:
        kinds = np.where(truth == predicted, _CORRECT, _CONFUSED)
        if self.background is not None:
            kinds = np.where((truth == self.background) & (kinds != _CORRECT), _FALSE, kinds)
            kinds = np.where((predicted == self.background) & (kinds != _CORRECT), _MISSED, kinds)
        found: NDArray[np.uint8] = kinds.astype(np.uint8)
        return found

    def _compare_pixels(
        self, window: Window, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]
    ) -> None:
        known = (truth != UNLABELLED) & (predicted != UNLABELLED)
        wrong = known & (truth != predicted)
        missed = false = 0
        if self.background is not None:
            missed = int(np.count_nonzero(wrong & (predicted == self.background)))
            false = int(np.count_nonzero(wrong & (truth == self.background)))
        errors = int(np.count_nonzero(wrong))
        correct = int(np.count_nonzero(known)) - errors
        found = (correct, missed, false, errors - missed - false)
        self.counts = [a + b for a, b in zip(self.counts, found, strict=True)]
        place, index = self.frame.samples(window)
        kinds = self._kinds(truth[index], predicted[index])
        kinds[~wrong[index]] = UNLABELLED
        self.add_pixels(place, kinds)

    def _compare_boxes(self, window: Window, truth: BoxLabels, predicted: BoxLabels) -> None:
        true_boxes = in_scene(truth.boxes, window)
        boxes = in_scene(predicted.boxes, window)
        matches = match_boxes(truth, predicted)
        for partner, box in zip(matches.of_truth, true_boxes, strict=True):
            if partner is None:
                self.counts[_MISSED] += 1
                self.add_box(box, self.colors[_MISSED], dashed=True)
        for partner, same, box in zip(matches.of_predicted, matches.same_class, boxes, strict=True):
            kind = _FALSE if partner is None else _CORRECT if same else _CONFUSED
            self.counts[kind] += 1
            self.add_box(box, self.colors[kind])


@attrs.frozen
class BoxMatches:
    """``of_truth`` [N]: the predicted box of each labelled one, or ``None``. ``of_predicted`` [M]:
    the reverse. ``same_class`` [M]: whether a predicted box and its partner are of one class."""

    of_truth: Sequence[int | None]
    of_predicted: Sequence[int | None]
    same_class: Sequence[bool]


def match_boxes(truth: BoxLabels, predicted: BoxLabels, iou: float = IOU) -> BoxMatches:
    """Partners of at least this intersection over union: those of one class first, then those of
    different classes; the higher score, then the greater overlap, chooses first."""
    one, other, overlaps = _overlapping(truth.boxes, predicted.boxes)
    near = overlaps >= iou
    one, other, overlaps = one[near], other[near], overlaps[near]
    same = np.asarray(truth.class_ids)[one] == np.asarray(predicted.class_ids)[other]
    scores = np.zeros(len(other)) if predicted.scores is None else predicted.scores[other]
    of_truth: list[int | None] = [None] * len(truth.boxes)
    of_predicted: list[int | None] = [None] * len(predicted.boxes)
    same_class = [False] * len(predicted.boxes)
    for pair in np.lexsort((-overlaps, -scores, ~same)).tolist():
        t, p = int(one[pair]), int(other[pair])
        if of_truth[t] is None and of_predicted[p] is None:
            of_truth[t], of_predicted[p], same_class[p] = p, t, bool(same[pair])
    return BoxMatches(of_truth, of_predicted, same_class)


def _overlapping(
    one: NDArray[Any], other: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Indices of boxes that overlap, and the intersection over union of each pair."""
    one = np.asarray(one, np.float64).reshape(-1, 4)
    other = np.asarray(other, np.float64).reshape(-1, 4)
    tree = shapely.STRtree(shapely.box(one[:, 1], one[:, 0], one[:, 3], one[:, 2]))
    query = shapely.box(other[:, 1], other[:, 0], other[:, 3], other[:, 2])
    second, first = tree.query(query)
    a, b = one[first], other[second]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared
    overlaps: NDArray[np.float64] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return first, second, overlaps
