"""Where predictions differ from labels, drawn over the picture of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_core import UNLABELLED, BoxLabels, ChipLabel, Label, PixelLabels, Window
from rv_pipeline.evaluation.box_pairs import pair_boxes
from rv_pipeline.report.drawing import Frame, LabelLayer, class_mask, in_scene
from rv_pipeline.report.palette import CONFUSED, CORRECT, FALSE, MISSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: Final = ("correct", "missed", "false", "confused")
"""How a prediction can be to its label, in the order of `MistakeLayer.counts`."""

_CORRECT, _MISSED, _FALSE, _CONFUSED = range(4)
_QUIET: Final = 24  # of 255: how strongly what is correct is filled


class MistakeLayer(LabelLayer):
    """A layer that shows, of each window, how its prediction differs from its label.

    ``background``: the class id that stands for "nothing": something predicted there is *false*,
    something labelled but predicted as it is *missed*. Without one, whatever is of another class
    than its label is *confused*. Pixels and cells without a label or prediction stay clear; so do
    pixels that are correct. ``aoi``: the polygons [N] of the area of interest; boxes that it does
    not hold stay clear too. ``counts``: how many cells, boxes or pixels are of each of `KINDS`.
    """

    def __init__(
        self, frame: Frame, background: int | None = None, aoi: NDArray[Any] | None = None
    ) -> None:
        super().__init__(frame, (CORRECT, MISSED, FALSE, CONFUSED))
        self.background = background
        self.aoi = np.empty(0, object) if aoi is None else aoi
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
        truth = attrs.evolve(truth, boxes=in_scene(truth.boxes, window).astype(np.float32))
        predicted = attrs.evolve(
            predicted, boxes=in_scene(predicted.boxes, window).astype(np.float32)
        )
        pairs = pair_boxes(truth, predicted, self.aoi)
        for missed in np.flatnonzero(pairs.truth_counts & (pairs.of_truth < 0)).tolist():
            self.counts[_MISSED] += 1
            self.add_box(truth.boxes[missed], self.colors[_MISSED], dashed=True)
        for said in np.flatnonzero(pairs.predicted_counts).tolist():
            partner = int(pairs.of_predicted[said])
            same = partner >= 0 and truth.class_ids[partner] == predicted.class_ids[said]
            kind = _FALSE if partner < 0 else _CORRECT if same else _CONFUSED
            self.counts[kind] += 1
            self.add_box(predicted.boxes[said], self.colors[kind])
