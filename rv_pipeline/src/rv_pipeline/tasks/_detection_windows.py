"""Which windows of a scene become chips for object detection, and the boxes on each.

A label counts for a window if at least ``ioa_thresh`` of its box lies inside; it is clipped to the
window then. Of any other label that reaches into the window, a sliver, there is no box; its pixels
stay, so a model learns that slivers are background. A window on which no label counts is a negative
one; it becomes a chip only if no label has more than ``neg_ioa_thresh`` of its box in it, so that
no model learns that the greater part of an object is background.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely

from rv_core import BoxLabels, Window
from rv_pipeline import boxes as geometry
from rv_pipeline.evaluation.detection import SCORE_ROUNDING
from rv_pipeline.windows import Good, first, inside, slide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.vectors import Features

    Ids = NDArray[np.int64]

logger = logging.getLogger(__name__)

_TRIES: Final = 16  # places for a window around a label, where most lie outside the AOI
_ROUNDS: Final = 8  # of places for negatives at random, each four times as many as are wanted
_MAX_PLACES: Final = 200_000  # to look at one by one where chance did not find enough negatives
_LOOKS: Final = 5000  # of those, where data is looked for
_ROUNDING: Final = 1e-6  # labels drawn in another CRS lie on a border but for this share


@attrs.frozen(eq=False, slots=False)
class SceneBoxes:
    """The objects of a scene: boxes float64 [N, 4], of each only what lies inside the scene, their
    classes [N], and their scores float32 [N] where they are predicted."""

    boxes: NDArray[np.float64]
    class_ids: Ids
    scores: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, features: Features, extent: Window) -> SceneBoxes:
        """The boxes around polygons; those that only touch the scene are left out."""
        found = geometry.clip(geometry.of_geometries(features.geometries), extent)
        return cls(found, np.asarray(features.class_ids, np.int64)).only(geometry.areas(found) > 0)

    def only(self, good: NDArray[np.bool_]) -> SceneBoxes:
        """Some of them."""
        scores = None if self.scores is None else self.scores[good]
        return SceneBoxes(self.boxes[good], self.class_ids[good], scores)

    def of_score(self, threshold: float) -> SceneBoxes:
        """The predicted ones of at least this score."""
        assert self.scores is not None
        return self.only(self.scores >= threshold - SCORE_ROUNDING)

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(geometry.polygons(self.boxes))

    def shares(self, windows: Sequence[Window]) -> tuple[Ids, Ids, NDArray[np.float64]]:
        """Each case of a label that reaches into a window: which window, which label (indices [P],
        sorted), and the share [P] of the label's box inside, above 0."""
        around = geometry.of_windows(windows)
        window, label = geometry.overlapping(around, self.boxes, self.tree)
        return window, label, geometry.pair_ioa(self.boxes[label], around[window])


def box_labels(
    labels: SceneBoxes, windows: Sequence[Window], ioa_thresh: float = 0.0
) -> list[BoxLabels]:
    """The boxes on each window, clipped to it, in its pixels; slivers are left out."""
    window, label, share = labels.shares(windows)
    counts = share >= ioa_thresh - _ROUNDING
    window, label = window[counts], label[counts]
    starts = np.searchsorted(window, np.arange(len(windows) + 1))
    found = []
    for index, place in enumerate(windows):
        chosen = label[starts[index] : starts[index + 1]]
        inside_it = geometry.clip(labels.boxes[chosen], place)
        on_chip = geometry.shifted(inside_it, -place.row_off, -place.col_off)
        scores = None if labels.scores is None else labels.scores[chosen]
        found.append(BoxLabels(on_chip.astype(np.float32), labels.class_ids[chosen], scores))
    return found


