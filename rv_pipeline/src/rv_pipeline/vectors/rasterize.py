"""Polygons as masks of class ids: of any window, the same pixels as of the whole scene.

A pixel is of the class whose polygon covers its centre. Where polygons of several classes do, the
class that is first in the class map lies on top; so a ``background`` at the end of the map may be
drawn as one large polygon below all others.

The pixels are those that GDAL's rasterisation of the whole scene gives (without "all touched").
GDAL itself, asked for a window, moves the polygons first, and the moved coordinates round
otherwise; here the scanlines of a window are filled in the coordinates of the scene, by GDAL's
formula, so that a pixel never depends on the window it is seen through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from rv_core import UNLABELLED, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rv_pipeline.vectors.features import Features

_FILLED_AT_ONCE: Final = 1 << 20  # pixels, which bounds the memory of filling


def rasterize(
    features: Features,
    window: Window,
    *,
    background: int = UNLABELLED,
    aoi: NDArray[Any] | None = None,
) -> NDArray[np.uint8]:
    """The class ids [H, W] of a window's pixels; ``background`` where no polygon is.

    ``aoi``: polygons [N] in pixel coordinates; outside of them pixels are 255, unlabelled.
    ``None`` or no polygons: everything counts. To rasterise many windows with areas of interest,
    make a `Painter` of them once.
    """
    mask = np.full((window.height, window.width), background, np.uint8)
    features.painter.paint(mask, window)
    if aoi is not None and len(aoi):
        mask[~Painter(aoi).covers(window)] = UNLABELLED
    return mask


class Painter:
    """Polygons made ready to be drawn into windows.

    A window costs by the polygons that it touches. May be shared between threads.
    """

    def __init__(self, geometries: NDArray[Any], class_ids: NDArray[np.integer[Any]] | None = None):
        """``geometries``: polygons and multipolygons [N] in pixel coordinates; ``class_ids``:
        integers [N] in 0..254; all 0 if not given."""
        if class_ids is None:
            class_ids = np.zeros(len(geometries), np.int64)
        below_first = np.argsort(-np.asarray(class_ids, np.int64), kind="stable")
        parts, owners = shapely.get_parts(geometries[below_first], return_index=True)
        areas = shapely.get_dimensions(parts) == 2
        parts = parts[areas]
        self._values = np.asarray(class_ids)[below_first][owners[areas]].astype(np.uint8)
        self._tree = shapely.STRtree(parts)
        self._collect_edges(parts)

    def _collect_edges(self, parts: NDArray[Any]) -> None:
        """The edges of all rings, those of one polygon side by side, each from its upper end."""
        rings, ring_parts = shapely.get_rings(parts, return_index=True)
        points, point_rings = shapely.get_coordinates(rings, return_index=True)
        joined = np.flatnonzero(point_rings[:-1] == point_rings[1:])
        one, other = points[joined], points[joined + 1]
        owner = ring_parts[point_rings[joined]]
        ccw = shapely.is_ccw(rings)[point_rings[joined], None]
        self._collect_level_edges(np.where(ccw, other, one), np.where(ccw, one, other), owner)
        rising = one[:, 1] > other[:, 1]
        upper = np.where(rising[:, None], other, one)
        self._x, self._y = upper.T.copy()
        self._dx, self._dy = (np.where(rising[:, None], one, other) - upper).T.copy()
        # A scanline is at the centre of its row; an edge crosses those in [upper end, lower end),
        # so a level edge crosses none.
        self._first = np.ceil(self._y - 0.5).astype(np.int64)
        self._last = np.ceil(np.where(rising, one[:, 1], other[:, 1]) - 0.5).astype(np.int64)
        crossing = self._last > self._first
        for name in ("_x", "_y", "_dx", "_dy", "_first", "_last"):
            setattr(self, name, getattr(self, name)[crossing])
        self._starts = np.searchsorted(owner[crossing], np.arange(len(parts) + 1))

    def _collect_level_edges(
        self, one: NDArray[np.float64], other: NDArray[np.float64], owner: NDArray[np.int64]
    ) -> None:
        """Edges of clockwise rings that lie on a scanline: GDAL fills the pixels along those that
        run to the left, which is seen at the upper edges of holes."""
        on_line = (one[:, 1] == other[:, 1]) & (one[:, 1] % 1 == 0.5) & (one[:, 0] > other[:, 0])
        self._level_rows = np.floor(one[on_line, 1]).astype(np.int64)
        self._level_cols = np.floor(np.stack([other[on_line, 0], one[on_line, 0]]) + 0.5)
        self._level_parts = owner[on_line]

    def covers(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels [H, W] of a window have their centre in a polygon."""
        mask = np.full((window.height, window.width), UNLABELLED, np.uint8)
        self.paint(mask, window)
        covered: NDArray[np.bool_] = mask != UNLABELLED
        return covered

    def paint(self, mask: NDArray[np.uint8], window: Window) -> None:
        """Draw the class ids into a mask [H, W], contiguous, of a window."""
        left, top = window.col_off, window.row_off
        frame = shapely.box(left, top, left + window.width, top + window.height)
        found = np.sort(self._tree.query(frame))
        if len(found) == 0:
            return
        start, length, part = self._spans(found, window)
        if len(self._level_rows):
            level = self._level_spans(found, window)
            start, length, part = map(
                np.concatenate, zip((start, length, part), level, strict=True)
            )
            order = np.argsort(part, kind="stable")
            start, length, part = start[order], length[order], part[order]
        flat = mask.reshape(-1)
        for pixels, chosen in _pixels(start, length):
            flat[pixels] = np.repeat(self._values[part[chosen]], length[chosen])

    def _spans(self, found: NDArray[np.int64], window: Window) -> _Spans:
        """Runs of covered pixels of the polygons ``found``, in their order."""
        begin, end = self._starts[found], self._starts[found + 1]
        edges, place = _ranges(begin, end)
        top, bottom = window.row_off, window.row_off + window.height
        first = np.maximum(self._first[edges], top)
        last = np.minimum(self._last[edges], bottom)
        crossing = np.flatnonzero(last > first)
        edges, place, first = edges[crossing], place[crossing], first[crossing]
        rows, which = _ranges(first, last[crossing])
        edges = edges[which]
        # In this order of operations, GDAL's, the numbers round as its own do.
        x = (rows + 0.5 - self._y[edges]) * self._dx[edges] / self._dy[edges] + self._x[edges]
        cols = np.clip(np.floor(x + 0.5) - window.col_off, 0, window.width).astype(np.int64)
        # Sorted by polygon, row and column, crossings come in pairs: into the polygon, out of it.
        width = window.width + 1
        keys = (place[which] * window.height + (rows - top)) * width + cols
        keys.sort()
        into, length = keys[0::2], keys[1::2] - keys[0::2]
        kept = np.flatnonzero(length)
        into, length = into[kept], length[kept]
        line = into // width
        start = line % window.height * window.width + into % width
        return start, length, found[line // window.height]

    def _level_spans(self, found: NDArray[np.int64], window: Window) -> _Spans:
        rows = self._level_rows - window.row_off
        chosen = (rows >= 0) & (rows < window.height) & np.isin(self._level_parts, found)
        cols = np.clip(self._level_cols[:, chosen] - window.col_off, 0, window.width)
        begin, end = cols.astype(np.int64)
        return rows[chosen] * window.width + begin, end - begin, self._level_parts[chosen]


_Spans = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"]
"""Runs of pixels [N]: where they start in the flattened mask, their lengths, their polygons."""


def _ranges(
    start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers of the ranges [N] one after the other, and the range that each belongs to."""
    counts = stop - start
    which = np.repeat(np.arange(len(start)), counts)
    ends = np.cumsum(counts)
    numbers = np.arange(len(which)) + np.repeat(start - (ends - counts), counts)
    return numbers, which


def _pixels(
    start: NDArray[np.int64], length: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """The pixels of the spans, some spans at a time; later ones are to be drawn over earlier."""
    ends = np.cumsum(length)
    done = 0
    while done < len(start):
        before = int(ends[done - 1]) if done else 0
        stop = max(done + 1, int(np.searchsorted(ends, before + _FILLED_AT_ONCE, "right")))
        chosen = slice(done, stop)
        yield _ranges(start[chosen], start[chosen] + length[chosen])[0], chosen
        done = stop
