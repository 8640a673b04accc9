"""ConvNeXt-Tiny, with the layer names of ``keras.applications``, whose weights it takes.

Liu, Mao, Wu, Feichtenhofer, Darrell, Xie: A ConvNet for the 2020s,
https://arxiv.org/abs/2201.03545. Written out here since Keras nests its stem and downsampling in
models of their own, and its layer scale is a layer that a saved model loads only with its code.
"""

from __future__ import annotations

from typing import Any, Final

DEPTHS: Final = (3, 3, 9, 3)
WIDTHS: Final = (96, 192, 384, 768)
EPSILON: Final = 1e-6
NAME: Final = "convnext_tiny"
STEM: Final = f"{NAME}_stem_conv"


def pooled_features(image: Any) -> Any:
    """An image [N, H, W, C], normalized by ImageNet's mean and deviation, to features [N, 768]."""
    from keras import layers

    x = _downsample(image, 0, f"{NAME}_stem")
    for stage in range(4):
        if stage > 0:
            x = _downsample(x, stage, f"{NAME}_downsampling")
        for block in range(DEPTHS[stage]):
            x = _block(x, WIDTHS[stage], f"{NAME}_stage_{stage}_block_{block}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.LayerNormalization(epsilon=EPSILON, name=f"{NAME}_head_layernorm")(x)


def _downsample(x: Any, stage: int, name: str) -> Any:
    """The stem cuts the image into 4x4 patches and normalizes them; before each later stage the
    order is the other way round, and patches are 2x2."""
    from keras import layers

    if stage == 0:
        x = layers.Conv2D(WIDTHS[0], 4, strides=4, name=f"{name}_conv")(x)
        return layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm")(x)
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm_{stage - 1}")(x)
    return layers.Conv2D(WIDTHS[stage], 2, strides=2, name=f"{name}_conv_{stage - 1}")(x)


def _block(x: Any, width: int, name: str) -> Any:
    """A 7x7 convolution of each channel, then a bottleneck turned inside out, scaled by channel."""
    from keras import initializers, layers

    y = layers.Conv2D(width, 7, padding="same", groups=width, name=f"{name}_depthwise_conv")(x)
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm")(y)
    y = layers.Dense(4 * width, name=f"{name}_pointwise_conv_1")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_pointwise_conv_2")(y)
    y = layers.EinsumDense(
        "nhwc,c->nhwc",
        output_shape=(None, None, width),
        kernel_initializer=initializers.Constant(1e-6),
        name=f"{name}_layer_scale",
    )(y)
    return layers.Add(name=f"{name}_add")([x, y])