@attrs.frozen(eq=False)
class Chooser:
    """Chooses the windows of a scene. ``aoi``: polygons [N] in pixel coordinates that windows lie
    inside of, what is beyond the scene not counting; none: everywhere is good. ``holds_data``:
    which windows [N] have a pixel with data in them."""

    labels: SceneBoxes
    extent: Window
    aoi: NDArray[Any]
    size: int
    ioa_thresh: float
    neg_ioa_thresh: float
    scene_id: str
    holds_data: Good

    def usable(self, windows: Sequence[Window]) -> list[Window]:
        """Those inside the area of interest that are positive, or negative without doubt."""
        positive, negative = self._kinds(windows)
        chosen = (positive | negative) & inside(windows, self.aoi, self.extent)
        return [window for window, good in zip(windows, chosen.tolist(), strict=True) if good]

    def around_labels(
        self, count: int | None, generator: np.random.Generator
    ) -> tuple[list[Window], int]:
        """Different windows each with a label somewhere in it; ``count``: how many, one a label if
        ``None``. There are fewer where labels leave little room for different ones.

        Every place that holds the label whole is equally likely; of a label larger than a window,
        every place that is wholly on it. Returns also how many labels no window can be made for.
        """
        wanted = len(self.labels) if count is None else count
        turns = self._turns(wanted, generator) if count is not None else np.arange(wanted)
        found: dict[Window, None] = {}
        tried: set[int] = set()
        served: set[int] = set()
        for _ in range(1 if count is None else _ROUNDS):
            windows, holds = self._one_each(turns, generator)
            found.update(dict.fromkeys(windows))
            tried.update(turns.tolist())
            served.update(turns[holds].tolist())
            if len(found) >= wanted or not windows:
                break
            turns = self._turns(wanted - len(found), generator)
        return list(found)[:wanted], len(tried - served)

    def _one_each(
        self, labels: Ids, generator: np.random.Generator
    ) -> tuple[list[Window], NDArray[np.bool_]]:
        """A window around each of these labels that one is good for, and which ones [N] that is."""
        low, high = self._room()
        tries = _TRIES if len(self.aoi) else 1
        shape = (len(labels), tries, 2)
        at = generator.integers(low[labels, None], high[labels, None], shape, endpoint=True)
        places = [Window(c, r, self.size, self.size) for r, c in at.reshape(-1, 2).tolist()]
        good = inside(places, self.aoi, self.extent).reshape(len(labels), tries)
        chosen = [places[n * tries + int(good[n].argmax())] for n in range(len(labels))]
        holds = good.any(axis=1) & self._kinds(chosen)[0]
        windows = [window for window, keep in zip(chosen, holds.tolist(), strict=True) if keep]
        return windows, holds

    def centred(self, buffer: int) -> list[Window]:
        """For each label a window with it in the centre, moved as far as it takes to lie inside the
        scene; where the label and ``buffer`` pixels around it are larger than a window, others
        around that one that cover them, less those that show too little of the label to have it
        and too much to be without."""
        found: list[Window] = []
        right, bottom = _ends(self.extent)
        for ymin, xmin, ymax, xmax in self.labels.boxes.tolist():
            rows = _spread(ymin - buffer, ymax + buffer, self.extent.row_off, bottom, self.size)
            cols = _spread(xmin - buffer, xmax + buffer, self.extent.col_off, right, self.size)
            found += [Window(c, r, self.size, self.size) for r in rows for c in cols]
        return self.usable(found)

    def negatives(self, count: int, generator: np.random.Generator) -> list[Window]:
        """So many different windows, anywhere in the area of interest, that are negative and hold
        data.

        First places at random, a bounded number of them; where they do not do, as in a crowd, all
        places of a fine grid, of which a bounded number is looked at for data. Says in a warning
        how many are missing where there is no room.
        """
        found: dict[Window, None] = {}
        right, bottom = _ends(self.extent)
        high = np.array(
            [
                max(self.extent.row_off, bottom - self.size),
                max(self.extent.col_off, right - self.size),
            ]
        )
        low = np.array([self.extent.row_off, self.extent.col_off])
        for _ in range(_ROUNDS):
            if len(found) >= count:
                break
            at = generator.integers(low, high, (4 * (count - len(found)), 2), endpoint=True)
            self._add(found, count, self._negative_of(at))
        if len(found) < count:
            room = float(np.prod((high - low + 1).astype(np.float64)))
            step = max(1, self.size // 8, int(np.ceil((room / _MAX_PLACES) ** 0.5)))
            places = slide(self.extent, self.size, step)
            at = np.array([(w.row_off, w.col_off) for w in places])
            places = self._negative_of(generator.permutation(at))[:_LOOKS]
            seen = self.holds_data(places).tolist()
            found.update(dict.fromkeys(compress(places, seen)))
        if len(found) < count:
            logger.warning(
                "scene %r has room for %d negative chips of the %d that were asked for: its "
                "labels, its area of interest and its pixels without data leave no more",
                self.scene_id,
                len(found),
                count,
            )
        return list(found)[:count]

    def _add(self, found: dict[Window, None], count: int, windows: Sequence[Window]) -> None:
        """Add as many of the windows with data as it takes to have ``count`` different ones."""
        fresh = [window for window in dict.fromkeys(windows) if window not in found]
        found.update(dict.fromkeys(first(count - len(found), fresh, self.holds_data)))

    def _negative_of(self, at: NDArray[np.int64]) -> list[Window]:
        windows = [Window(col, row, self.size, self.size) for row, col in at.tolist()]
        chosen = self._kinds(windows)[1] & inside(windows, self.aoi, self.extent)
        return [window for window, good in zip(windows, chosen.tolist(), strict=True) if good]

    def _kinds(self, windows: Sequence[Window]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which windows [N] a label counts for, and which [N] are negative without doubt."""
        window, _, share = self.labels.shares(windows)
        most = np.zeros(len(windows))
        np.maximum.at(most, window, share)
        positive = (most >= self.ioa_thresh - _ROUNDING) & (most > 0)
        return positive, ~positive & (most <= self.neg_ioa_thresh + _ROUNDING)

    def _turns(self, count: int, generator: np.random.Generator) -> Ids:
        """Which label each of ``count`` windows is for: all labels before one comes again."""
        rounds = -(-count // max(1, len(self.labels))) if len(self.labels) else 0
        order = [generator.permutation(len(self.labels)) for _ in range(rounds)]
        return np.concatenate([np.empty(0, np.int64), *order])[:count].astype(np.int64)

    def _room(self) -> tuple[Ids, Ids]:
        """The first and last offsets [N, 2] (row, col) of windows for each label."""
        right, bottom = _ends(self.extent)
        start = np.array([self.extent.row_off, self.extent.col_off])
        last = np.maximum(start, np.array([bottom, right]) - self.size)
        one = np.floor(self.labels.boxes[:, :2])
        other = np.ceil(self.labels.boxes[:, 2:]) - self.size
        low, high = np.minimum(one, other), np.maximum(one, other)
        return (
            np.clip(low, start, last).astype(np.int64),
            np.clip(high, start, last).astype(np.int64),
        )


def _ends(extent: Window) -> tuple[int, int]:
    return extent.col_off + extent.width, extent.row_off + extent.height


def _spread(low: float, high: float, start: int, end: int, size: int) -> list[int]:
    """Offsets of as few windows as cover low..high, at equal distances, one in its centre."""
    count = max(1, int(np.ceil((high - low) / size)))
    count += 1 - count % 2
    first = (low + high - size) / 2 if count == 1 else low
    step = 0.0 if count == 1 else (high - low - size) / (count - 1)
    last = max(start, end - size)
    spread = (min(max(start, round(first + n * step)), last) for n in range(count))
    return list(dict.fromkeys(spread))
