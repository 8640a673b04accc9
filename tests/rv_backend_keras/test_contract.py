"""What every backend and every package of model defaults promises."""

from __future__ import annotations

import pytest
from rv_core.testing import BackendContract, ModelDefaultsContract


@pytest.mark.slow
class TestKerasClassification(BackendContract):
    plugins = ("rv_backend_keras.plugin", "rv_plugins.plugin")
    key = "KERAS_CLASSIFICATION"
    values = {  # noqa: RUF012
        "network": "small_cnn",
        "pretrained_hash": "md5:a268eb855778b3df3c7506639542a6af",
        "optimizer": "sgd",
        "learning_rate": 1e-4,
        "schedule": {"kind": "step", "decay_steps": 10},
        "batch_norm": "freeze",
        "batch_norm_momentum": 0.9,
        "augmentation": {"brightness": 0.3, "rotate": False},
        "class_weights": {"building": 2.0},
        "dropout": 0.5,
        "input_range": (0.0, 2047.0),
        "early_stopping": 4,
        "checkpoint_steps": 100,
    }


class TestKerasModels(ModelDefaultsContract):
    plugins = ("rv_backend_keras.plugin",)
    backend = "KERAS_CLASSIFICATION"
