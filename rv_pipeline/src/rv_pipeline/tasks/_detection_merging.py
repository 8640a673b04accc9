"""From what a model finds in overlapping windows to the objects of a scene, each of them once.

An object is in several windows, whole in some and cut by the border of others. Windows of a size
that are a stride apart hold every object of up to size - stride pixels whole. So:

1. Boxes that no inner border of their window cuts are whole: per-class suppression leaves one of
   each object.
2. A cut box of which more than the threshold lies inside a whole one of its class is a piece of it,
   and goes.
3. Of the cut boxes that remain, no window showed the whole. Two of a class, from two windows, are
   pieces of one object if they agree where both windows look: there, the intersection over union
   of what is left of them is above the threshold. Pieces of one object become the box around them,
   with the best score; so objects larger than size - stride, even than a window, are found whole by
   a model that boxes what it sees of them.
4. Pieces that lie inside such a box go; suppression goes over everything once more.

The sides of the scene cut nothing: no window shows more of an object there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import attrs
import numpy as np

from rv_pipeline import boxes as geometry
from rv_pipeline.vectors.features import connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rv_core import Window

_MARGIN: Final = 64  # a box that ends within 1/64 of a window from its border may be cut


@attrs.frozen(eq=False)
class Findings:
    """What was found: ``boxes`` float64 [M, 4] in pixels of the scene, ``class_ids`` int64 [M],
    ``scores`` float32 [M], and ``windows`` float64 [M, 4]: the windows, as boxes, it was found
    in."""

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    windows: NDArray[np.float64]

    @classmethod
    def none(cls) -> Self:
        empty = np.empty((0, 4))
        return cls(empty, np.empty(0, np.int64), np.empty(0, np.float32), empty)

    @classmethod
    def together(cls, several: Sequence[Findings]) -> Self:
        several = [cls.none(), *several]
        return cls(
            np.concatenate([f.boxes for f in several]),
            np.concatenate([f.class_ids for f in several]),
            np.concatenate([f.scores for f in several]),
            np.concatenate([f.windows for f in several]),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Findings:
        return Findings(
            self.boxes[chosen], self.class_ids[chosen], self.scores[chosen], self.windows[chosen]
        )

    def best(self, threshold: float) -> Findings:
        """What non-maximum suppression leaves, the best first."""
        return self[geometry.nms(self.boxes, self.scores, self.class_ids, threshold)]


def merge(found: Findings, extent: Window, threshold: float) -> Findings:
    """The objects of a scene, the best score first; the same whatever the order of ``found``."""
    cut = cut_boxes(found, extent)
    whole = found[~cut].best(threshold)
    pieces = _not_inside(found[cut], whole, threshold)
    stitched, single = _stitch(pieces, threshold)
    stitched = stitched.best(threshold)
    return Findings.together([whole, stitched, _not_inside(single, stitched, threshold)]).best(
        threshold
    )


def cut_boxes(found: Findings, extent: Window) -> NDArray[np.bool_]:
    """Which boxes [M] reach to a border of their window that is not one of the scene."""
    scene = geometry.of_windows([extent])
    sides = found.windows
    margin = np.maximum(1.0, (sides[:, 2:] - sides[:, :2]) / _MARGIN)
    low = (found.boxes[:, :2] < sides[:, :2] + margin) & (sides[:, :2] > scene[:, :2])
    high = (found.boxes[:, 2:] > sides[:, 2:] - margin) & (sides[:, 2:] < scene[:, 2:])
    cut: NDArray[np.bool_] = np.logical_or.reduce([*low.T, *high.T])
    return cut


def _not_inside(pieces: Findings, objects: Findings, threshold: float) -> Findings:
    """The pieces of which no object of their class covers more than the threshold."""
    piece, around = geometry.overlapping(pieces.boxes, objects.boxes)
    covered = (pieces.class_ids[piece] == objects.class_ids[around]) & (
        geometry.pair_ioa(pieces.boxes[piece], objects.boxes[around]) > threshold
    )
    stays = np.ones(len(pieces), np.bool_)
    stays[piece[covered]] = False
    return pieces[stays]


def _stitch(pieces: Findings, threshold: float) -> tuple[Findings, Findings]:
    """Objects made of several pieces, and the pieces that are alone."""
    one, other = geometry.overlapping(pieces.boxes, pieces.boxes)
    pairs = (
        (one < other)
        & (pieces.class_ids[one] == pieces.class_ids[other])
        & (pieces.windows[one] != pieces.windows[other]).any(axis=1)
    )
    one, other = one[pairs], other[pairs]
    agree = (
        geometry.pair_iou(
            geometry.intersection(pieces.boxes[one], pieces.windows[other]),
            geometry.intersection(pieces.boxes[other], pieces.windows[one]),
        )
        > threshold
    )
    group = connected(len(pieces), one[agree], other[agree])
    firsts, member, sizes = np.unique(group, return_inverse=True, return_counts=True)
    low = np.full((len(firsts), 2), np.inf)
    high = np.full((len(firsts), 2), -np.inf)
    best = np.zeros(len(firsts), np.float32)
    np.minimum.at(low, member, pieces.boxes[:, :2])
    np.maximum.at(high, member, pieces.boxes[:, 2:])
    np.maximum.at(best, member, pieces.scores)
    around = Findings(
        np.concatenate([low, high], axis=1), pieces.class_ids[firsts], best, pieces.windows[firsts]
    )
    return around[sizes > 1], pieces[sizes[member] == 1]
