"""Which predicted box is of which label, and the confusion matrix of that."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rv_pipeline.evaluation import detection
from rv_pipeline.evaluation.box_pairs import confusion, pair_boxes

from rv_core import BoxLabels

EVERYWHERE = np.empty(0, object)
Row = tuple[float, float, float, float]


def boxes(*rows: Row, ids: object = None, scores: object = None) -> BoxLabels:
    class_ids = np.zeros(len(rows), int) if ids is None else np.array(ids)
    found = None if scores is None else np.array(scores, np.float32)
    return BoxLabels(np.array(rows, np.float32).reshape(-1, 4), class_ids, found)


def test_a_box_has_one_partner_the_one_with_the_higher_score() -> None:
    truth = boxes((0, 0, 10, 10))
    predicted = boxes((0, 0, 10, 9), (0, 0, 10, 10), scores=[0.9, 0.5])
    pairs = pair_boxes(truth, predicted, EVERYWHERE)
    assert pairs.of_truth.tolist() == [0]
    assert pairs.of_predicted.tolist() == [0, -1]


def test_a_partner_of_the_same_class_is_preferred() -> None:
    truth = boxes((0, 0, 10, 10), ids=[1])
    predicted = boxes((0, 0, 10, 10), (0, 0, 10, 8), ids=[0, 1], scores=[0.9, 0.1])
    assert pair_boxes(truth, predicted, EVERYWHERE).of_truth.tolist() == [1]
    alone = boxes((0, 0, 10, 10), ids=[0])
    assert pair_boxes(truth, alone, EVERYWHERE).of_truth.tolist() == [0]


def test_boxes_that_only_touch_or_are_not_there_have_no_partners() -> None:
    one = boxes((0, 0, 10, 10))
    assert pair_boxes(one, boxes((0, 10, 10, 20)), EVERYWHERE).of_truth.tolist() == [-1]
    assert pair_boxes(one, boxes(), EVERYWHERE).of_truth.tolist() == [-1]
    assert pair_boxes(boxes(), one, EVERYWHERE).of_predicted.tolist() == [-1]


def test_the_confusion_matrix_is_the_one_made_by_hand() -> None:
    """Of class 0 one is found, one is taken for class 1, one is missed; a 1 is invented."""
    truth = boxes((0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60))
    predicted = boxes((0, 0, 10, 10), (50, 50, 60, 60), (80, 80, 90, 90), ids=[0, 1, 1])
    assert confusion(truth, predicted, EVERYWHERE, 2).tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]


def drawn(generator: np.random.Generator, count: int, near: NDArray[Any]) -> NDArray[Any]:
    """Boxes, most of them near others."""
    low = generator.uniform(0, 90, (count, 2))
    found = np.concatenate([low, low + generator.uniform(5, 25, (count, 2))], axis=1)
    if len(near):
        close = near[generator.integers(0, len(near), count)] + generator.normal(0, 1, (count, 4))
        found = np.where(generator.random((count, 1)) < 0.8, close, found)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 25), st.integers(0, 30), st.booleans())
def test_the_confusion_matrix_agrees_with_the_figures_of_each_class(
    seed: int, labels: int, predictions: int, everywhere: bool
) -> None:
    generator = np.random.default_rng(seed)
    aoi = EVERYWHERE if everywhere else np.array([shapely.box(0, 0, 60, 100)])
    true = drawn(generator, labels, np.empty((0, 4)))
    said = drawn(generator, predictions, true)
    truth = boxes(*true, ids=generator.integers(0, 3, labels))
    scores = np.round(generator.random(predictions), 1)  # many are equal
    predicted = boxes(*said, ids=generator.integers(0, 3, predictions), scores=scores)
    counts = confusion(truth, predicted, aoi, 3)
    whole, within = detection.inside(truth.boxes, aoi), detection.inside(predicted.boxes, aoi)
    by_class = []
    for class_id in range(3):
        t, p = truth.class_ids == class_id, predicted.class_ids == class_id
        by_class.append(
            detection.match(
                truth.boxes[t],
                predicted.boxes[p],
                scores[p],
                truth_counts=whole[t],
                predicted_counts=within[p],
            )
        )
    found = detection.summary([by_class], ["a", "b", "c"], 0.0)["classes"]
    for class_id, figures in enumerate(found.values()):
        assert counts[class_id].sum() == figures["support"]
        assert counts[:, class_id].sum() == figures["predicted"]
        assert counts[class_id, class_id] == round(figures["recall"] * figures["support"])
    assert counts[3, 3] == 0
