"""Varying training chips, a whole batch at once."""

from __future__ import annotations

from typing import Any

from rv_backend_keras.config import Augmentation


def augment(chips: Any, options: Augmentation, seed: Any) -> Any:
    """Chips float32 [N, H, W, C] (N, H and W static) flipped, rotated and brightened, each by its
    own chance; ``seed``: int32 [2], the same seed gives the same chances."""
    import tensorflow as tf

    count, height, width = chips.shape[:3]

    def drawn(number: int, below: int = 2) -> Any:
        chances = tf.random.stateless_uniform(
            (count,), tf.add(seed, [0, number]), 0, below, tf.int32
        )
        return chances[:, None, None, None]

    if options.flip_horizontal:
        chips = tf.where(drawn(1) == 1, chips[:, :, ::-1], chips)
    if options.flip_vertical:
        chips = tf.where(drawn(2) == 1, chips[:, ::-1], chips)
    if options.rotate:
        chips = tf.where(drawn(3) == 1, chips[:, ::-1, ::-1], chips)
        if height == width:
            chips = tf.where(drawn(4) == 1, tf.transpose(chips, (0, 2, 1, 3))[:, ::-1], chips)
    if options.brightness:
        low, high = 1 - options.brightness, 1 + options.brightness
        factors = tf.random.stateless_uniform((count, 1, 1, 1), tf.add(seed, [0, 5]), low, high)
        chips = chips * factors
    return chips
