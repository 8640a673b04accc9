"""The networks by name: each takes an image with values 0..255 and gives a vector of features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import attrs

from rv_core import ModelError

RGB_MEAN: Final = (123.675, 116.28, 103.53)
RGB_DEVIATION: Final = (58.395, 57.12, 57.375)
"""Of ImageNet on the scale 0..255, as networks trained with torchvision's constants expect them."""


@attrs.frozen
class Network:
    """``features``: image [N, H, W, C] of RGB 0..255 and batch-norm momentum to [N, F].
    ``stem``: the first convolution, whose bands are BGR where ``stem_reversed``. ``min_size``: the
    smallest height and width in pixels."""

    features: Callable[[Any, float], Any]
    stem: str
    stem_reversed: bool = False
    min_size: int = 32


def network_of(name: str, size: tuple[int, int]) -> Network:
    """The network of a name; raises `ModelError` where chips are too small for it."""
    network = NETWORKS[name]
    if min(size) < network.min_size:
        raise ModelError(
            f"{name} takes chips of at least {network.min_size} pixels, these are "
            f"{size[0]} by {size[1]}",
            hint="cut larger chips",
        )
    return network


def _resnet50(image: Any, momentum: float) -> Any:
    from keras import layers

    from rv_backend_keras.networks.resnet50 import features

    return layers.GlobalAveragePooling2D(name="avg_pool")(features(image, momentum))


def _mobilenet_v3_small(image: Any, momentum: float) -> Any:
    import keras

    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_to_one")(image)
    return _application(keras.applications.MobileNetV3Small, x, momentum)


def _efficientnet_v2_b0(image: Any, momentum: float) -> Any:
    import keras

    return _application(keras.applications.EfficientNetV2B0, _normalized(image), momentum)


def _convnext_tiny(image: Any, momentum: float) -> Any:
    from rv_backend_keras.networks.convnext_tiny import pooled_features

    del momentum  # it has no batch norm
    return pooled_features(_normalized(image))


def _small_cnn(image: Any, momentum: float) -> Any:
    from rv_backend_keras.networks.small_cnn import pooled_features

    return pooled_features(image, momentum)


def _application(application: Any, x: Any, momentum: float) -> Any:
    """A network of ``keras.applications`` without its top and its own preprocessing."""
    import keras

    with warnings.catch_warnings():
        # Keras warns of bands other than one or three, which are meant.
        warnings.filterwarnings("ignore", message=".*input_shape", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*input channels", category=UserWarning)
        model = application(
            input_tensor=x,
            input_shape=tuple(x.shape[1:]),
            include_top=False,
            include_preprocessing=False,
            weights=None,
        )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    return keras.layers.GlobalAveragePooling2D(name="avg_pool")(model.output)


def _normalized(image: Any) -> Any:
    import keras
    from rv_learner.weights import spread

    bands = image.shape[-1]
    mean, deviation = spread(RGB_MEAN, bands), spread(RGB_DEVIATION, bands)
    scale = [1 / d for d in deviation]
    offset = [-m / d for m, d in zip(mean, deviation, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="normalize")(image)


NETWORKS: Final = {
    "resnet50": Network(_resnet50, stem="conv1", stem_reversed=True, min_size=8),
    "mobilenet_v3_small": Network(_mobilenet_v3_small, stem="conv"),
    "efficientnet_v2_b0": Network(_efficientnet_v2_b0, stem="stem_conv"),
    "convnext_tiny": Network(_convnext_tiny, stem="convnext_tiny_stem_conv"),
    "small_cnn": Network(_small_cnn, stem="conv1", min_size=16),
}
