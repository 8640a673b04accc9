"""The classifier: input scaling, network, last layer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from rv_backend_keras.config import KerasClassificationConfig
from rv_backend_keras.networks.catalog import network_of
from rv_core import ChipSpec

if TYPE_CHECKING:
    import keras

HEAD: Final = "logits"
"""The layer whose size is the number of classes."""

DEFAULT_MOMENTUM: Final = 0.99


@attrs.frozen
class InputScale:
    """What a chip's values are multiplied by and what is added, band by band, to become 0..255."""

    scale: Sequence[float]
    offset: Sequence[float]

    @property
    def changes_nothing(self) -> bool:
        return all(s == 1 for s in self.scale) and all(o == 0 for o in self.offset)


@attrs.frozen
class Classifier:
    """Two models with the same layers: chips [N, H, W, C], float32 on the scale of the chips'
    dtype, to ``logits`` or to ``scores``, float32 [N, number of classes]."""

    logits: keras.Model
    scores: keras.Model


def build_classifier(
    config: KerasClassificationConfig, spec: ChipSpec, scale: InputScale, mixed: bool = False
) -> Classifier:
    """A classifier with random weights, the same for the same seed; ``mixed``: it computes in
    float16. Raises `ModelError` where chips are too small for the network."""
    import keras
    from keras import layers

    network = network_of(config.network, spec.size)
    momentum = config.batch_norm_momentum
    with _seeded(config.seed), _precision("mixed_float16" if mixed else "float32"):
        chips = keras.Input((*spec.size, spec.bands), name="chips", dtype="float32")
        x = chips
        if not scale.changes_nothing:
            x = layers.Rescaling(
                list(scale.scale), list(scale.offset), name="to_byte_range", dtype="float32"
            )(x)
        x = network.features(x, DEFAULT_MOMENTUM if momentum is None else momentum)
        if config.dropout:
            x = layers.Dropout(config.dropout, seed=config.seed, name="dropout")(x)
        logits = layers.Dense(len(spec.classes), name=HEAD, dtype="float32")(x)
        scores = layers.Softmax(name="scores", dtype="float32")(logits)
    if config.batch_norm == "freeze":
        for layer in keras.Model(chips, logits).layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False
    return Classifier(keras.Model(chips, logits), keras.Model(chips, scores, name=config.network))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Initializers draw their seeds from Python's generator, which is given back as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
