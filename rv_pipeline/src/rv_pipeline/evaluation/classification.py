"""Figures of a classification, from its confusion matrix.

With ``M[t][p]`` cells of true class ``t`` predicted as ``p``:

- precision of ``c``: ``M[c][c] / sum_t M[t][c]`` - of the cells called ``c``, those that are;
- recall of ``c``: ``M[c][c] / sum_p M[c][p]`` - of the cells that are ``c``, those called so;
- F1 of ``c``: ``2 M[c][c] / (sum_t M[t][c] + sum_p M[c][p])``, the harmonic mean of the two;
- support of ``c``: ``sum_p M[c][p]``; accuracy: ``sum_c M[c][c] / sum M``;
- predicted of ``c``: ``sum_t M[t][c]``; count error: by how much it exceeds the support.

A ratio whose denominator is 0 counts as 0. The macro average is the plain mean over the classes
that occur, as truth or as prediction; the weighted average weighs each class by its support.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

Matrix = tuple[tuple[int, ...], ...]
"""Counts [n, n]: the row is the true class, the column the predicted one."""


@attrs.frozen
class Scores:
    """Figures of one class, or an average of several; all but ``support`` in 0..1."""

    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(pairs: Iterable[tuple[int, int]], classes: int) -> Matrix:
    """Counts of (true class, predicted class) pairs, both 0..classes-1."""
    counts = [[0] * classes for _ in range(classes)]
    for truth, predicted in pairs:
        counts[truth][predicted] += 1
    return tuple(map(tuple, counts))


def add(matrices: Sequence[Matrix], classes: int) -> Matrix:
    """The sum of confusion matrices; all zeros for none."""
    return tuple(
        tuple(sum(m[t][p] for m in matrices) for p in range(classes)) for t in range(classes)
    )


def class_scores(matrix: Matrix) -> tuple[Scores, ...]:
    """The figures of each class."""
    columns = [sum(row[c] for row in matrix) for c in range(len(matrix))]
    rows = [sum(row) for row in matrix]
    return tuple(
        Scores(
            precision=_ratio(hits, columns[c]),
            recall=_ratio(hits, rows[c]),
            f1=_ratio(2 * hits, columns[c] + rows[c]),
            support=rows[c],
        )
        for c in range(len(matrix))
        for hits in [matrix[c][c]]
    )


def accuracy(matrix: Matrix) -> float:
    """The share of cells whose class is right."""
    return _ratio(sum(matrix[c][c] for c in range(len(matrix))), sum(map(sum, matrix)))


def macro_average(matrix: Matrix) -> Scores:
    """The mean over the classes that occur, each counting the same."""
    scores = class_scores(matrix)
    present = [s for c, s in enumerate(scores) if s.support or any(row[c] for row in matrix)]
    return _average(present, [1] * len(present))


def weighted_average(matrix: Matrix) -> Scores:
    """The mean over all classes, each counting by its support."""
    scores = class_scores(matrix)
    return _average(scores, [s.support for s in scores])


def summary(matrix: Matrix, names: Sequence[str]) -> dict[str, Any]:
    """All figures of a confusion matrix, JSON-able."""
    predicted = [sum(row[c] for row in matrix) for c in range(len(matrix))]
    return {
        "accuracy": accuracy(matrix),
        "macro": attrs.asdict(macro_average(matrix)),
        "weighted": attrs.asdict(weighted_average(matrix)),
        "classes": {
            name: {
                **attrs.asdict(scores),
                "predicted": count,
                "count_error": count - scores.support,
            }
            for name, scores, count in zip(names, class_scores(matrix), predicted, strict=True)
        },
        "confusion_matrix": {"classes": list(names), "counts": [list(row) for row in matrix]},
        "cells": sum(map(sum, matrix)),
    }


def _average(scores: Sequence[Scores], weights: Sequence[int]) -> Scores:
    total = sum(weights)
    return Scores(
        precision=_ratio(sum(w * s.precision for s, w in zip(scores, weights, strict=True)), total),
        recall=_ratio(sum(w * s.recall for s, w in zip(scores, weights, strict=True)), total),
        f1=_ratio(sum(w * s.f1 for s, w in zip(scores, weights, strict=True)), total),
        support=sum(s.support for s in scores),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
