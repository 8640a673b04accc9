"""Blending what a model says of overlapping windows, so that no seam is left.

A window counts most at its centre and least at its border, by a taper that never reaches 0: the
outermost pixels of a scene, which only the border of a window shows, come out as well.

The mean is kept as the windows come: ``mean += (p - mean) * w / (sum of the w so far)``. Where all
windows say the same, the difference is 0 and the mean stays what it is to the last bit, which a
sum divided by the sum of the weights does not. A pixel sees its windows in one order, row by row,
in whatever block it lies: the result does not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from rv_core import DataError, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Probabilities = NDArray[np.float32]


@attrs.frozen(eq=False)
class Band:
    """Some rows of a block, blended: ``window``, which is as wide as the block; ``probabilities``
    float32 [n, H, W]; ``covered`` bool [H, W], false where no window was."""

    window: Window
    probabilities: Probabilities
    covered: NDArray[np.bool_]


@attrs.frozen(eq=False)
class Seen:
    """What a model says of a window: ``probabilities`` float32 [H, W, n], and of which pixels it
    says nothing: ``missing``, bool [H, W] or ``None``."""

    window: Window
    probabilities: Probabilities
    missing: NDArray[np.bool_] | None = None


def taper(size: int) -> NDArray[np.float32]:
    """The weights [size] of the pixels along a window's side: from 1 / size in the middle of the
    border pixel up to 1 in the middle, in a straight line. Two windows half a size apart add up to
    1 everywhere."""
    centres = np.arange(size, dtype=np.float64) + 0.5
    return (np.minimum(centres, size - centres) * 2 / size).astype(np.float32)


def blend(block: Window, classes: int, seen: Iterable[Seen]) -> Iterator[Band]:
    """The block from the top down, blended from windows that come row by row.

    Windows may reach beyond the block; they are of one size and their ``row_off`` never decreases.
    Memory holds a band of as many rows as a window has. A band is handed out for use until the
    next one is asked for. Raises `DataError` for windows in another order.
    """
    canvas: _Canvas | None = None
    for item in seen:
        if canvas is None:
            canvas = _Canvas(block, classes, item.window)
        yield from canvas.up_to(item.window.row_off)
        canvas.add(item)
    if canvas is None:
        yield from _empty(block, classes)
    else:
        yield from canvas.up_to(block.row_off + block.height)


def _empty(block: Window, classes: int, rows: int = 512) -> Iterator[Band]:
    bottom = block.row_off + block.height
    for top in range(block.row_off, bottom, rows):
        window = Window(block.col_off, top, block.width, min(rows, bottom - top))
        shape = (window.height, window.width)
        yield Band(window, np.zeros((classes, *shape), np.float32), np.zeros(shape, np.bool_))


class _Canvas:
    """The means and the weights of the rows of a block that windows may still come for.

    Rows live in a ring buffer twice a window high, so that they are moved once for many windows.
    """

    def __init__(self, block: Window, classes: int, first: Window) -> None:
        self._block = block
        self._size = (first.height, first.width)
        self._rows = first.height * 2
        self._mean = np.zeros((classes, self._rows, block.width), np.float32)
        self._weight = np.zeros((self._rows, block.width), np.float32)
        self._top = block.row_off  # the row of the scene that the first row of the buffer is
        self._done = block.row_off  # rows above were handed out
        self._weights = np.outer(taper(first.height), taper(first.width))

    def add(self, item: Seen) -> None:
        window = item.window
        block = self._block
        late = max(window.row_off, block.row_off) < self._done
        if late or (window.height, window.width) != self._size:
            raise DataError(
                f"windows to blend must come row by row in one size, got {window} after row "
                f"{self._done} was begun"
            )
        left, right = max(window.col_off, block.col_off), window.col_off + window.width
        top, bottom = max(window.row_off, block.row_off), window.row_off + window.height
        right = min(right, block.col_off + block.width)
        bottom = min(bottom, block.row_off + block.height)
        if left >= right or top >= bottom:
            return
        self._make_room(bottom)
        inner = (
            slice(top - window.row_off, bottom - window.row_off),
            slice(left - window.col_off, right - window.col_off),
        )
        place = (
            slice(top - self._top, bottom - self._top),
            slice(left - block.col_off, right - block.col_off),
        )
        share = self._weights[inner]
        if item.missing is not None:
            share = np.where(item.missing[inner], np.float32(0), share)
        total = self._weight[place]
        total += share
        if item.missing is None:
            share = share / total
        else:
            share = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
        probabilities = item.probabilities[inner]
        for mean, told in zip(self._mean, np.moveaxis(probabilities, -1, 0), strict=True):
            change = told - mean[place]
            change *= share
            if item.missing is not None:
                change[share == 0] = 0  # whatever was told of pixels that are not there
            mean[place] += change

    def _make_room(self, bottom: int) -> None:
        """Move the rows that are still needed to the top of the buffer, where it is full."""
        if bottom - self._top <= self._rows:
            return
        used = self._rows - (self._done - self._top)
        for buffer in (*self._mean, self._weight):
            buffer[:used] = buffer[self._rows - used :].copy()
            buffer[used:] = 0
        self._top = self._done

    def up_to(self, row: int) -> Iterator[Band]:
        """The rows above this one that were not handed out yet."""
        block = self._block
        row = min(row, block.row_off + block.height)
        while self._done < row:
            end = min(row, self._top + self._rows)
            place = slice(self._done - self._top, end - self._top)
            window = Window(block.col_off, self._done, block.width, end - self._done)
            yield Band(window, self._mean[:, place], self._weight[place] > 0)
            self._done = end
            if end == self._top + self._rows:  # all of the buffer was handed out: start anew
                self._mean[:] = 0
                self._weight[:] = 0
                self._top = end
