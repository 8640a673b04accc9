"""RV's KERAS_CLASSIFICATION backend: chip classification with Keras networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_backend_keras.backend import KerasClassification
    from rv_backend_keras.config import Augmentation, KerasClassificationConfig, Schedule
    from rv_backend_keras.networks.resnet50 import resnet50

_HOMES = {
    "Augmentation": "config",
    "KerasClassification": "backend",
    "KerasClassificationConfig": "config",
    "Schedule": "config",
    "resnet50": "networks.resnet50",
}

__all__ = [
    "Augmentation",
    "KerasClassification",
    "KerasClassificationConfig",
    "Schedule",
    "resnet50",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
