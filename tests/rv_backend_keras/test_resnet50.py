"""ResNet-50 of 2016: its sizes, its arithmetic, and the weight file it takes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from rv_learner.weights import adapt_stem

from rv_backend_keras import resnet50
from rv_core import IntegrityError, ModelError, NotFoundError

pytestmark = pytest.mark.slow  # TensorFlow

EPSILON = 1e-3


@pytest.fixture(scope="module")
def loaded(zoo_file: Path):
    return resnet50(zoo_file)


def arrays(layers, name):
    return list(layers[name].values())


def convolve(x, kernel, bias, stride=1):
    """A VALID convolution written as sums, [H, W, C] by [h, w, C, F]."""
    size = kernel.shape[0]
    rows = (x.shape[0] - size) // stride + 1
    cols = (x.shape[1] - size) // stride + 1
    out = np.zeros((rows, cols, kernel.shape[3])) + bias
    for i in range(size):
        for j in range(size):
            part = x[i : i + rows * stride : stride, j : j + cols * stride : stride][:rows, :cols]
            out += part @ kernel[i, j].astype("float64")
    return out


def normalize(x, gamma, beta, mean, variance):
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def conv_bn(layers, x, where, stride=1):
    x = convolve(x, *arrays(layers, f"res{where}"), stride=stride)
    return normalize(x, *arrays(layers, f"bn{where}"))


def output_of(model, layer, image):
    import keras

    part = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(part(image[None].astype("float32"))[0])


def max_pool_valid(x):
    rows, cols = (x.shape[0] - 3) // 2 + 1, (x.shape[1] - 3) // 2 + 1
    parts = [
        x[i : i + 2 * rows : 2, j : j + 2 * cols : 2][:rows, :cols]
        for i in range(3)
        for j in range(3)
    ]
    return np.max(parts, axis=0)


@pytest.mark.parametrize(("size", "expected"), [(224, 7), (96, 3), (64, 2)])
def test_the_last_feature_map_has_2048_channels_at_a_32nd_of_the_size(loaded, size, expected):
    assert loaded.compute_output_shape((1, size, size, 3)) == (1, expected, expected, 2048)
    shape = resnet50_shape(loaded, size, "pool1")
    assert shape == (((size // 2) - 3) // 2 + 1, ((size // 2) - 3) // 2 + 1, 64)


def resnet50_shape(model, size, layer):
    return output_of(model, layer, np.zeros((size, size, 3))).shape


def test_every_array_of_the_file_lands_in_its_layer(loaded, layers_of_zoo):
    counted = 0
    for name, named in layers_of_zoo.items():
        if not named:
            continue
        values = [np.asarray(v) for v in loaded.get_layer(name).weights]
        for got, expected in zip(values, named.values(), strict=True):
            np.testing.assert_array_equal(got, expected)
        counted += 1
    assert counted == 53 + 53
    assert counted == sum(1 for layer in loaded.layers if layer.weights)


def test_the_stem_subtracts_the_bgr_mean_pads_by_3_and_pools_valid(loaded, layers_of_zoo):
    image = np.random.default_rng(1).uniform(0, 255, (33, 40, 3))
    bgr = image[:, :, ::-1] - [103.939, 116.779, 123.68]
    x = np.pad(bgr, ((3, 3), (3, 3), (0, 0)))
    x = convolve(x, *arrays(layers_of_zoo, "conv1"), stride=2)
    x = np.maximum(normalize(x, *arrays(layers_of_zoo, "bn_conv1")), 0)
    np.testing.assert_allclose(output_of(loaded, "pool1", image), max_pool_valid(x), atol=2e-3)


@pytest.mark.parametrize(("block", "before", "stride"), [("2a", "pool1", 1), ("3a", "2c", 2)])
def test_a_stage_begins_with_the_stride_on_its_first_1x1_and_on_the_shortcut(
    loaded, layers_of_zoo, block, before, stride
):
    image = np.random.default_rng(2).uniform(0, 255, (64, 64, 3))
    before = before if before == "pool1" else f"res{before}_relu"
    x = output_of(loaded, before, image).astype("float64")
    y = np.maximum(conv_bn(layers_of_zoo, x, f"{block}_branch2a", stride), 0)
    y = np.maximum(
        conv_bn(layers_of_zoo, np.pad(y, ((1, 1), (1, 1), (0, 0))), f"{block}_branch2b"), 0
    )
    y = conv_bn(layers_of_zoo, y, f"{block}_branch2c")
    shortcut = conv_bn(layers_of_zoo, x, f"{block}_branch1", stride)
    expected = np.maximum(y + shortcut, 0)
    got = output_of(loaded, f"res{block}_relu", image)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_a_keras_2_file_with_its_weights_in_a_group_is_read_too(layers_of_zoo, write_file):
    renamed = {
        layer: {f"{layer}/{name.removeprefix(layer + '_')}": array for name, array in named.items()}
        for layer, named in layers_of_zoo.items()
    }
    model = resnet50(write_file(renamed, root="model_weights"))
    got = np.asarray(model.get_layer("bn5c_branch2c").moving_variance)
    expected = arrays(layers_of_zoo, "bn5c_branch2c")[3]
    np.testing.assert_array_equal(got, expected)


def test_arrays_of_a_layer_count_in_their_order_whatever_they_are_called(layers_of_zoo, write_file):
    odd = dict(layers_of_zoo)
    odd["bn_conv1"] = {f"param_{9 - i}": a for i, a in enumerate(arrays(odd, "bn_conv1"))}
    model = resnet50(write_file(odd))
    for got, expected in zip(
        model.get_layer("bn_conv1").weights, arrays(layers_of_zoo, "bn_conv1"), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(got), expected)


def test_the_bands_of_rgb_given_twice_count_half_each(zoo_file, loaded):
    rgb = np.random.default_rng(3).uniform(0, 255, (48, 48, 3))
    model = resnet50(zoo_file, input_shape=(48, 48, 6))
    got = output_of(model, "conv1", np.concatenate([rgb, rgb], axis=2))
    np.testing.assert_allclose(got, output_of(loaded, "conv1", rgb), rtol=1e-4, atol=1e-2)


def test_one_band_takes_the_sum_of_the_three_and_four_begin_anew_with_red(zoo_file, layers_of_zoo):
    bgr = arrays(layers_of_zoo, "conv1")[0]
    one = np.asarray(resnet50(zoo_file, input_shape=(None, None, 1)).get_layer("conv1").kernel)
    np.testing.assert_allclose(one[:, :, 0], bgr.sum(axis=2), rtol=1e-5)
    four = adapt_stem(bgr, 4, reversed_bands=True)
    red_blue_green_red = bgr[:, :, [2, 0, 1, 2]]  # the network reverses its bands
    np.testing.assert_allclose(four, red_blue_green_red * 0.75, rtol=1e-6)


def without(layers, layer, array=None):
    changed = {name: dict(named) for name, named in layers.items()}
    if array is None:
        del changed[layer]
    else:
        del changed[layer][list(changed[layer])[array]]
    return changed


def test_a_file_that_lacks_a_layer_is_refused_by_name(layers_of_zoo, write_file):
    with pytest.raises(ModelError, match=r"res4f_branch2b \(not in the file\)"):
        resnet50(write_file(without(layers_of_zoo, "res4f_branch2b")))


def test_a_layer_that_lacks_an_array_is_refused_by_name(layers_of_zoo, write_file):
    with pytest.raises(
        ModelError, match=r"bn3b_branch2a \(shapes 128 128 128, not 128 128 128 128"
    ):
        resnet50(write_file(without(layers_of_zoo, "bn3b_branch2a", 3)))


def test_an_array_of_another_shape_is_refused_by_name(layers_of_zoo, write_file):
    changed = without(layers_of_zoo, "zeropadding2d_1")
    changed["res5a_branch1"]["res5a_branch1_W:0"] = np.zeros((1, 1, 1024, 1024), "float32")
    with pytest.raises(ModelError, match=r"res5a_branch1.*1x1x1024x1024"):
        resnet50(write_file(changed))


def test_a_layer_that_the_network_lacks_is_refused_by_name(layers_of_zoo, write_file):
    extra = {**layers_of_zoo, "fc1000": {"fc1000_W:0": np.zeros((2048, 1000), "float32")}}
    with pytest.raises(ModelError, match=r"fc1000 \(not in the network\)"):
        resnet50(write_file(extra))


def test_an_array_that_no_list_mentions_is_refused(layers_of_zoo, write_file):
    path = write_file(layers_of_zoo)
    with h5py.File(path, "a") as file:
        file["conv1"].create_dataset("conv1_more:0", data=np.zeros(3))
    with pytest.raises(ModelError, match="conv1_more"):
        resnet50(path)


def test_nan_in_a_file_is_refused(layers_of_zoo, write_file):
    broken = without(layers_of_zoo, "zeropadding2d_1")
    broken["conv1"]["conv1_b:0"] = np.full(64, np.nan, "float32")
    with pytest.raises(ModelError, match=r"conv1_b:0 of layer conv1 holds NaN"):
        resnet50(write_file(broken))


def test_what_is_no_weight_file_is_refused(tmp_path):
    (tmp_path / "page.h5").write_text("<html>not found</html>")
    with pytest.raises(ModelError, match=r"page\.h5 is not a readable HDF5 file"):
        resnet50(tmp_path / "page.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("layers")
    with pytest.raises(ModelError, match="no attribute layer_names"):
        resnet50(tmp_path / "other.h5")
    with pytest.raises(NotFoundError):
        resnet50(tmp_path / "absent.h5")


def test_the_zoos_own_file_must_have_its_md5(zoo_file):
    """Another file at that address, as a kernel serves it, is refused before a network is built."""
    from rv_backend_keras.networks.resnet50 import WEIGHTS_URI

    from rv_core import FileInfo, FileSystem, Kernel, hookimpl

    class Mirror(FileSystem):
        def open(self, uri, mode="rb"):
            return zoo_file.open(mode)

        def info(self, uri):
            return FileInfo(zoo_file.stat().st_size, etag="1")

        def list_paths(self, uri, ext=""):
            return iter(())

        def delete(self, uri):
            raise NotImplementedError

        def local_path(self, uri):
            return zoo_file

    class Plugin:
        @hookimpl
        def rv_filesystem(self, uri, mode, kernel):
            return Mirror() if uri.startswith("https://github.com/") else None

    with pytest.raises(IntegrityError, match="not a268eb855778b3df3c7506639542a6af"):
        resnet50(WEIGHTS_URI, kernel=Kernel(plugins=[Plugin()]))
