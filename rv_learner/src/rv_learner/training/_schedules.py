"""Learning rates as plain functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable


def learning_rates(
    kind: str,
    peak: float,
    total_steps: int,
    warmup_steps: int = 0,
    decay_steps: int | None = None,
    decay_rate: float = 0.1,
) -> Callable[[int], float]:
    """The learning rate of step 0, 1, ... of ``total_steps``.

    It rises linearly to ``peak`` within ``warmup_steps``. From there on, ``constant`` stays;
    ``cosine`` falls to zero at the end (Loshchilov and Hutter, https://arxiv.org/abs/1608.03983);
    ``exponential`` is multiplied by ``decay_rate`` every ``decay_steps`` steps, smoothly, and
    ``step`` at once. ``decay_steps`` is a third of the run where it is ``None``.
    """
    decaying = max(1, total_steps - warmup_steps)
    every = decay_steps or max(1, decaying // 3)

    def rate(step: int) -> float:
        if step < warmup_steps:
            return peak * (step + 1) / (warmup_steps + 1)
        after = step - warmup_steps
        if kind == "constant":
            return peak
        if kind == "cosine":
            return peak * (1 + math.cos(math.pi * min(1.0, after / decaying))) / 2
        if kind == "exponential":
            return peak * float(decay_rate ** (after / every))
        if kind == "step":
            return peak * float(decay_rate ** (after // every))
        raise ValueError(f"unknown schedule {kind!r}")

    return rate
