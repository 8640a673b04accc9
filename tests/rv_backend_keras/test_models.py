"""A trained model in use, and the parts that make the training sound."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from rv_backend_keras.augmentation import augment
from rv_backend_keras.learner import class_weights, macro_f1

from rv_backend_keras import Augmentation
from rv_core import ChipSpec, ClassMap, ConfigError, ModelError

pytestmark = pytest.mark.slow  # TensorFlow


@pytest.fixture(scope="module")
def model(kernel, small, trained):
    return kernel.backend("KERAS_CLASSIFICATION")(small, kernel).load_model(trained.model_uri)


def test_a_model_knows_its_classes_and_scores_every_chip(model, draw_chips):
    chips, ids = draw_chips(40)
    labels = model.predict(chips)
    assert (model.classes.names, model.bands) == (("dark", "bright"), 3)
    assert np.mean([label.class_id == i for label, i in zip(labels, ids, strict=True)]) > 0.9
    for label in labels:
        assert label.scores.dtype == np.float32
        assert label.scores.shape == (2,)
        assert label.scores.sum() == pytest.approx(1, abs=1e-5)
        assert label.class_id == label.scores.argmax()


def test_scores_do_not_depend_on_how_many_chips_are_asked_for(model, draw_chips):
    chips, _ = draw_chips(70)
    whole = [label.scores for label in model.predict(chips)]
    for count in (1, 31, 33):
        for one, other in zip(model.predict(chips[:count]), whole, strict=False):
            np.testing.assert_array_equal(one.scores, other)
    assert model.predict(chips[:0]) == []
    assert model._scores.experimental_get_tracing_count() == 1


def test_chips_of_another_shape_or_dtype_are_refused(model, draw_chips):
    chips, _ = draw_chips(2)
    for wrong in (chips[:, :8], chips[..., :2], chips[0], chips.astype("float32")):
        with pytest.raises(ModelError, match=r"takes uint8 chips \[N, 16, 16, 3\], got"):
            model.predict(wrong)


def test_what_is_no_model_of_ours_is_refused(tmp_path, kernel, small, trained):
    backend = kernel.backend("KERAS_CLASSIFICATION")(small, kernel)
    with pytest.raises(ModelError, match="is not a model that KERAS_CLASSIFICATION trained"):
        backend.load_model(trained.pretrained_uri)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"lacks rv\.json"):
        backend.load_model(str(tmp_path / "other.keras"))


def test_a_model_with_code_in_it_is_not_loaded(tmp_path, kernel, small, trained):
    import keras

    inputs = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(keras.layers.Lambda(lambda x: x * 2)(inputs))
    keras.Model(inputs, flat).save(tmp_path / "evil.keras")
    with (
        zipfile.ZipFile(trained.model_uri) as good,
        zipfile.ZipFile(tmp_path / "evil.keras", "a") as evil,
    ):
        evil.writestr("rv.json", good.read("rv.json"))
    backend = kernel.backend("KERAS_CLASSIFICATION")(small, kernel)
    with pytest.raises(ModelError, match=r"evil\.keras cannot be loaded"):
        backend.load_model(str(tmp_path / "evil.keras"))


def as_set(chips):
    return {np.asarray(chip).tobytes() for chip in chips}


def test_augmentation_gives_the_eight_ways_to_lay_a_square_chip():
    import tensorflow as tf

    chip = np.arange(27, dtype="float32").reshape(3, 3, 3)
    batch = tf.constant(np.stack([chip] * 200))
    options = Augmentation(brightness=0.0)
    made = augment(batch, options, tf.constant([1, 2]))
    ways = [np.rot90(side, k) for side in (chip, chip[:, ::-1]) for k in range(4)]
    assert as_set(made) == as_set(np.ascontiguousarray(way) for way in ways)
    again = augment(batch, options, tf.constant([1, 2]))
    np.testing.assert_array_equal(made, again)
    assert not np.array_equal(made, augment(batch, options, tf.constant([1, 10])))


def test_augmentation_keeps_the_shape_of_oblong_chips_and_brightens_within_bounds():
    import tensorflow as tf

    chip = np.arange(1, 7, dtype="float32").reshape(2, 3, 1)
    batch = tf.constant(np.stack([chip] * 100))
    turned = augment(batch, Augmentation(brightness=0.0), tf.constant([1, 2]))
    ways = [chip, chip[::-1], chip[:, ::-1], chip[::-1, ::-1]]
    assert as_set(turned) == as_set(np.ascontiguousarray(way) for way in ways)
    only = Augmentation(flip_horizontal=False, flip_vertical=False, rotate=False, brightness=0.2)
    ratios = np.asarray(augment(batch, only, tf.constant([1, 2]))) / chip
    assert 0.8 <= ratios.min() < 0.9
    assert 1.1 < ratios.max() <= 1.2
    np.testing.assert_allclose(ratios, ratios[:, :1, :1] * np.ones_like(ratios), rtol=1e-6)
    same = augment(batch, Augmentation.none(), tf.constant([1, 2]))
    np.testing.assert_array_equal(same, batch)


def test_balanced_class_weights_make_each_class_count_the_same():
    classes = ClassMap.of("a", "b", "c")
    weights = class_weights("balanced", classes, {0: 30, 1: 10})
    assert weights == [40 / 60, 40 / 20, 0.0]
    assert class_weights({"b": 3}, classes, {}) == [1.0, 3.0, 1.0]
    assert class_weights(None, classes, {}) == [1.0] * 3
    with pytest.raises(ConfigError, match="unknown class"):
        class_weights({"d": 3}, classes, {})


def test_macro_f1_by_hand():
    assert macro_f1(np.array([[8, 2], [1, 9]])) == pytest.approx((16 / 19 + 18 / 21) / 2)
    assert macro_f1(np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])) == 1.0


def test_recalibration_gives_batch_norm_the_statistics_of_the_data():
    import keras
    from rv_learner.batch_norm import Recalibration

    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(momentum=0.9)])
    layer = model.layers[0]
    layer.moving_mean.assign([70.0, -5.0])
    data = np.random.default_rng(0).normal([3, -1], [2, 0.5], (40, 32, 2)).astype("float32")
    Recalibration(model, lambda batch: model(batch, training=True)).run(data)
    np.testing.assert_allclose(layer.moving_mean, data.mean(axis=(0, 1)), rtol=1e-3)
    np.testing.assert_allclose(layer.moving_variance, data.var(axis=1).mean(axis=0), rtol=1e-3)
    assert layer.momentum == 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", ["resnet50", "mobilenet_v3_small", "efficientnet_v2_b0", "convnext_tiny"]
)
def test_every_network_is_saved_whole_and_loads_in_safe_mode(tmp_path, network):
    from rv_backend_keras.classifier import InputScale, build_classifier
    from rv_backend_keras.model_file import read_model, save_model

    from rv_backend_keras import KerasClassificationConfig

    spec = ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("a", "b", "c"), 4, "uint8", (40, 48))
    config = KerasClassificationConfig().with_network(network).with_dropout(0.1)
    built = build_classifier(config, spec, InputScale([1.1] * 4, [0.0] * 4)).scores
    save_model(built, spec, tmp_path / "model.keras")
    model = read_model(tmp_path / "model.keras", "model.keras")
    chips = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 4), "uint8")
    expected = np.asarray(built(chips.astype("float32")))
    got = np.stack([label.scores for label in model.predict(chips)])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
