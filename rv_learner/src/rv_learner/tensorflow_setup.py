"""How TensorFlow is imported for the first time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# What TensorFlow reads from the environment once, when its native library starts.
#
# oneDNN: on processors without AVX-512 VNNI TensorFlow leaves its oneDNN kernels off, and the
# gradients of small convolutions are then several times slower than their forward pass (ResNet50,
# 64 px, batch of 16, two AVX2 cores: 1.45 s a step without, 0.57 s with them).
_DEFAULTS: Final = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def start_tensorflow() -> None:
    """Import TensorFlow, if nobody has yet, with defaults that suit training on CPUs.

    A variable that the user has set is left as it is, and the environment is put back afterwards.
    """
    if "tensorflow" in sys.modules:
        return
    with _defaults_in_environment():
        import tensorflow as tf

        tf.constant(0.0) + 1.0  # the first operation is when the last of them are read


@contextmanager
def _defaults_in_environment() -> Iterator[None]:
    ours = {name: value for name, value in _DEFAULTS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
