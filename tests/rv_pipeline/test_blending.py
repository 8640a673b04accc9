"""Overlapping windows are blended so that no seam is left, in any block the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rv_pipeline.blending import Seen, blend, taper

from rv_core import DataError, Window
from rv_pipeline import windows

sizes = st.integers(1, 24)


def seen_of(
    scene: NDArray[np.float32], members: Sequence[Window], seed: int | None = None
) -> list[Seen]:
    """What a model says of the windows: what the scene holds, give or take, 9 beyond it."""
    generator = np.random.default_rng(seed)
    padded = np.full((scene.shape[0] + 200, scene.shape[1] + 200, scene.shape[2]), 9, np.float32)
    padded[100 : scene.shape[0] + 100, 100 : scene.shape[1] + 100] = scene
    found = []
    for w in members:
        rows, cols = w.row_off + 100, w.col_off + 100
        probabilities = padded[rows : rows + w.height, cols : cols + w.width].copy()
        if seed is not None:
            probabilities += generator.normal(0, 0.1, probabilities.shape).astype(np.float32)
        found.append(Seen(w, probabilities))
    return found


def blended(block: Window, classes: int, seen: Sequence[Seen]) -> NDArray[np.float32]:
    result = np.full((block.height, block.width, classes), np.nan, np.float32)
    for band in blend(block, classes, seen):
        top = band.window.row_off - block.row_off
        assert (band.window.col_off, band.window.width) == (block.col_off, block.width)
        place = result[top : top + band.window.height]
        assert np.isnan(place).all()  # each row comes once
        place[:] = np.moveaxis(np.where(band.covered, band.probabilities, -1), 0, -1)
    return result


def touching(members: Sequence[Window], block: Window) -> list[Window]:
    return [
        w
        for w in members
        if w.col_off < block.col_off + block.width
        and w.row_off < block.row_off + block.height
        and w.col_off + w.width > block.col_off
        and w.row_off + w.height > block.row_off
    ]


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=sizes,
    stride=sizes,
    row=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=4),
)
def test_what_is_constant_stays_so_to_the_last_bit_and_up_to_the_border(
    width: int, height: int, size: int, stride: int, row: list[float]
) -> None:
    extent = Window(0, 0, width, height)
    members = windows.cover(extent, size, min(stride, size))
    constant = np.array(row, np.float32)
    seen = [Seen(w, np.broadcast_to(constant, (size, size, len(row)))) for w in members]
    found = blended(extent, len(row), seen)
    assert (found == constant).all()


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(20, 90),
    height=st.integers(20, 90),
    size=st.integers(2, 20),
    stride=sizes,
    cut=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_pixel_does_not_depend_on_the_block_it_lies_in(
    width: int, height: int, size: int, stride: int, cut: tuple[int, int]
) -> None:
    extent = Window(0, 0, width, height)
    members = windows.cover(extent, size, min(stride, size))
    scene = np.random.default_rng(1).random((height, width, 2), np.float32)
    told = {s.window: s for s in seen_of(scene, members, seed=2)}
    whole = blended(extent, 2, [told[w] for w in members])
    for row in range(0, height, cut[0]):
        for col in range(0, width, cut[1]):
            block = Window(col, row, min(cut[1], width - col), min(cut[0], height - row))
            part = blended(block, 2, [told[w] for w in touching(members, block)])
            place = whole[row : row + block.height, col : col + block.width]
            np.testing.assert_array_equal(part, place)


def test_the_mean_is_that_of_the_weights() -> None:
    extent = Window(0, 0, 70, 50)
    members = windows.cover(extent, 20, 10)
    told = seen_of(np.random.default_rng(1).random((50, 70, 3), np.float32), members, seed=3)
    sums, weights = np.zeros((100, 100, 3)), np.zeros((100, 100, 1))
    weight = np.outer(taper(20), taper(20))[:, :, None]
    for s in told:
        rows = slice(s.window.row_off, s.window.row_off + 20)
        cols = slice(s.window.col_off, s.window.col_off + 20)
        sums[rows, cols] += s.probabilities * weight
        weights[rows, cols] += weight
    found = blended(extent, 3, told)
    np.testing.assert_allclose(found, sums[:50, :70] / weights[:50, :70], atol=1e-5)


def test_the_taper_never_reaches_zero_and_halves_add_up_to_one() -> None:
    for size in (1, 2, 7, 300):
        weights = taper(size)
        assert (weights > 0).all()
        assert (weights <= 1).all()
        np.testing.assert_array_equal(weights, weights[::-1])
    np.testing.assert_allclose(taper(300)[:150] + taper(300)[150:], 1)


def test_where_windows_say_nothing_nothing_is_said() -> None:
    block = Window(10, 20, 40, 100)
    missing = np.zeros((16, 16), np.bool_)
    missing[:, :4] = True
    odd = np.full((16, 16, 2), 0.25, np.float32)
    odd[:, :4] = np.nan
    found = blended(block, 2, [Seen(Window(10, 60, 16, 16), odd, missing)])
    assert (found[40:56, 4:16] == 0.25).all()
    assert (found == -1).sum() == found.size - 16 * 12 * 2
    assert (blended(block, 2, []) == -1).all()


def test_windows_that_do_not_come_row_by_row_are_refused() -> None:
    one = np.zeros((8, 8, 2), np.float32)
    members = [Seen(Window(0, row, 8, 8), one) for row in (0, 8, 4)]
    with pytest.raises(DataError, match="row by row"):
        blended(Window(0, 0, 8, 16), 2, members)
    other = Seen(Window(0, 8, 9, 9), np.zeros((9, 9, 2), np.float32))
    with pytest.raises(DataError, match="in one size"):
        blended(Window(0, 0, 8, 16), 2, [members[0], other])
