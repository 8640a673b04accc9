"""The configuration: fluent, typed, JSON-able, and strict about what it is given."""

from __future__ import annotations

import inspect
import json
import typing

import attrs
import pytest

from rv_backend_keras import Augmentation, KerasClassificationConfig
from rv_core import ConfigError, Kernel

FIELDS = [field.name for field in attrs.fields(KerasClassificationConfig)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_written_out_typed_with_method(name):
    method = getattr(KerasClassificationConfig, f"with_{name}")
    hints = typing.get_type_hints(method)
    assert hints["return"] is typing.Self
    parameters = [p for p in inspect.signature(method).parameters if p != "self"]
    assert parameters
    assert all(parameter in hints for parameter in parameters)
    assert method.__doc__


def test_a_config_says_what_was_set_and_comes_back_from_json():
    config = (
        KerasClassificationConfig()
        .with_model_defaults("RESNET50_IMAGENET")
        .with_augmentation(brightness=0.3)
        .with_augmentation(rotate=False)
        .with_schedule("step", decay_steps=10)
        .with_class_weights({"building": 2.0})
        .with_input_range((0, 2047))
        .with_early_stopping(4)
    )
    data = json.loads(json.dumps(config.to_dict()))
    assert data == {
        "backend": "KERAS_CLASSIFICATION",
        "model_defaults": "RESNET50_IMAGENET",
        "augmentation": {"brightness": 0.3, "rotate": False},
        "schedule": {"kind": "step", "decay_steps": 10},
        "class_weights": {"building": 2.0},
        "input_range": [0, 2047],
        "early_stopping": 4,
    }
    assert KerasClassificationConfig.from_dict(data) == config


def test_model_defaults_fill_in_what_was_not_set():
    kernel = Kernel()
    config = kernel.backend_config("KERAS_CLASSIFICATION", "RESNET50_IMAGENET", num_steps=5)
    resolved = kernel.resolve(config)
    assert (resolved.network, resolved.num_steps, resolved.num_epochs) == ("resnet50", 5, None)
    assert resolved.pretrained_model.endswith("tf_kernels_notop.h5")
    assert resolved.pretrained_hash == "md5:a268eb855778b3df3c7506639542a6af"
    assert resolved.pretrained_required is False


@pytest.mark.parametrize("uri", ["/earlier/model_weights.hdf5", None])
def test_weights_of_ones_own_are_required_and_not_held_to_the_defaults_hash(uri):
    kernel = Kernel()
    config = KerasClassificationConfig().with_pretrained_model(uri)
    resolved = kernel.resolve(config.with_model_defaults("RESNET50_IMAGENET"))
    assert (resolved.pretrained_model, resolved.pretrained_hash) == (uri, None)
    assert resolved.pretrained_required is True


def test_the_keys_are_attributes_of_rv_core():
    import rv_core as rv

    assert rv.KERAS_CLASSIFICATION == "KERAS_CLASSIFICATION"
    assert rv.RESNET50_IMAGENET == "RESNET50_IMAGENET"
    assert rv.MOBILENET_V3_SMALL_IMAGENET == "MOBILENET_V3_SMALL_IMAGENET"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "resnet"}, "network must be one of"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"class_weights": "even"}, "class_weights must be 'balanced'"),
        ({"class_weights": {"a": -1}}, "class_weights must be a number of at least 0"),
        ({"input_range": [5, 5]}, r"input_range must be \(low, high\)"),
        ({"pretrained_hash": "abc"}, "pretrained_hash must begin with md5: or sha256:"),
        ({"schedule": {"kind": "linear"}}, "kind must be one of"),
        ({"augmentation": {"flip": True}}, "no field 'flip'"),
        ({"early_stoping": 1}, "no field 'early_stoping'"),
    ],
)
def test_wrong_values_are_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        KerasClassificationConfig.from_dict(fields)


def test_no_augmentation_at_all():
    config = KerasClassificationConfig().with_augmentation(Augmentation.none())
    assert config.augmentation.values() == {
        "flip_horizontal": False, "flip_vertical": False, "rotate": False, "brightness": 0.0,
    }  # fmt: skip
