"""A small network without pretrained weights: for trying things out, and for few, simple chips."""

from __future__ import annotations

from typing import Any, Final

WIDTHS: Final = (32, 64, 128, 256)
STEM: Final = "conv1"


def pooled_features(image: Any, batch_norm_momentum: float) -> Any:
    """An image [N, H, W, C] with values 0..255 to features [N, 256]: four 3x3 convolutions, each
    with batch norm and ReLU and followed by a max-pool that halves the size."""
    from keras import layers

    x = layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_to_one")(image)
    for number, width in enumerate(WIDTHS, start=1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=batch_norm_momentum, name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return layers.GlobalAveragePooling2D(name="avg_pool")(x)
