"""The training loop: checkpoints, resuming, early stopping, logs and progress."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_learner.training._loop import Learner, LoopResult, Plan, train_loop
    from rv_learner.training._output import TrainOutput
    from rv_learner.training._schedules import learning_rates

_HOMES = {
    "Learner": "_loop",
    "LoopResult": "_loop",
    "Plan": "_loop",
    "TrainOutput": "_output",
    "learning_rates": "_schedules",
    "train_loop": "_loop",
}

__all__ = ["Learner", "LoopResult", "Plan", "TrainOutput", "learning_rates", "train_loop"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
