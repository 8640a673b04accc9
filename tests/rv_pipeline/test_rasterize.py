"""Polygons become masks of class ids: of any window, the pixels GDAL gives of the whole scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import rasterize as gdal_rasterize
from rv_pipeline.vectors import Features
from rv_pipeline.vectors.rasterize import Painter, rasterize

from rv_core import UNLABELLED, Window

WIDTH, HEIGHT = 90, 70

inside = st.integers(-80, 440).map(lambda n: n / 4)  # quarters: corners on pixels' edges, centres
anywhere = st.floats(-30, 130, allow_nan=False, width=64)


@st.composite
def polygons(draw: st.DrawFn) -> Any:
    """Boxes, triangles, turned boxes and rings, on the grid of pixels and off it."""
    number = draw(st.sampled_from([inside, anywhere]))
    points = draw(st.lists(st.tuples(number, number), min_size=3, max_size=7))
    kind = draw(st.sampled_from(["hull", "box", "ring", "several"]))
    shape = shapely.convex_hull(shapely.multipoints(points))
    if kind == "box":
        shape = shapely.box(*shape.bounds)
    elif kind == "ring":
        shape = shapely.difference(shape, shapely.buffer(shape, -draw(st.sampled_from([1.5, 4]))))
    elif kind == "several":
        shape = shapely.difference(shape, shapely.box(20, -50, 30, 200))
    return shape if draw(st.booleans()) else shapely.reverse(shape)


windows = st.builds(
    Window, st.integers(-20, 100), st.integers(-20, 80), st.integers(1, 120), st.integers(1, 100)
)


def whole_scene(features: Features, background: int) -> NDArray[np.uint8]:
    """GDAL's mask: the class that is first in the class map drawn last."""
    order = np.argsort(-features.class_ids, kind="stable")
    shapes = [(features.geometries[i], int(features.class_ids[i])) for i in order]
    if not shapes:
        return np.full((HEIGHT, WIDTH), background, np.uint8)
    drawn: NDArray[np.uint8] = gdal_rasterize(
        shapes, out_shape=(HEIGHT, WIDTH), fill=background, dtype="uint8"
    )
    return drawn


def crop(mask: NDArray[np.uint8], window: Window) -> tuple[NDArray[np.uint8], tuple[slice, slice]]:
    """The part of the scene's mask that a window shows, and where in the window it lies."""
    x0, y0 = max(window.col_off, 0), max(window.row_off, 0)
    x1 = max(x0, min(window.col_off + window.width, WIDTH))
    y1 = max(y0, min(window.row_off + window.height, HEIGHT))
    place = (
        slice(y0 - window.row_off, y1 - window.row_off),
        slice(x0 - window.col_off, x1 - window.col_off),
    )
    return mask[y0:y1, x0:x1], place


@settings(max_examples=50, deadline=None)
@given(
    shapes=st.lists(st.tuples(polygons(), st.integers(0, 3)), max_size=6),
    some_windows=st.lists(windows, min_size=1, max_size=6),
    background=st.sampled_from([UNLABELLED, 3]),
)
def test_every_window_shows_what_gdal_draws_of_the_whole_scene(
    shapes: list[tuple[Any, int]], some_windows: list[Window], background: int
) -> None:
    areas = [(shape, i) for shape, i in shapes if shapely.area(shape) > 0]
    geometries = np.empty(len(areas), object)
    geometries[:] = [shape for shape, _ in areas]
    features = Features(geometries, np.array([i for _, i in areas], np.int64))
    expected = whole_scene(features, background)
    np.testing.assert_array_equal(
        rasterize(features, Window(0, 0, WIDTH, HEIGHT), background=background), expected
    )
    for window in some_windows:
        seen, place = crop(expected, window)
        found = rasterize(features, window, background=background)
        np.testing.assert_array_equal(found[place], seen)


def test_many_turned_buildings_look_the_same_through_every_window() -> None:
    generator = np.random.default_rng(0)
    centres = generator.uniform(0, 2000, (400, 2))
    geometries = np.array(
        [
            shapely.affinity.rotate(shapely.box(x - w, y - h, x + w, y + h), angle)
            for (x, y), (w, h), angle in zip(
                centres,
                generator.uniform(4, 25, (400, 2)),
                generator.uniform(0, 180, 400),
                strict=True,
            )
        ]
    )
    features = Features(geometries, generator.integers(0, 3, 400))
    order = np.argsort(-features.class_ids, kind="stable")
    shapes = [(geometries[i], int(features.class_ids[i])) for i in order]
    scene = gdal_rasterize(shapes, out_shape=(2000, 2000), fill=255, dtype="uint8")
    for col, row in generator.integers(0, 1700, (100, 2)).tolist():
        found = rasterize(features, Window(col, row, 300, 300))
        np.testing.assert_array_equal(found, scene[row : row + 300, col : col + 300])


def test_where_polygons_overlap_the_first_class_of_the_map_lies_on_top() -> None:
    shapes = np.array([shapely.box(0, 0, 6, 6), shapely.box(3, 3, 9, 9)])
    for ids in ([0, 1], [1, 0]):
        mask = rasterize(Features(shapes, np.array(ids)), Window(0, 0, 10, 10))
        assert mask[4, 4] == 0
        assert [mask[1, 1], mask[8, 8]] == ids
        assert mask[9, 9] == UNLABELLED


def test_outside_the_areas_of_interest_nothing_is_labelled() -> None:
    features = Features(np.array([shapely.box(0, 0, 6, 6)]), np.array([0]))
    aoi = np.array([shapely.box(2, 0, 8, 4), shapely.box(3, 1, 8, 5)])
    mask = rasterize(features, Window(0, 0, 10, 10), background=1, aoi=aoi)
    assert mask[2, 3] == 0
    assert mask[2, 7] == 1
    assert mask[2, 1] == mask[8, 3] == UNLABELLED


def test_a_large_window_full_of_polygons_is_filled_in_their_order() -> None:
    shapes = np.array([shapely.box(0, 0, 3000, 900 - 100 * n) for n in range(8)])
    mask = rasterize(Features(shapes, np.arange(8)[::-1]), Window(0, 0, 3000, 1000))
    assert (
        mask[:, 7].tolist() == np.repeat([0, 1, 2, 3, 4, 5, 6, 7, 255], [200] + [100] * 8).tolist()
    )


@pytest.mark.parametrize("count", [0, 1])
def test_few_polygons_or_none_are_no_special_case(count: int) -> None:
    painter = Painter(np.array([shapely.box(1, 1, 2, 2)] * count, object))
    assert painter.covers(Window(0, 0, 4, 4)).sum() == count
    assert not painter.covers(Window(50, 50, 4, 4)).any()
