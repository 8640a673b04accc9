"""Boxes: what is inside what, and which of many that overlap stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rv_core import Window
from rv_pipeline import boxes as b

Found = NDArray[np.float64]

corner = st.integers(-40, 40).map(lambda n: n / 4)
side = st.integers(0, 40).map(lambda n: n / 4)
box = st.tuples(corner, corner, side, side).map(lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3]))


def some(least: int = 1, most: int = 25) -> st.SearchStrategy[Found]:
    return st.lists(box, min_size=least, max_size=most).map(
        lambda rows: np.array(rows, np.float64).reshape(-1, 4)
    )


def boxes(*rows: tuple[float, float, float, float]) -> Found:
    return np.array(rows, np.float64).reshape(-1, 4)


def many(count: int, extent: float, seed: int = 0) -> tuple[Found, Found, NDArray[Any]]:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, extent, (count, 2))
    found = np.concatenate([low, low + generator.uniform(5, 40, (count, 2))], axis=1)
    return found, generator.random(count), generator.integers(0, 3, count)


def greedy(found: Found, scores: Found, class_ids: NDArray[Any], threshold: float) -> list[int]:
    """Non-maximum suppression as the textbook has it."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        rivals = [k for k in kept if class_ids[k] == class_ids[i]]
        if b.areas(found[[i]])[0] > 0 and not (b.iou(found[[i]], found[rivals]) > threshold).any():
            kept.append(i)
    return kept


def test_a_box_is_clipped_to_a_window_and_one_outside_is_empty() -> None:
    found = b.clip(boxes((-3, 2, 5, 30), (20, 0, 25, 5)), Window(0, 0, 10, 10))
    assert found[0].tolist() == [0, 2, 5, 10]
    assert b.areas(found).tolist() == [40, 0]


def test_the_share_of_a_box_inside_a_window() -> None:
    found = b.ioa(boxes((0, 0, 10, 10), (5, -5, 15, 5), (3, 3, 3, 9)), Window(0, 5, 10, 10))
    assert found.tolist() == [0.5, 0.5, 0]


@settings(max_examples=40, deadline=None)
@given(some(), some())
def test_overlaps_are_those_of_polygons(one: Found, other: Found) -> None:
    polygons, others = b.polygons(one)[:, None], b.polygons(other)[None, :]
    shared = shapely.area(shapely.intersection(polygons, others))
    whole = shapely.area(polygons) + shapely.area(others) - shared
    expected = np.divide(shared, whole, out=np.zeros_like(whole), where=whole > 0)
    np.testing.assert_allclose(b.iou(one, other), expected, atol=1e-12)
    pairs = b.overlapping(one, other)
    assert pairs.T.tolist() == np.argwhere(shared > 0).tolist()
    np.testing.assert_allclose(b.pair_iou(one[pairs[0]], other[pairs[1]]), expected[tuple(pairs)])


@settings(max_examples=40, deadline=None)
@given(some(), st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 20), st.integers(1, 20))
def test_a_clipped_box_is_inside_both(found: Found, col: int, row: int, w: int, h: int) -> None:
    window = Window(col, row, w, h)
    around = np.broadcast_to(b.of_windows([window]), (len(found), 4))
    inside = b.clip(found, window)
    full = b.areas(inside) > 0
    np.testing.assert_allclose(b.pair_ioa(inside[full], found[full]), 1)
    np.testing.assert_allclose(b.pair_ioa(inside[full], around[full]), 1)
    np.testing.assert_allclose(b.areas(inside), b.ioa(found, window) * b.areas(found))


@settings(max_examples=40, deadline=None)
@given(some(), st.integers(-100_000, 100_000), st.integers(-100_000, 100_000))
def test_boxes_come_back_from_the_scene(found: Found, row: int, col: int) -> None:
    np.testing.assert_array_equal(b.shifted(b.shifted(found, row, col), -row, -col), found)


@settings(max_examples=60, deadline=None)
@given(some(least=0), st.data())
def test_suppression_is_the_textbooks(found: Found, data: st.DataObject) -> None:
    count = len(found)
    ranks = data.draw(st.permutations(range(count)))
    scores = (np.array(ranks, np.float64) + 1) / (count + 1)
    ids = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)), int)
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9]))
    kept = b.nms(found, scores, ids, threshold).tolist()
    assert kept == greedy(found, scores, ids, threshold)


def test_suppression_of_a_crowd_is_the_textbooks() -> None:
    """More than one batch of boxes, each overlapping dozens."""
    found, scores, ids = many(1500, 220)
    assert b.nms(found, scores, ids, 0.3).tolist() == greedy(found, scores, ids, 0.3)


@settings(max_examples=40, deadline=None)
@given(some(least=2), st.randoms(use_true_random=False))
def test_what_stays_does_not_depend_on_the_order_of_the_boxes(found: Found, shuffle: Any) -> None:
    scores = np.round(np.linspace(0, 1, len(found)), 1)  # several are equal
    ids = np.zeros(len(found), int)
    order = list(range(len(found)))
    shuffle.shuffle(order)
    kept = found[b.nms(found, scores, ids, 0.4)]
    again = found[order][b.nms(found[order], scores[order], ids, 0.4)]
    np.testing.assert_array_equal(kept, again)


def test_classes_do_not_suppress_each_other() -> None:
    same = boxes((0, 0, 9, 9), (0, 0, 9, 9), (0, 0, 9, 9))
    assert b.nms(same, np.array([0.5, 0.9, 0.7]), np.array([0, 1, 1]), 0.5).tolist() == [1, 0]


@pytest.mark.slow
def test_a_hundred_thousand_boxes_are_no_matrix() -> None:
    """A matrix of all pairs would take 80 GB; the second case has every box in one spot."""
    found, scores, ids = many(100_000, 10_000)
    kept = b.nms(found, scores, ids, 0.5)
    one, other = b.overlapping(found[kept], found[kept])
    rivals = (one != other) & (ids[kept][one] == ids[kept][other])
    assert (b.pair_iou(found[kept][one[rivals]], found[kept][other[rivals]]) <= 0.5).all()
    piled = np.tile([[0.0, 0.0, 9.0, 9.0]], (100_000, 1))
    assert len(b.nms(piled, scores, np.zeros(100_000, int), 0.5)) == 1
