"""Batch norm's statistics, taken anew from training data.

While a network trains, its moving averages follow with a delay of about 1 / (1 - momentum) steps;
in a short training they describe a network that is no longer there, and validation looks far worse
than it is. Wu and Johnson, Rethinking "Batch" in BatchNorm, https://arxiv.org/abs/2105.07576,
section 3, call the remedy PreciseBN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Recalibration:
    """Replaces the moving means and variances of a model by their averages over batches.

    ``forward``: called with a batch, runs the model in training mode; it is traced here, once.
    The layers' momentum is as it was before and after.
    """

    def __init__(self, model: Any, forward: Any) -> None:
        import keras
        import tensorflow as tf

        self._layers = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        # Batch k counts 1 / k, what came before (k - 1) / k: after the last all count the same.
        self._momentum = tf.Variable(0.0, dtype=tf.float32, trainable=False)
        self._forward = tf.function(forward, autograph=False)

    def run(self, batches: Iterable[Any]) -> None:
        """Take the statistics of these batches, none of which is learnt from."""
        if not self._layers:
            return
        before = [layer.momentum for layer in self._layers]
        try:
            for layer in self._layers:
                layer.momentum = self._momentum
            for index, batch in enumerate(batches):
                self._momentum.assign(index / (index + 1))
                self._forward(batch)
        finally:
            for layer, momentum in zip(self._layers, before, strict=True):
                layer.momentum = momentum
