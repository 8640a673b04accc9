"""Segmentation is judged by pixels and by polygons; what is unlabelled counts nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from rv_pipeline.evaluation.segmentation import Matches, count, match_polygons, summary
from rv_pipeline.vectors import Features

from rv_core import Window

NAMES = ("roof", "road", "background")
EVERYWHERE = np.empty(0, object)
SCENE = Window(-10, -10, 200, 200)

masks = arrays.arrays(np.uint8, (6, 5), elements=st.sampled_from([0, 1, 2, 255]))


@settings(max_examples=50, deadline=None)
@given(masks, masks)
def test_figures_are_what_their_definitions_say(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8]
) -> None:
    figures = summary(count(truth, predicted, 3), NAMES)
    valid = (truth != 255) & (predicted != 255)
    assert figures["pixels"] == valid.sum()
    ious, weights = [], []
    for class_id, name in enumerate(NAMES):
        is_true, is_said = (truth == class_id) & valid, (predicted == class_id) & valid
        both, either = (is_true & is_said).sum(), (is_true | is_said).sum()
        found = figures["classes"][name]
        assert found["iou"] == pytest.approx(both / either if either else 0)
        assert found["support"] == is_true.sum()
        assert found["recall"] == pytest.approx(both / is_true.sum() if is_true.any() else 0)
        assert found["precision"] == pytest.approx(both / is_said.sum() if is_said.any() else 0)
        if either:
            ious.append(both / either)
            weights.append(is_true.sum())
    assert figures["mean_iou"] == pytest.approx(np.mean(ious) if ious else 0)
    expected = np.average(ious, weights=weights) if valid.any() else 0
    assert figures["frequency_weighted_iou"] == pytest.approx(expected)
    right = (truth == predicted)[valid]
    assert figures["accuracy"] == pytest.approx(right.mean() if right.size else 0)


def features(*boxes: tuple[float, float, float, float], ids: Any = None) -> Features:
    shapes = np.array([shapely.box(*box) for box in boxes], object)
    return Features(shapes, np.array(ids if ids is not None else [0] * len(boxes), np.int64))


def test_a_polygon_matches_one_other_of_its_class() -> None:
    truth = features((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), ids=[0, 0, 1])
    told = features((0, 0, 10, 9), (0, 1, 10, 10), (20, 5, 30, 15), (40, 0, 50, 10))
    found = match_polygons(truth, told, 0, 0.5, EVERYWHERE, SCENE)
    assert found == Matches(support=2, predicted=4, matched=1, iou_sum=pytest.approx(0.9))
    assert match_polygons(truth, told, 0, 0.3, EVERYWHERE, SCENE).matched == 2
    assert match_polygons(truth, told, 1, 0.5, EVERYWHERE, SCENE) == Matches(1, 0)
    figures = found.figures()
    assert (figures["precision"], figures["recall"]) == (0.25, 0.5)
    assert figures["f1"] == pytest.approx(1 / 3)
    assert figures["count_error"] == 2


def test_of_a_label_across_the_scenes_border_only_what_is_in_the_scene_is_asked_for() -> None:
    """The best prediction there can be is right: nothing of what lies beyond, and the parts of a
    label that are apart in the scene as polygons of their own."""
    arch = shapely.box(0, -30, 30, 20) - shapely.box(10, -10, 20, 20)
    beyond = shapely.box(500, 500, 510, 510)
    pair = shapely.MultiPolygon([shapely.box(40, 0, 50, 10), shapely.box(60, 0, 70, 10)])
    truth = Features(np.array([arch, beyond, pair], object), np.zeros(3, np.int64))
    told = features((0, -10, 10, 20), (20, -10, 30, 20), (40, 0, 50, 10), (60, 0, 70, 10))
    found = match_polygons(truth, told, 0, 0.99, EVERYWHERE, SCENE)
    assert found == Matches(support=4, predicted=4, matched=4, iou_sum=pytest.approx(4))


def test_the_best_pairs_are_made_first() -> None:
    truth = features((0, 0, 10, 10), (4, 0, 14, 10))
    told = features((4, 0, 14, 10), (5, 0, 15, 10))
    found = match_polygons(truth, told, 0, 0.3, EVERYWHERE, SCENE)
    assert found.matched == 2
    assert found.iou_sum == pytest.approx(1 + 5 / 15)


def test_only_what_lies_in_the_areas_of_interest_for_the_greater_part_counts() -> None:
    truth = features((0, 0, 10, 10), (18, 0, 28, 10), (12, 0, 22, 10))
    told = features((100, 100, 110, 110))
    aoi = np.array([shapely.box(-5, -5, 15, 20), shapely.box(15, -5, 20, 20)])
    assert match_polygons(truth, told, 0, 0.5, aoi, SCENE) == Matches(support=2, predicted=0)
    assert match_polygons(truth, told, 0, 0.5, EVERYWHERE, SCENE) == Matches(3, 1)


def test_nothing_is_no_division_by_zero() -> None:
    assert summary(np.zeros((3, 3), np.int64), NAMES)["mean_iou"] == 0
    assert Matches().figures()["f1"] == 0
