"""What a model finds in overlapping windows becomes objects, each of them once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rv_pipeline.tasks._detection_merging import Findings, merge
from rv_pipeline.windows import slide

from rv_core import Window
from rv_pipeline import boxes as geometry

EXTENT = Window(0, 0, 430, 310)
SIZE = 100


def found_in(
    windows: list[Window], objects: NDArray[Any], class_ids: NDArray[Any], least: float = 0.0
) -> Findings:
    """What a model sees that boxes what of an object is inside a window, if it is more than the
    share ``least``; the score says how much of it that is."""
    several = []
    for window in windows:
        share = geometry.ioa(objects, window)
        seen = share > least
        around = np.repeat(geometry.of_windows([window]), seen.sum(), axis=0)
        inside = geometry.clip(objects[seen], window)
        scores = (0.5 + share[seen] / 2).astype(np.float32)
        several.append(Findings(inside, class_ids[seen], scores, around))
    return Findings.together(several)


def apart(seed: int, count: int, largest: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Objects of up to ``largest`` pixels of which no two overlap; some start on seams."""
    generator = np.random.default_rng(seed)
    kept = np.empty((0, 4))
    for _ in range(count):
        size = generator.integers(3, largest, 2, endpoint=True)
        low = generator.integers(0, np.array([310, 430]) - size, endpoint=True)
        if generator.random() < 0.4:
            low = np.minimum(low // 50 * 50, np.array([310, 430]) - size)
        box = np.concatenate([low, low + size]).astype(float)[None]
        if not geometry.iou(box, kept).any():
            kept = np.concatenate([kept, box])
    return kept, generator.integers(0, 2, len(kept))


def same(found: Findings, objects: NDArray[Any], class_ids: NDArray[Any]) -> None:
    given = sorted(zip(objects.tolist(), class_ids.tolist(), strict=True))
    assert sorted(zip(found.boxes.tolist(), found.class_ids.tolist(), strict=True)) == given


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99_999), st.integers(1, 25))
def test_objects_of_up_to_a_chip_are_found_once_and_whole(seed: int, count: int) -> None:
    objects, ids = apart(seed, count, SIZE)
    found = found_in(slide(EXTENT, SIZE, SIZE // 2), objects, ids)
    same(merge(found, EXTENT, 0.5), objects, ids)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99_999), st.integers(1, 25), st.floats(0, 0.95))
def test_objects_of_up_to_size_minus_stride_are_whole_whatever_the_model_says_of_pieces(
    seed: int, count: int, least: float
) -> None:
    objects, ids = apart(seed, count, SIZE // 2)
    found = found_in(slide(EXTENT, SIZE, SIZE // 2), objects, ids, least)
    same(merge(found, EXTENT, 0.5), objects, ids)


def test_an_object_larger_than_a_window_is_put_together() -> None:
    objects = np.array([[20, 30, 60, 390], [100, 5, 300, 250]], np.float64)
    ids = np.array([0, 0])
    same(merge(found_in(slide(EXTENT, SIZE, 50), objects, ids), EXTENT, 0.5), objects, ids)


def test_objects_side_by_side_on_a_seam_stay_two() -> None:
    """Each is cut by the window that the other is whole in, and they touch."""
    objects = np.array([[10, 85, 30, 100], [10, 100, 30, 115], [40, 92, 60, 140]], np.float64)
    ids = np.zeros(3, int)
    same(merge(found_in(slide(EXTENT, SIZE, 50), objects, ids), EXTENT, 0.5), objects, ids)


def test_a_sliver_with_a_careless_box_yields_to_the_whole() -> None:
    windows = np.array([[0, 0, 100, 100], [0, 50, 100, 150]], np.float64)
    boxes = np.array([[20, 92, 50, 100], [20, 95, 50, 125]], np.float64)  # begins 3 px too early
    found = Findings(boxes, np.zeros(2, np.int64), np.array([0.99, 0.6], np.float32), windows)
    merged = merge(found, EXTENT, 0.5)
    assert merged.boxes.tolist() == [[20, 95, 50, 125]]
    assert merged.scores.tolist() == [pytest.approx(0.6)]


def test_a_piece_that_no_window_shows_more_of_stays() -> None:
    windows = np.array([[0, 0, 100, 100]], np.float64)
    found = Findings(
        np.array([[20.0, 60, 50, 100]]), np.zeros(1, np.int64), np.ones(1, np.float32), windows
    )
    assert merge(found, EXTENT, 0.5).boxes.tolist() == [[20, 60, 50, 100]]


def test_boxes_of_other_classes_are_not_merged() -> None:
    whole = np.array([[20.0, 60, 50, 90]] * 2)
    windows = np.array([[0, 0, 100, 100]] * 2, np.float64)
    found = Findings(whole, np.array([0, 1]), np.array([0.6, 0.9], np.float32), windows)
    merged = merge(found, EXTENT, 0.5)
    assert merged.class_ids.tolist() == [1, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99_999), st.randoms(use_true_random=False))
def test_the_order_of_what_was_found_does_not_matter(seed: int, shuffle: Any) -> None:
    """Even where the model is careless and its boxes contradict each other."""
    objects, ids = apart(seed, 15, 120)
    found = found_in(slide(EXTENT, SIZE, 50), objects, ids)
    generator = np.random.default_rng(seed)
    boxes = found.boxes + generator.normal(0, 3, found.boxes.shape)
    boxes = geometry.intersection(boxes, found.windows)
    found = Findings(boxes, found.class_ids, np.round(found.scores, 1), found.windows)
    order = list(range(len(found)))
    shuffle.shuffle(order)
    one, other = merge(found, EXTENT, 0.5), merge(found[np.array(order, int)], EXTENT, 0.5)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_nothing_found_is_nothing() -> None:
    assert len(merge(Findings.none(), EXTENT, 0.5)) == 0
