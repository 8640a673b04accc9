"""Windows over a raster, and their way to the map and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rv_core import ConfigError, DataError, Window
from rv_pipeline import windows

EXTENT = Window(0, 0, 100, 70)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.none() | st.integers(1, 30))
def test_a_grid_covers_the_scene(width: int, height: int, size: int, stride: int | None) -> None:
    extent = Window(0, 0, width, height)
    if size > min(width, height):
        with pytest.raises(DataError):
            windows.grid(extent, size, stride)
        return
    grid = windows.grid(extent, size, stride)
    seen = np.zeros((height, width), bool)
    for w in grid:
        assert (w.width, w.height) == (size, size)
        assert w.col_off < width
        assert w.row_off < height
        seen[w.row_off : w.row_off + size, w.col_off : w.col_off + size] = True
    if stride is None or stride <= size:
        assert seen.all()
    if stride is None:
        assert len(grid) == math.ceil(width / size) * math.ceil(height / size)
    assert len(set(grid)) == len(grid)


def test_a_chip_that_is_larger_than_the_scene_is_refused_in_numbers() -> None:
    with pytest.raises(DataError, match="80 x 80 px is larger than the scene of 100 x 70") as error:
        windows.grid(EXTENT, 80)
    assert error.value.hint == "use a size of at most 70 px"


def test_windows_are_at_least_one_pixel_apart() -> None:
    with pytest.raises(ConfigError, match="stride 0"):
        windows.grid(EXTENT, 10, 0)


def test_random_windows_lie_inside_and_come_back_with_the_seed() -> None:
    one, two, other = (
        windows.random(EXTENT, 30, 500, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert one == two != other
    x0, y0, x1, y1 = windows.bounds(one).T
    assert (x0.min(), y0.min(), x1.max(), y1.max()) == (0, 0, 100, 70)


def test_random_windows_of_a_small_scene_start_where_it_does() -> None:
    some = windows.random(Window(5, 7, 100, 20), 40, 50, np.random.default_rng(0))
    assert {w.row_off for w in some} == {7}
    assert min(w.col_off for w in some) >= 5
    assert max(w.col_off for w in some) <= 65


def test_windows_are_drawn_until_there_are_enough() -> None:
    def left(some: Sequence[Window]) -> list[Window]:
        return [w for w in some if w.col_off < 10]

    def even(some: Sequence[Window]) -> NDArray[np.bool_]:
        return np.array([w.row_off % 2 == 0 for w in some])

    found = windows.draw(EXTENT, 30, 40, np.random.default_rng(0), left, even)
    assert len(found) == 40
    assert all(w.col_off < 10 and w.row_off % 2 == 0 for w in found)
    assert windows.draw(EXTENT, 30, 40, np.random.default_rng(0), lambda _: [], even) == []


def test_of_windows_no_more_are_looked_at_than_it_takes() -> None:
    asked: list[int] = []

    def every_third(some: Sequence[Window]) -> NDArray[np.bool_]:
        asked.extend(w.col_off for w in some)
        return np.array([w.col_off % 3 == 0 for w in some])

    row = [Window(col, 0, 1, 1) for col in range(100)]
    assert windows.first(4, iter(row), every_third) == row[0:12:3]
    assert asked == list(range(10))


def coordinate(limit: float) -> st.SearchStrategy[float]:
    return st.floats(-limit, limit, allow_nan=False)


@st.composite
def transforms(draw: st.DrawFn) -> Affine:
    """Any affine: turned, sheared and flipped, in metres around the earth or in degrees."""
    unit, far = draw(st.sampled_from([(1.0, 2e7), (1e-5, 180.0)]))
    turned = Affine.rotation(draw(st.floats(0, 360))) @ Affine.shear(draw(st.floats(-60, 60)))
    across, down = (unit * draw(st.floats(0.05, 60)) for _ in range(2))
    flipped = draw(st.sampled_from([1, -1]))
    origin = Affine.translation(draw(coordinate(far)), draw(coordinate(far)))
    return origin @ turned @ Affine.scale(across, flipped * down)


@settings(deadline=None)
@given(transforms(), st.tuples(coordinate(50_000), coordinate(50_000)))
def test_pixels_to_the_map_and_back(transform: Affine, point: tuple[float, float]) -> None:
    pixel = np.array([point])
    there = windows.to_map(pixel, transform)
    size = max(map(abs, transform[:6]))
    np.testing.assert_allclose(there[0], transform @ point, rtol=1e-12, atol=size * 1e-12)
    np.testing.assert_allclose(windows.to_pixels(there, transform), pixel, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(transforms(), st.integers(-9, 50_000), st.integers(-9, 50_000), st.integers(1, 5000))
def test_windows_to_the_map_and_back(transform: Affine, col: int, row: int, size: int) -> None:
    window = Window(col, row, size, size)
    around = windows.corners([window])
    there = windows.to_map(around.reshape(-1, 2), transform)
    back = windows.to_pixels(there, transform).reshape(-1, 4, 2)
    np.testing.assert_allclose(back, around, rtol=0, atol=1e-6)
    assert windows.from_corners(back) == [window]


def test_corners_and_back() -> None:
    some = windows.grid(EXTENT, 30)
    assert windows.from_corners(windows.corners(some) + 0.2) == some


def test_inside_an_area_of_interest_means_wholly() -> None:
    aoi = np.array([shapely.box(0, 0, 60, 60), shapely.box(60, 0, 80, 60)])
    grid = windows.grid(EXTENT, 20)
    inside = [w for w, yes in zip(grid, windows.inside(grid, aoi), strict=True) if yes]
    assert inside == [w for w in grid if w.col_off < 80 and w.row_off < 60]


def test_what_lies_outside_the_scene_needs_no_area_of_interest() -> None:
    aoi = np.array([shapely.box(0, 0, 100, 70)])
    grid = windows.grid(EXTENT, 20)
    assert not windows.inside(grid, aoi).all()
    assert windows.inside(grid, aoi, EXTENT).all()


def test_no_areas_of_interest_mean_everywhere() -> None:
    assert windows.inside(windows.grid(EXTENT, 20), np.empty(0, object)).all()
