"""Chips for object detection: which windows of a scene, and which boxes on each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rv_pipeline.tasks._detection_windows import Chooser, SceneBoxes, box_labels
from rv_pipeline.vectors import Features
from rv_pipeline.windows import slide

from rv_core import Window
from rv_pipeline import boxes as geometry

EXTENT = Window(0, 0, 500, 400)
NOWHERE = np.empty(0, object)


def labels(*boxes: tuple[float, float, float, float]) -> SceneBoxes:
    rows = np.array(boxes, np.float64).reshape(-1, 4)
    return SceneBoxes(rows, np.zeros(len(rows), np.int64))


def scattered(count: int, seed: int = 0, largest: float = 60) -> SceneBoxes:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, (400 - largest, 500 - largest), (count, 2))
    high = low + generator.uniform(3, largest, (count, 2))
    return SceneBoxes(np.concatenate([low, high], axis=1), generator.integers(0, 2, count))


def chooser(found: SceneBoxes, aoi: NDArray[Any] = NOWHERE, **more: Any) -> Chooser:
    options = {"size": 100, "ioa_thresh": 0.8, "neg_ioa_thresh": 0.2, **more}
    options.setdefault("holds_data", lambda windows: np.ones(len(windows), np.bool_))
    return Chooser(found, EXTENT, aoi, scene_id="park", **options)


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def most(found: SceneBoxes, window: Window) -> float:
    """The largest share of any label inside a window."""
    return float(geometry.ioa(found.boxes, window).max(initial=0))


def test_a_label_counts_if_enough_of_it_is_inside_and_is_clipped_then() -> None:
    found = labels((0, 90, 10, 102), (20, 95, 30, 115), (50, 50, 60, 60))
    boxes = box_labels(found, [Window(0, 0, 100, 100), Window(100, 0, 100, 100)], 0.8)
    assert boxes[0].boxes.tolist() == [[0, 90, 10, 100], [50, 50, 60, 60]]
    assert boxes[1].boxes.tolist() == []  # 17 % of the first and 75 % of the second: slivers
    assert boxes[0].boxes.dtype == np.float32
    assert box_labels(found, [Window(100, 0, 100, 100)], 0.75)[0].boxes.tolist() == [
        [20, 0, 30, 15]
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(-50, 450), st.integers(-50, 350), st.floats(0, 1))
def test_boxes_of_a_chip_come_back_to_the_scene(seed: int, col: int, row: int, ioa: float) -> None:
    found, window = scattered(12, seed), Window(col, row, 120, 80)
    on_chip = box_labels(found, [window], ioa)[0]
    shares = geometry.ioa(found.boxes, window)
    chosen = (shares >= ioa) & (shares > 0)
    np.testing.assert_allclose(
        geometry.shifted(on_chip.boxes, row, col),
        geometry.clip(found.boxes[chosen], window),
        atol=1e-4,
    )
    assert on_chip.class_ids.tolist() == found.class_ids[chosen].tolist()


def test_only_what_of_a_label_is_in_the_scene_counts() -> None:
    """A building that the image cuts in two is whole, as far as the image goes."""
    house = shapely.box(480, 100, 600, 140)
    found = SceneBoxes.of(Features(np.array([house]), np.array([0])), EXTENT)
    assert found.boxes.tolist() == [[100, 480, 140, 500]]
    assert most(found, Window(400, 80, 100, 100)) == 1


def test_the_grid_covers_the_scene_and_stays_inside() -> None:
    windows = slide(EXTENT, 120, 70)
    seen = np.zeros((400, 500), bool)
    for w in windows:
        assert w.col_off + w.width <= 500
        assert w.row_off + w.height <= 400
        seen[w.row_off : w.row_off + 120, w.col_off : w.col_off + 120] = True
    assert seen.all()
    assert len(windows) == len(set(windows)) == 7 * 5
    assert slide(Window(0, 0, 90, 130), 120, 60) == [
        Window(0, 0, 120, 120),
        Window(0, 10, 120, 120),
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 30))
def test_a_chip_around_each_label_holds_it_whole_inside_the_scene(seed: int, count: int) -> None:
    found = scattered(count, seed)
    windows, missed = chooser(found).around_labels(None, draw(seed))
    assert missed == 0
    assert len(set(windows)) == len(windows) <= count  # one may do for two labels
    shares = np.stack([geometry.ioa(found.boxes, w) for w in windows])
    np.testing.assert_allclose(shares.max(axis=0), 1)
    assert (shares.max(axis=1) > 0.999).all()
    for w in windows:
        assert 0 <= w.col_off <= 400
        assert 0 <= w.row_off <= 300


def test_labels_lie_anywhere_on_their_chips() -> None:
    found = labels((200, 200, 210, 210))
    windows, _ = chooser(found).around_labels(2000, draw())
    offsets = np.array([(200 - w.row_off, 200 - w.col_off) for w in windows])
    assert offsets.min(axis=0).tolist() == [0, 0]
    assert offsets.max(axis=0).tolist() == [90, 90]
    assert abs(offsets.mean() - 45) < 2


def test_every_label_has_its_turn_before_one_comes_again() -> None:
    found = scattered(10, largest=5)
    windows, _ = chooser(found, size=12).around_labels(25, draw())
    times = np.array([geometry.ioa(found.boxes, w) > 0.99 for w in windows]).sum(axis=0)
    assert times.min() >= 2


def test_a_label_larger_than_a_chip_is_missed_unless_little_of_it_is_enough() -> None:
    found = labels((100, 100, 250, 250), (0, 0, 20, 20))
    windows, missed = chooser(found).around_labels(None, draw())
    assert (len(windows), missed) == (1, 1)
    windows, missed = chooser(found, ioa_thresh=0.4).around_labels(None, draw())
    assert (len(windows), missed) == (2, 0)
    assert most(labels((100, 100, 250, 250)), windows[0]) == pytest.approx(100**2 / 150**2)


def test_chips_lie_inside_the_area_of_interest() -> None:
    found = scattered(40)
    aoi = np.array([shapely.box(0, 0, 250, 400)])
    chosen = chooser(found, aoi)
    windows, missed = chosen.around_labels(None, draw())
    windows += (
        chosen.negatives(5, draw()) + chosen.centred(0) + chosen.usable(slide(EXTENT, 100, 50))
    )
    assert missed > 0
    assert windows
    assert max(w.col_off + w.width for w in windows) <= 250


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(0, 30), st.floats(0, 0.8))
def test_no_label_has_much_in_a_negative_chip(seed: int, count: int, thresh: float) -> None:
    found = scattered(count, seed)
    for w in chooser(found, neg_ioa_thresh=thresh).negatives(10, draw(seed)):
        assert most(found, w) <= thresh + 1e-6


def test_a_crowd_has_negatives_wherever_there_is_room() -> None:
    """Labels everywhere but in one corner: chance hardly hits it, the fine grid does."""
    rows = [(y, x, y + 20, x + 20) for y in range(0, 400, 20) for x in range(0, 500, 20)]
    crowd = labels(*[r for r in rows if r[2] <= 300 or r[3] <= 400])
    chosen = chooser(crowd, neg_ioa_thresh=0.0)
    found = chosen.negatives(1, draw())
    assert found == [Window(400, 300, 100, 100)]


def test_negatives_that_find_no_room_are_said_to_be_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = labels(*[(y, x, y + 20, x + 20) for y in range(0, 400, 20) for x in range(0, 500, 20)])
    with caplog.at_level(logging.WARNING):
        assert chooser(full).negatives(3, draw()) == []
    assert "scene 'park' has room for 0 negative chips of the 3" in caplog.text


def test_negatives_are_found_where_few_places_hold_data() -> None:
    def edge(windows: Sequence[Window]) -> NDArray[np.bool_]:
        return np.array([w.col_off < 3 for w in windows])

    found = chooser(labels(), holds_data=edge).negatives(6, draw())
    assert len(set(found)) == 6
    assert edge(found).all()


def test_a_window_with_half_an_object_is_no_chip() -> None:
    """It would teach that half an object is background."""
    found = labels((100, 80, 140, 120))
    windows = [Window(0, 60, 100, 100), Window(30, 60, 100, 100), Window(300, 0, 100, 100)]
    assert chooser(found).usable(windows) == windows[1:]


def test_a_label_lies_in_the_centre_of_its_chip() -> None:
    found = labels((200, 200, 220, 240), (0, 0, 10, 10))
    assert chooser(found).centred(0) == [Window(170, 160, 100, 100), Window(0, 0, 100, 100)]


def test_a_buffer_larger_than_the_chip_is_covered_by_several() -> None:
    found = labels((200, 200, 220, 220))
    windows = chooser(found).centred(120)  # 80..340 in both directions, of which 180..240 is whole
    rows, cols = {w.row_off for w in windows}, {w.col_off for w in windows}
    assert rows == cols == {80, 160, 240}
    assert len(windows) == 9
    big = labels((100, 100, 250, 150))
    assert chooser(big, ioa_thresh=0.5).centred(0) == [
        Window(75, row, 100, 100) for row in (100, 125, 150)
    ]


def test_the_same_seed_gives_the_same_chips() -> None:
    found = scattered(20)
    one, same, other = (chooser(found).around_labels(50, draw(seed)) for seed in (3, 3, 4))
    assert one == same != other
    again, once_more = (chooser(found).negatives(9, draw(3)) for _ in range(2))
    assert again == once_more
