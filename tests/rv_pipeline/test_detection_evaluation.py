"""Figures of object detection are COCO's."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import attrs
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rv_pipeline.evaluation import detection

Array = NDArray[Any]


@attrs.frozen(eq=False)
class Scene:
    """Labels and predictions of one scene, several classes."""

    truth: Array
    truth_ids: Array
    crowd: Array
    predicted: Array
    predicted_ids: Array
    scores: Array


def draw(seed: int, objects: int, classes: int, crowds: float = 0.0) -> Scene:
    """Labels; of most of them one or two predictions nearby, and some anywhere."""
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 400, (objects, 2))
    truth = np.concatenate([low, low + generator.uniform(8, 40, (objects, 2))], axis=1)
    ids = generator.integers(0, classes, objects)
    chosen = generator.integers(0, max(1, objects), int(1.3 * objects)) if objects else np.empty(0)
    chosen = chosen.astype(int)
    near = truth[chosen] + generator.normal(0, 2.5, (len(chosen), 4))
    far = truth[: objects // 4] + 300
    predicted = np.concatenate([near, far])
    predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2] + 1)
    predicted_ids = np.concatenate([ids[chosen], ids[: objects // 4]])
    wrong = generator.random(len(predicted_ids)) < 0.1
    predicted_ids[wrong] = generator.integers(0, classes, wrong.sum())
    scores = np.round(generator.random(len(predicted)), 2)  # many are equal
    crowd = generator.random(objects) < crowds
    return Scene(truth, ids, crowd, predicted, predicted_ids, scores)


def coco_precisions(scenes: list[Scene], classes: int) -> Array:
    """Average precision [T, K] by the reference implementation, -1 where there are no labels."""
    images = [{"id": i + 1} for i in range(len(scenes))]
    categories = [{"id": c + 1, "name": str(c)} for c in range(classes)]
    labels: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, scene in enumerate(scenes, start=1):
        for box, class_id, crowd in zip(scene.truth, scene.truth_ids, scene.crowd, strict=True):
            labels.append(annotation(image, box, class_id, len(labels) + 1, iscrowd=int(crowd)))
        rows = zip(scene.predicted, scene.predicted_ids, scene.scores, strict=True)
        for box, class_id, score in rows:
            found.append(annotation(image, box, class_id, len(found) + 1, score=float(score)))
    with contextlib.redirect_stdout(io.StringIO()):
        truth, predictions = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": labels}
        predictions.dataset = {"images": images, "categories": categories, "annotations": found}
        truth.createIndex()
        predictions.createIndex()
        judge = COCOeval(truth, predictions, "bbox")
        judge.params.maxDets = [1, 10, 100_000]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # [T, R, K], all areas
    mean: Array = precision.mean(axis=1)
    return mean


def annotation(image: int, box: Array, class_id: int, number: int, **more: Any) -> dict[str, Any]:
    ymin, xmin, ymax, xmax = map(float, box)
    height, width = ymax - ymin, xmax - xmin
    return {
        "id": number,
        "image_id": image,
        "category_id": int(class_id) + 1,
        "bbox": [xmin, ymin, width, height],
        "area": width * height,
        "iscrowd": 0,
        **more,
    }


def matched(scene: Scene, classes: int) -> list[detection.Matches]:
    return [
        detection.match(
            scene.truth[scene.truth_ids == c],
            scene.predicted[scene.predicted_ids == c],
            scene.scores[scene.predicted_ids == c],
            truth_counts=~scene.crowd[scene.truth_ids == c],
        )
        for c in range(classes)
    ]


@pytest.mark.parametrize("crowds", [0.0, 0.3])
@pytest.mark.parametrize(
    ("objects", "classes"), [((40, 25, 60), 3), ((7,), 1), ((0, 5), 2), ((120, 150), 2)]
)
def test_average_precision_is_that_of_pycocotools(
    objects: tuple[int, ...], classes: int, crowds: float
) -> None:
    scenes = [draw(n, count, classes, crowds) for n, count in enumerate(objects)]
    expected = coco_precisions(scenes, classes)
    by_scene = [matched(scene, classes) for scene in scenes]
    for c in range(classes):
        found = detection.average_precision(detection.Matches.together(m[c] for m in by_scene))
        if found is None:
            assert (expected[:, c] == -1).all()
        else:
            np.testing.assert_allclose(found, expected[:, c], atol=1e-12)
    names = [str(c) for c in range(classes)]
    overall = detection.summary(by_scene, names, 0.0)
    there = expected[:, expected[0] > -1]
    assert overall["ap"] == pytest.approx(there.mean())
    assert overall["ap50"] == pytest.approx(there[0].mean())
    assert overall["ap75"] == pytest.approx(there[5].mean())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0, 0.5))
def test_average_precision_is_that_of_pycocotools_in_any_scene(
    seed: int, objects: int, crowds: float
) -> None:
    scene = draw(seed, objects, 1, crowds)
    expected = coco_precisions([scene], 1)[:, 0]
    found = detection.average_precision(matched(scene, 1)[0])
    np.testing.assert_allclose(np.full(10, -1.0) if found is None else found, expected, atol=1e-12)


def figures(truth: list[Any], predicted: list[Any], scores: list[float], **more: Any) -> Any:
    matches = detection.match(
        np.array(truth, float).reshape(-1, 4),
        np.array(predicted, float).reshape(-1, 4),
        np.array(scores, float),
        **more,
    )
    return detection.summary([[matches]], ["tree"], 0.5)["classes"]["tree"]


def test_figures_at_the_score_threshold_are_those_worked_out_by_hand() -> None:
    """Three trees: one found twice, one by a box too small and one below the threshold."""
    truth = [(0, 0, 10, 10), (0, 20, 10, 30), (0, 40, 10, 50)]
    predicted = [(0, 0, 10, 9), (0, 1, 10, 10), (0, 20, 10, 24), (0, 40, 10, 50)]
    found = figures(truth, predicted, [0.9, 0.8, 0.7, 0.4])
    assert (found["precision"], found["recall"], found["f1"]) == (1 / 3, 1 / 3, 1 / 3)
    assert (found["support"], found["predicted"], found["count_error"]) == (3, 3, 0)
    # Of the three, the first is right at precision 1, the last at precision 2/4.
    assert found["ap50"] == pytest.approx((34 * 1.0 + 33 * 0.5) / 101)


def test_what_crosses_the_area_of_interest_neither_counts_as_missed_nor_as_wrong() -> None:
    aoi = np.array([shapely.box(0, 0, 100, 100)])
    truth = np.array([(10, 10, 30, 30), (50, 90, 70, 120), (0, 200, 10, 210)], float)
    predicted = np.array(
        [
            (10, 10, 30, 30),  # right
            (50, 90, 70, 100),  # the inner part of the label that crosses the border
            (50, 90, 70, 120),  # all of it
            (0, 200, 10, 210),  # beyond
            (80, 95, 90, 105),  # across the border, where there is no label
            (80, 10, 90, 20),  # inside, where there is no label
        ],
        float,
    )
    found = figures(
        truth.tolist(),
        predicted.tolist(),
        [0.9] * 6,
        truth_counts=detection.inside(truth, aoi),
        predicted_counts=detection.inside(predicted, aoi),
    )
    assert (found["support"], found["predicted"], found["count_error"]) == (1, 2, 1)
    assert (found["precision"], found["recall"]) == (1 / 2, 1)


def test_a_prediction_across_the_border_may_be_right() -> None:
    aoi = np.array([shapely.box(0, 0, 100, 100)])
    truth, predicted = np.array([(10.0, 80, 30, 100)]), np.array([(10.0, 80, 30, 102)])
    found = figures(
        truth.tolist(),
        predicted.tolist(),
        [0.9],
        truth_counts=detection.inside(truth, aoi),
        predicted_counts=detection.inside(predicted, aoi),
    )
    assert (found["precision"], found["recall"], found["ap"]) == (1, 1, pytest.approx(0.9))


def test_a_class_without_labels_has_no_average_precision_and_spoils_none() -> None:
    one = detection.match(np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 9]]), np.array([1.0]))
    other = detection.match(np.empty((0, 4)), np.array([[0.0, 0, 9, 9]]), np.array([1.0]))
    found = detection.summary([[one, other]], ["tree", "car"], 0.5)
    assert (found["ap"], found["classes"]["car"]["ap"]) == (1.0, None)
    assert found["macro"]["precision"] == 0.5


def test_nothing_at_all_has_figures() -> None:
    found = detection.summary([], ["tree"], 0.5)
    assert (found["ap"], found["boxes"], found["count_mae"]) == (None, 0, 0.0)
    assert found["classes"]["tree"]["f1"] == 0.0


def test_count_errors_of_scenes_do_not_cancel_out_in_their_mean() -> None:
    box = np.array([[0.0, 0, 9, 9]])
    missed = detection.match(box, np.empty((0, 4)), np.empty(0))
    invented = detection.match(np.empty((0, 4)), box, np.array([1.0]))
    found = detection.summary([[missed], [invented]], ["tree"], 0.5)
    assert (found["count_error"], found["count_mae"]) == (0, 1.0)
