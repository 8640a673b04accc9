"""ResNet-50 as first published for Keras in 2016, whose ImageNet weights are the zoo's file.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385.
It differs from today's ``keras.applications.ResNet50``: the max-pool after the stem is VALID with
no padding before it (a 224 pixel image is 55 pixels wide there, not 56), batch norm's epsilon is
1e-3, and the layers bear the names of the original Caffe model, as does the weight file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import keras

    from rv_core import Kernel

WEIGHTS_URI: Final = (
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.2/"
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
WEIGHTS_MD5: Final = "a268eb855778b3df3c7506639542a6af"

BGR_MEAN: Final = (103.939, 116.779, 123.68)
"""ImageNet's mean blue, green and red, on the scale 0..255, as the Caffe models subtract it."""

EPSILON: Final = 1e-3
STEM: Final = "conv1"
BLOCKS: Final = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
WIDTHS: Final = {2: 64, 3: 128, 4: 256, 5: 512}


def resnet50(
    weights: str | Path | None = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    kernel: Kernel | None = None,
) -> keras.Model:
    """RGB images [N, H, W, C] with values 0..255 to the last feature map [N, h, w, 2048].

    ``h`` is about ``H / 32``: 7 for 224. ``weights``: the zoo's file (`WEIGHTS_URI`) or another of
    its layout, at any URI the ``kernel`` reads (a default `Kernel` where none is given); ``None``
    for random weights. For a number of bands other than three the stem is adapted, see
    `rv_learner.weights.adapt_stem`.

    Raises `ModelError` unless the file gives every array of all 53 convolutions and 53 batch
    norms and holds no other; `StorageError` where it cannot be had, `IntegrityError` among them
    where the zoo's file does not have its MD5.
    """
    import keras
    from rv_learner.weights import fetch_weights, load_weights

    path = None
    if weights is not None:
        digest = f"md5:{WEIGHTS_MD5}" if str(weights) == WEIGHTS_URI else None
        path = fetch_weights(weights, kernel, digest)
    inputs = keras.Input(input_shape, name="image")
    model = keras.Model(inputs, features(inputs), name="resnet50")
    if path is not None:
        report = load_weights(model, path, source=str(weights), stem=STEM, stem_reversed=True)
        report.require_whole()
    return model


def features(image: Any, batch_norm_momentum: float = 0.99) -> Any:
    """The network on a Keras tensor [N, H, W, C] of RGB 0..255: its last feature map."""
    x = _subtract_mean(image)
    x = _stem(x, batch_norm_momentum)
    for stage in BLOCKS:
        for block in BLOCKS[stage]:
            first = block == "a"
            stride = 2 if first and stage > 2 else 1
            x = _bottleneck(x, stage, block, stride, first, batch_norm_momentum)
    return x


def _subtract_mean(image: Any) -> Any:
    """Bands in reversed order (BGR), less the mean; see `rv_learner.weights.spread` for other
    numbers of bands than three."""
    import keras
    from rv_learner.weights import spread

    rgb_mean = spread(BGR_MEAN[::-1], image.shape[-1])
    reversed_bands = keras.ops.flip(image, axis=-1)
    offset = [-mean for mean in reversed(rgb_mean)]
    return keras.layers.Rescaling(1.0, offset, name="subtract_mean")(reversed_bands)


def _stem(x: Any, momentum: float) -> Any:
    """A 7x7 convolution and a 3x3 max-pool, both with stride 2: a fourth of the width."""
    from keras import layers

    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, strides=2, padding="valid", name=STEM)(x)
    x = layers.BatchNormalization(epsilon=EPSILON, momentum=momentum, name="bn_conv1")(x)
    x = layers.ReLU(name="conv1_relu")(x)
    return layers.MaxPooling2D(3, strides=2, padding="valid", name="pool1")(x)


def _bottleneck(x: Any, stage: int, block: str, stride: int, project: bool, momentum: float) -> Any:
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, which is a 1x1 convolution in a stage's
    first block. The stride is on the first 1x1, and on the shortcut."""
    from keras import layers

    def conv_bn(
        x: Any, filters: int, size: int, branch: str, stride: int = 1, gamma: str = "ones"
    ) -> Any:
        where = f"{stage}{block}_branch{branch}"
        padding = "same" if size > 1 else "valid"
        x = layers.Conv2D(filters, size, strides=stride, padding=padding, name=f"res{where}")(x)
        return layers.BatchNormalization(
            epsilon=EPSILON, momentum=momentum, gamma_initializer=gamma, name=f"bn{where}"
        )(x)

    def relu(x: Any, branch: str) -> Any:
        return layers.ReLU(name=f"res{stage}{block}{branch}_relu")(x)

    width = WIDTHS[stage]
    y = relu(conv_bn(x, width, 1, "2a", stride), "_branch2a")
    y = relu(conv_bn(y, width, 3, "2b"), "_branch2b")
    # From scratch, a block begins as its shortcut alone, which a short training needs to get
    # going: Goyal et al., https://arxiv.org/abs/1706.02677, section 5.1.
    y = conv_bn(y, 4 * width, 1, "2c", gamma="zeros")
    shortcut = conv_bn(x, 4 * width, 1, "1", stride) if project else x
    return relu(layers.Add(name=f"res{stage}{block}")([y, shortcut]), "")
