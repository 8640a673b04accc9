"""Reading windows in strips, and ahead of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rv_pipeline.commands.reading import about, ahead, read_windows, strips
from rv_pipeline.windows import grid

from rv_core import DataError, Kernel, Window
from rv_pipeline import SceneConfig, open_scene

windows = st.lists(
    st.builds(
        Window, st.integers(-5, 60), st.integers(-5, 60), st.integers(1, 9), st.integers(1, 9)
    )
)


@given(windows, st.integers(1, 200))
def test_strips_hold_their_windows_in_the_order_given(found: list[Window], most: int) -> None:
    back = []
    for strip, members in strips(found, most):
        for w in members:
            assert strip.col_off <= w.col_off
            assert w.col_off + w.width <= strip.col_off + strip.width
            assert (strip.row_off, strip.height) == (w.row_off, w.height)
        assert len(members) == 1 or strip.width * strip.height <= most
        back += members
    assert back == found


@pytest.mark.parametrize("stride", [16, 5, 23])
def test_windows_read_in_strips_are_those_read_one_by_one(
    scene: Callable[..., SceneConfig], kernel: Kernel, stride: int
) -> None:
    with open_scene(scene("a", size=100), kernel, with_labels=False) as opened:
        found = grid(opened.extent, 16, stride)
        assert len(list(strips(found))) < len(found)  # or nothing is tested
        for window, pixels, nodata in read_windows(opened.raster, found):
            alone, hole = opened.raster.read(window)
            np.testing.assert_array_equal(pixels, alone)
            if hole is None or not hole.any():
                assert nodata is None
            else:
                np.testing.assert_array_equal(nodata, hole)


def test_reading_ahead_keeps_order_and_passes_errors_on() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items()):
            seen.append(item)  # noqa: PERF402  # list() would lose what came before the error
    assert seen == [0, 1, 2, 3, 4]


def test_reading_ahead_works_while_the_reader_does() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10):
            made.append(n)
            yield n

    stream = ahead(items(), depth=2)
    assert next(stream) == 0
    deadline = time.monotonic() + 60
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [0, 1, 2, 3]  # two wait in the queue, one for a place in it
    stream.close()
    assert not any(t.name == "rv-read-ahead" for t in threading.enumerate())


def test_an_error_says_its_scene_even_where_the_id_is_part_of_another_word() -> None:
    with pytest.raises(DataError, match=r"^scene 'a': train\.tif is damaged$"), about("a"):
        raise DataError("train.tif is damaged")
    with pytest.raises(DataError, match=r"^scene 'a' is small$"), about("a"):
        raise DataError("scene 'a' is small")
