"""Options, class maps, manifests: the data that plugins exchange."""

from __future__ import annotations

import inspect
import json
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rv_core as rv
from rv_core import (
    BackendConfig,
    ChipManifest,
    ChipSpec,
    ClassInfo,
    ClassMap,
    ShardInfo,
    TrainOptions,
)


@attrs.frozen(kw_only=True, slots=False)
class Acme(BackendConfig):
    backend = "ACME"


def test_every_field_has_a_typed_setter():
    for field in attrs.fields(BackendConfig):
        setter = getattr(BackendConfig, f"with_{field.name}")
        hints = inspect.get_annotations(setter)
        assert hints["return"] == "Self", field.name
        assert len(hints) > 1, field.name


def test_setters_return_changed_copies():
    config = Acme()
    assert config.with_batch_size(3).batch_size == 3
    assert config.batch_size == 8
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.batch_size = 4


def test_only_what_was_set_is_kept_even_where_it_equals_the_default():
    config = Acme(batch_size=8).with_train_options(sync_interval=5)
    assert config.to_dict() == {
        "backend": "ACME", "batch_size": 8, "train_options": {"sync_interval": 5},
    }  # fmt: skip
    assert config.filled(
        {"batch_size": 64, "train_options": {"do_monitoring": False}}
    ).values() == {
        **Acme().values(),
        "batch_size": 8,
        "train_options": {**TrainOptions().values(), "sync_interval": 5, "do_monitoring": False},
    }


def test_train_options_that_are_not_given_stay():
    config = Acme().with_train_options(sync_interval=5).with_train_options(do_monitoring=False)
    assert config.train_options == TrainOptions(sync_interval=5, do_monitoring=False)


def test_a_number_of_steps_takes_the_place_of_epochs_from_anywhere():
    assert Acme(num_epochs=3).with_num_steps(10).num_epochs is None
    assert Acme(num_steps=10).filled({"num_epochs": 3}).num_epochs is None
    assert Acme().filled({"num_epochs": 3}).num_epochs == 3


def test_no_pretrained_model_is_something_one_can_ask_for():
    defaults = {"pretrained_model": "s3://weights"}
    assert Acme().filled(defaults).pretrained_model == "s3://weights"
    assert Acme().with_pretrained_model(None).filled(defaults).pretrained_model is None


@given(st.integers(1, 99), st.booleans(), st.floats(1, 1e6), st.none() | st.text(min_size=1))
def test_a_config_survives_json_and_pickle(size, debug, interval, uri):
    config = Acme(batch_size=size, debug=debug, pretrained_model=uri)
    config = config.with_train_options(sync_interval=interval)
    again = Acme.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config == pickle.loads(pickle.dumps(config))
    assert again.explicit() == config.explicit() == pickle.loads(pickle.dumps(config)).explicit()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": True}, "got True"),
        ({"debug": 1}, "true or false"),
        ({"pretrained_model": ""}, "not empty"),
        ({"train_options": {"sync_interval": "often"}}, "sync_interval must be a number"),
        ({"train_options": {"sync_interval": float("nan")}}, "sync_interval must be a number"),
        ({"train_options": {"sync_intervall": 1}}, "no field 'sync_intervall'"),
        ({"train_options": 3}, "spelled as a mapping"),
        ({"backend": "OTHER"}, "configuration of OTHER, not of ACME"),
    ],
)
def test_bad_values_name_the_field_and_what_it_takes(fields, said):
    with pytest.raises(rv.ConfigError, match=said):
        Acme.from_dict(fields)


def test_class_ids_are_positions():
    classes = ClassMap.of("building", "background")
    assert (classes.id_of("background"), classes.name_of(0), len(classes)) == (1, "building", 2)
    with pytest.raises(rv.ConfigError, match="unknown class 'bilding'") as caught:
        classes.id_of("bilding")
    assert caught.value.hint == "did you mean 'building'?"
    with pytest.raises(rv.ConfigError, match="outside"):
        classes.name_of(-1)


@pytest.mark.parametrize("names", [[], ["a", "a"], [""], [f"c{n}" for n in range(256)]])
def test_class_maps_that_cannot_be(names):
    with pytest.raises(rv.ConfigError):
        ClassMap.of(*names)


def test_colors_are_hexadecimal():
    assert ClassInfo("a", "#00ff7F").color == "#00ff7F"
    with pytest.raises(rv.ConfigError, match="color 'red'"):
        ClassInfo("a", "red")


class Writer(rv.ChipWriter):
    end = None

    def write(self, sample): ...

    def close(self):
        self.end = "published"

    def abort(self):
        self.end = "dropped"


def test_a_chip_writer_publishes_unless_its_block_is_left_by_an_exception():
    with Writer() as writer:
        assert writer.end is None
    assert writer.end == "published"
    failed = Writer()
    with pytest.raises(KeyboardInterrupt), failed:
        raise KeyboardInterrupt
    assert failed.end == "dropped"


def test_a_manifest_survives_json_and_counts():
    spec = ChipSpec(
        "T", ClassMap((ClassInfo("a", "#000000"), ClassInfo("b"))), 3, "uint8", (64, 32)
    )
    shards = (
        ShardInfo("train-0", 3, 100, "ab", {0: 1, 1: 2}),
        ShardInfo("train-1", 1, 9, "cd", {1: 1}),
    )
    manifest = ChipManifest("fmt", spec, {"train": shards})
    again = ChipManifest.from_dict(json.loads(json.dumps(manifest.to_dict())))
    assert again == manifest
    assert (again.count("train"), again.count("validation")) == (4, 0)
    assert again.class_counts("train") == {0: 1, 1: 3}


SPEC = {"task": "T", "classes": {"classes": [{"name": "a"}]}, "bands": 3, "dtype": "uint8"}
SHARD = {"name": "s", "count": 1, "size": 1, "sha256": "ab", "class_counts": {"many": 1}}


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"version": 99},
        {"version": 1},
        {"version": 1, "format": "f"},
        {"version": 1, "format": "f", "spec": SPEC, "splits": {}},
        {"version": 1, "format": "f", "spec": {**SPEC, "size": [1, 1]}, "splits": {"x": [SHARD]}},
    ],
)
def test_a_manifest_that_is_not_whole_says_so(data):
    with pytest.raises(rv.DataError, match="manifest"):
        ChipManifest.from_dict(data)


def test_the_tree_in_the_docstring_is_the_tree():
    """The page that users read lists every error there is, and no other."""
    from rv_core import _errors

    drawn = {
        w for line in _errors.__doc__.splitlines() for w in line.split()[:4] if w.endswith("Error")
    }
    real = {n for n, v in vars(_errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert drawn == real
