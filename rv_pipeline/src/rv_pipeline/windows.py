"""Windows over a raster: making them, and their way to map coordinates and back.

Pixel coordinates are (x, y) = (column, row), whole numbers at the pixels' upper left corners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from rv_core import ConfigError, DataError, Window

if TYPE_CHECKING:
    from affine import Affine
    from numpy.typing import NDArray

Good = Callable[[Sequence[Window]], "NDArray[np.bool_]"]
"""Which of some windows [N] will do."""

_DRAWS: Final = 20  # windows that are drawn, at most, for each random one


def grid(extent: Window, size: int, stride: int | None = None) -> list[Window]:
    """Square windows that `cover` the extent; raises `DataError` where not one fits into it."""
    check_fits(extent, size)
    return cover(extent, size, stride)


def cover(extent: Window, size: int, stride: int | None = None) -> list[Window]:
    """Square windows that cover the extent, row by row from its upper left corner.

    ``stride``: pixels from one window to the next, ``size`` if not given. Where the size does not
    divide the extent, the last windows of a row or column reach beyond it.
    """
    stride = size if stride is None else stride
    if stride < 1:
        raise ConfigError(f"windows are at least 1 px apart, got stride {stride}")
    cols = _offsets(extent.col_off, extent.width, size, stride)
    rows = _offsets(extent.row_off, extent.height, size, stride)
    return [Window(col, row, size, size) for row in rows for col in cols]


def _offsets(start: int, length: int, size: int, stride: int) -> range:
    count = 1 + max(0, -(-(length - size) // stride))
    return range(start, start + min(count * stride, length), stride)


def slide(extent: Window, size: int, stride: int, block: Window | None = None) -> list[Window]:
    """Square windows that cover the extent, row by row. The last of a row or column is moved back
    inside the extent; one that is smaller than a window has one window, from its start.

    ``block``: only those of them that touch it.
    """
    around = block or extent
    rows = _starts(extent.row_off, extent.height, size, stride)
    cols = _starts(extent.col_off, extent.width, size, stride)
    cols = _touching(cols, size, around.col_off, around.width)
    return [
        Window(col, row, size, size)
        for row in _touching(rows, size, around.row_off, around.height)
        for col in cols
    ]


def _starts(start: int, length: int, size: int, stride: int) -> list[int]:
    last = start + max(0, length - size)
    return [*range(start, last, stride), last]


def _touching(starts: Sequence[int], size: int, begin: int, length: int) -> list[int]:
    return [start for start in starts if begin - size < start < begin + length]


def random(extent: Window, size: int, count: int, generator: np.random.Generator) -> list[Window]:
    """Square windows inside the extent, every place of it equally likely; where it is smaller than
    a window, they start where it starts."""
    last_col, last_row = max(0, extent.width - size), max(0, extent.height - size)
    cols = generator.integers(0, last_col, count, endpoint=True) + extent.col_off
    rows = generator.integers(0, last_row, count, endpoint=True) + extent.row_off
    return [Window(c, r, size, size) for c, r in zip(cols.tolist(), rows.tolist(), strict=True)]


def draw(
    extent: Window,
    size: int,
    count: int,
    generator: np.random.Generator,
    usable: Callable[[Sequence[Window]], Iterable[Window]],
    good: Good,
) -> list[Window]:
    """So many windows that `random` draws, ``usable`` lets through and are ``good``; fewer, where
    too few of twenty times as many are."""
    found: list[Window] = []
    for _ in range(_DRAWS):
        drawn = random(extent, size, count, generator)
        found += first(count - len(found), usable(drawn), good)
        if len(found) == count:
            break
    return found


def first(count: int, windows: Iterable[Window], good: Good) -> list[Window]:
    """The first so many that are ``good``, which is asked of no more of them than it takes."""
    found: list[Window] = []
    rest = iter(windows)
    while some := list(islice(rest, count - len(found))):
        found += compress(some, good(some).tolist())
    return found


def check_fits(extent: Window, size: int) -> None:
    """Raises `DataError` where a square chip of this size is larger than the extent."""
    if size > extent.width or size > extent.height:
        raise DataError(
            f"a chip of {size} x {size} px is larger than the scene of "
            f"{extent.width} x {extent.height} px (width x height)",
            hint=f"use a size of at most {min(extent.width, extent.height)} px",
        )


def bounds(windows: Sequence[Window]) -> NDArray[np.float64]:
    """The windows as [N, 4]: x0, y0, x1, y1 in pixel coordinates, half-open."""
    flat = [(w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height) for w in windows]
    return np.array(flat, np.float64).reshape(-1, 4)


def boxes(windows: Sequence[Window], extent: Window | None = None) -> NDArray[Any]:
    """The windows as polygons [N] in pixel coordinates, of each only what lies in the extent."""
    x0, y0, x1, y1 = bounds(windows).T
    if extent is not None:
        x0, x1 = np.clip((x0, x1), extent.col_off, extent.col_off + extent.width)
        y0, y1 = np.clip((y0, y1), extent.row_off, extent.row_off + extent.height)
    polygons: NDArray[Any] = shapely.box(x0, y0, x1, y1)
    return polygons


def inside(
    windows: Sequence[Window], aoi: NDArray[Any], extent: Window | None = None
) -> NDArray[np.bool_]:
    """Which windows [N] lie wholly inside the polygons of an area of interest, in pixel
    coordinates; what of a window lies outside the extent does not count. All, for no polygons."""
    if len(aoi) == 0:
        return np.ones(len(windows), np.bool_)
    area = shapely.union_all(aoi)
    shapely.prepare(area)
    covered: NDArray[np.bool_] = shapely.covers(area, boxes(windows, extent))
    return covered


def to_map(pixels: NDArray[np.float64], transform: Affine) -> NDArray[np.float64]:
    """Pixel coordinates [N, 2] (x, y) as map coordinates [N, 2] of a raster's geotransform."""
    t = transform
    mapped: NDArray[np.float64] = pixels @ np.array([[t.a, t.d], [t.b, t.e]]) + (t.c, t.f)
    return mapped


def to_pixels(points: NDArray[np.float64], transform: Affine) -> NDArray[np.float64]:
    """The inverse of `to_map`.

    The origin is taken off first: the inverse matrix alone would lose digits that coordinates of
    millions of metres need.
    """
    t = transform
    det = t.a * t.e - t.b * t.d
    inverse = np.array([[t.e, -t.d], [-t.b, t.a]]) / det
    pixels: NDArray[np.float64] = (points - (t.c, t.f)) @ inverse
    return pixels


def corners(windows: Sequence[Window]) -> NDArray[np.float64]:
    """The corners [N, 4, 2] (x, y) of windows in pixel coordinates: upper left, lower left, lower
    right, upper right."""
    b = bounds(windows)
    return b[:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 4, 2)


def from_corners(points: NDArray[np.float64]) -> list[Window]:
    """The windows whose corners, in any order, are nearest to [N, 4, 2] pixel coordinates."""
    low = np.rint(points.min(axis=1)).astype(int)
    high = np.rint(points.max(axis=1)).astype(int)
    return [
        Window(x0, y0, x1 - x0, y1 - y0)
        for (x0, y0), (x1, y1) in zip(low.tolist(), high.tolist(), strict=True)
    ]
