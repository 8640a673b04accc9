"""Figures of a classification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rv_pipeline.evaluation import classification as c

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60)

# Truth down, prediction across; figures worked out by hand:
#   a: precision 5/7, recall 5/8, F1 10/15; b: 3/6, 3/5, 6/11; c: never predicted nor true.
MATRIX = ((5, 3, 0), (2, 3, 0), (0, 0, 0))


def test_figures_of_each_class_are_those_worked_out_by_hand() -> None:
    a, b, unused = c.class_scores(MATRIX)
    assert (a.precision, a.recall, a.f1, a.support) == (5 / 7, 5 / 8, 10 / 15, 8)
    assert (b.precision, b.recall, b.f1, b.support) == (3 / 6, 3 / 5, 6 / 11, 5)
    assert unused == c.Scores(0, 0, 0, 0)


def test_averages_and_accuracy_are_those_worked_out_by_hand() -> None:
    assert c.accuracy(MATRIX) == 8 / 13
    macro = c.macro_average(MATRIX)  # over a and b: c does not occur
    assert macro.precision == pytest.approx((5 / 7 + 1 / 2) / 2)
    assert macro.f1 == pytest.approx((2 / 3 + 6 / 11) / 2)
    weighted = c.weighted_average(MATRIX)
    assert weighted.recall == pytest.approx((8 * 5 / 8 + 5 * 3 / 5) / 13)
    assert weighted.support == macro.support == 13


def test_a_class_that_is_predicted_but_never_true_counts_in_the_macro_average() -> None:
    matrix = ((2, 2), (0, 0))
    assert c.macro_average(matrix).f1 == pytest.approx((2 * 2 / (4 + 2) + 0) / 2)


def test_no_cells_at_all_give_zeros() -> None:
    assert c.summary(((0, 0), (0, 0)), ["a", "b"])["macro"]["f1"] == 0.0


def test_the_summary_names_the_classes() -> None:
    summary = c.summary(MATRIX, ["a", "b", "c"])
    assert summary["classes"]["b"]["support"] == 5
    assert [f["predicted"] for f in summary["classes"].values()] == [7, 6, 0]
    assert [f["count_error"] for f in summary["classes"].values()] == [-1, 1, 0]
    assert summary["confusion_matrix"] == {
        "classes": ["a", "b", "c"],
        "counts": [[5, 3, 0], [2, 3, 0], [0, 0, 0]],
    }
    assert summary["cells"] == 13


@given(pairs)
def test_recall_weighted_by_support_is_the_accuracy(found: list[tuple[int, int]]) -> None:
    matrix = c.confusion_matrix(found, 4)
    assert c.weighted_average(matrix).recall == pytest.approx(c.accuracy(matrix))


@given(pairs)
def test_f1_lies_between_precision_and_recall(found: list[tuple[int, int]]) -> None:
    for s in c.class_scores(c.confusion_matrix(found, 4)):
        low, high = sorted((s.precision, s.recall))
        assert low - 1e-12 <= s.f1 <= high + 1e-12


@given(pairs)
def test_swapping_truth_and_prediction_swaps_precision_and_recall(
    found: list[tuple[int, int]],
) -> None:
    there = c.class_scores(c.confusion_matrix(found, 4))
    back = c.class_scores(c.confusion_matrix([(p, t) for t, p in found], 4))
    assert [(s.precision, s.recall, s.f1) for s in there] == [
        (s.recall, s.precision, s.f1) for s in back
    ]


@given(pairs, pairs)
def test_scenes_add_up_to_the_whole(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    matrices = [c.confusion_matrix(one, 4), c.confusion_matrix(other, 4)]
    assert c.add(matrices, 4) == c.confusion_matrix(one + other, 4)
