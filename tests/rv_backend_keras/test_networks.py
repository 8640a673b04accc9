"""The networks from keras.applications: weight files of Keras's own fit them, array by array."""

from __future__ import annotations

import json
import re
from importlib import import_module, resources

import h5py
import numpy as np
import pytest
from rv_backend_keras.classifier import HEAD, InputScale, build_classifier
from rv_backend_keras.networks.catalog import NETWORKS
from rv_learner.weights import load_weights

from rv_backend_keras import KerasClassificationConfig
from rv_core import ChipSpec, ClassMap, ModelError

UNSCALED = InputScale([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])


def spec_of(size=32, bands=3):
    return ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("a", "b"), bands, "uint8", (size, size))


def classifier_of(network, **spec):
    config = KerasClassificationConfig().with_network(network)
    spec = spec_of(**spec)
    return build_classifier(config, spec, InputScale([1.0] * spec.bands, [0.0] * spec.bands))


def original(name, pooling):
    import keras

    apps = {
        "mobilenet_v3_small": keras.applications.MobileNetV3Small,
        "efficientnet_v2_b0": keras.applications.EfficientNetV2B0,
        "convnext_tiny": keras.applications.ConvNeXtTiny,
    }
    return apps[name](include_top=False, weights=None, input_shape=(32, 32, 3), pooling=pooling)


def randomize(model):
    rng = np.random.default_rng(5)
    for variable in model.weights:
        value = np.asarray(variable)
        spread = 0.2 * np.abs(value).mean() + 0.01
        variable.assign(value + rng.normal(0, spread, value.shape) * (value.std() < 1e-6))


def write_as_keras_2(model, path):
    """The legacy layout, with names that today's Keras no longer uses: only the order tells."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        names = [
            f"Old_{i}" if "convnext" not in model.name else x.name for i, x in enumerate(layers)
        ]
        file.attrs["layer_names"] = [n.encode() for n in names]
        for name, layer in zip(names, layers, strict=True):
            group = file.create_group(name)
            arrays = [w.path.split("/", 1)[-1] + ":0" for w in layer.weights]
            arrays = [w.path + ":0" for w in layer.weights] if "convnext" in model.name else arrays
            group.attrs["weight_names"] = [a.encode() for a in arrays]
            for array, weight in zip(arrays, layer.weights, strict=True):
                group[array] = np.asarray(weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_v2_b0", "convnext_tiny"])
def test_a_network_with_keras_own_weights_computes_what_keras_computes(tmp_path, name):
    import keras

    model = original(name, "avg")
    randomize(model)
    write_as_keras_2(model, tmp_path / "w.h5")
    ours = classifier_of(name).logits
    report = load_weights(
        ours, tmp_path / "w.h5", source="w.h5", stem=NETWORKS[name].stem, head=[HEAD]
    )
    assert (report.skipped, report.unused, report.missing) == ({}, (), (HEAD,))
    assert report.arrays == len(model.weights)
    features = keras.Model(ours.input, ours.get_layer(HEAD).input)
    image = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = np.asarray(model(image))
    assert expected.std() > 1e-4
    np.testing.assert_allclose(np.asarray(features(image)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_any_number_of_bands(bands):
    model = classifier_of("small_cnn", bands=bands).scores
    scores = np.asarray(model(np.zeros((2, 32, 32, bands), "float32")))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_chips_that_are_too_small_are_refused():
    with pytest.raises(
        ModelError, match=r"mobilenet_v3_small takes chips of at least 32.*16 by 16"
    ):
        classifier_of("mobilenet_v3_small", size=16)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_generator_alone():
    import random

    import keras  # noqa: F401  whose import draws from it

    random.seed(3)
    expected = random.Random(3).random()
    one, other = (classifier_of("small_cnn").logits.get_weights() for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert random.random() == expected
    config = KerasClassificationConfig().with_network("small_cnn").with_seed(1)
    third = build_classifier(config, spec_of(), UNSCALED).logits.get_weights()
    assert not np.array_equal(one[0], third[0])


def test_the_defaults_name_the_files_and_hashes_that_keras_names():
    text = resources.files("rv_backend_keras").joinpath("model_defaults.json").read_text()
    for key, entry in json.loads(text).items():
        config = KerasClassificationConfig.from_dict(entry)
        if config.pretrained_model is None or key == "RESNET50_IMAGENET":
            continue
        assert config.pretrained_required is False
        module = {
            "mobilenet_v3_small": "mobilenet_v3",
            "efficientnet_v2_b0": "efficientnet_v2",
            "convnext_tiny": "convnext",
        }[config.network]
        source = import_module(f"keras.src.applications.{module}")
        base = getattr(source, "BASE_WEIGHTS_PATH", None) or source.BASE_WEIGHT_PATH
        assert config.pretrained_model.startswith(base)
        variant = {"mobilenet_v3": "small_224_1.0_float", "efficientnet_v2": "b0"}.get(
            module, "convnext_tiny"
        )
        digest = re.sub("^(md5|sha256):", "", config.pretrained_hash)
        assert digest == source.WEIGHTS_HASHES[variant][1]
