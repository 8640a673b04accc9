"""Model defaults from several distributions and a JSON of the user's, merged by one rule."""

from __future__ import annotations

import json
import re

import pytest

import rv_core as rv
from rv_core import Kernel

BACKEND = """
import attrs
from rv_core import Backend, BackendConfig, hookimpl

@attrs.frozen(kw_only=True, slots=False)
class Config(BackendConfig):
    backend = "ACME"
    layers: dict = attrs.field(factory=dict)

class Acme(Backend):
    key, Config, tasks, chip_format = "ACME", Config, frozenset({"T"}), "f"
    def chip_writer(self, chips_uri, split, shard, spec): ...
    def read_chips(self, chips_uri, split): ...
    def train(self, chips_uri, output_uri, context): ...
    def load_model(self, model_uri): ...

@hookimpl
def rv_backend(key, kernel):
    return Acme if key == "ACME" else None
"""


def defaults(entries: dict) -> str:
    return f"""
from rv_core import hookimpl

@hookimpl
def rv_model_defaults(backend, kernel):
    return {entries!r} if backend == "ACME" else None
"""


@pytest.fixture
def install(make_distribution):
    def make(**others):
        groups = {
            "rv.backends.v1": {"ACME": "acme_own"},
            "rv.model_defaults.v1": {"ACME": "acme_own"},
        }
        own = {
            "SMALL": {"batch_size": 4, "layers": {"a": 1, "b": [1, 2]}},
            "BIG": {"batch_size": 32},
        }
        path = make_distribution("acme-own", groups, {"acme_own.py": BACKEND + defaults(own)})
        for name, entries in others.items():
            group = {"rv.model_defaults.v1": {"ACME": name}}
            make_distribution(name, group, {f"{name}.py": defaults(entries)})
        return path

    return make


def test_other_distributions_come_over_the_backends_own(install):
    kernel = Kernel(
        path=[install(other={"SMALL": {"layers": {"b": [3]}}, "NEW": {"batch_size": 1}})]
    )
    found = kernel.model_defaults("ACME")
    assert found["SMALL"] == {"batch_size": 4, "layers": {"a": 1, "b": [3]}}
    assert list(found) == ["BIG", "NEW", "SMALL"]
    assert found.origins["SMALL"] == ("acme-own 1.0", "other 1.0")


def test_one_key_from_two_others_is_a_conflict_until_pinned(install):
    path = install(one={"NEW": {"batch_size": 1}}, two={"NEW": {"batch_size": 2}})
    found = Kernel(path=[path]).model_defaults("ACME")
    assert list(found) == ["BIG", "SMALL"]
    with pytest.raises(rv.PluginConflictError, match=r"one 1.0 and two 1.0"):
        found["NEW"]
    pinned = Kernel(path=[path], config={"rv": {"pins": {"ACME/NEW": "Two"}}})
    assert pinned.model_defaults("ACME")["NEW"] == {"batch_size": 2}


@pytest.mark.parametrize(("pin", "size"), [("two", 2), ("acme-own", 4)])
def test_a_pin_decides_among_all_that_give_an_entry(install, pin, size):
    path = install(one={"SMALL": {"batch_size": 1}}, two={"SMALL": {"batch_size": 2}})
    kernel = Kernel(path=[path], config={"rv": {"pins": {"ACME/SMALL": pin}}})
    found = kernel.model_defaults("ACME")["SMALL"]
    assert found == {"batch_size": size, "layers": {"a": 1, "b": [1, 2]}}


def test_an_entry_in_conflict_is_a_key_but_the_users_json_does_not_settle_it(install, user_json):
    path = install(one={"NEW": {"batch_size": 1}}, two={"NEW": {"batch_size": 2}})
    kernel = user_json(path, '{"ACME": {"NEW": {"debug": true}}}')
    assert kernel.has_key("NEW")
    assert "NEW" not in list(kernel.model_defaults("ACME"))
    with pytest.raises(rv.PluginConflictError):
        _ = kernel.model_defaults("ACME")["NEW"]


def test_a_pin_to_something_without_such_defaults_says_so(install):
    path = install(one={"NEW": {}})
    kernel = Kernel(path=[path], config={"rv": {"pins": {"ACME/NEW": "ghost"}}})
    with pytest.raises(rv.ConfigError, match="ACME/NEW is pinned to ghost") as caught:
        kernel.model_defaults("ACME")
    assert "one 1.0" in caught.value.hint


def test_two_that_override_the_same_entry_are_a_conflict(install):
    entry = {"NEW": {"batch_size": 1, "override": True}}
    with pytest.raises(rv.PluginConflictError):
        _ = Kernel(path=[install(one=entry, two=entry)]).model_defaults("ACME")["NEW"]


def test_an_empty_variable_counts_as_no_json(install, monkeypatch):
    monkeypatch.setenv("RV_MODEL_DEFAULTS_URI", "")
    assert list(Kernel(path=[install()]).model_defaults("ACME")) == ["BIG", "SMALL"]


def test_an_entry_that_overrides_is_no_conflict(install):
    path = install(
        one={"NEW": {"batch_size": 1, "debug": True}},
        two={"NEW": {"batch_size": 2, "override": True}},
    )
    assert Kernel(path=[path]).model_defaults("ACME")["NEW"] == {"batch_size": 2, "debug": True}


@pytest.fixture
def user_json(memory_plugin):
    """A kernel whose RV_MODEL_DEFAULTS_URI leads to this JSON."""

    def make(path, text):
        memory_plugin("acme-mem", "mem")
        kernel = Kernel(path=[path], config={"rv": {"model_defaults_uri": "mem://user.json?sig=x"}})
        kernel.files.write_str("mem://user.json?sig=x", text)
        return kernel

    return make


def test_the_users_json_adds_overrides_and_replaces(install, user_json):
    path = install()
    entries = {"ACME": {"SMALL": {"batch_size": 9}, "MINE": {"batch_size": 3}}}
    kernel = user_json(path, json.dumps(entries))
    found = kernel.model_defaults("ACME")
    assert found["SMALL"] == {"batch_size": 9, "layers": {"a": 1, "b": [1, 2]}}
    assert found["MINE"] == {"batch_size": 3}
    assert found.origins["SMALL"] == ("acme-own 1.0", "mem://user.json")

    kernel.files.write_str("mem://user.json?sig=x", json.dumps({**entries, "replace": True}))
    again = Kernel(path=[path], config={"rv": {"model_defaults_uri": "mem://user.json?sig=x"}})
    assert dict(again.model_defaults("ACME")) == {
        "SMALL": {"batch_size": 9},
        "MINE": {"batch_size": 3},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"ACME": {\n "SMALL": }}', "line 2, column 11"),
        ("[1]", "must hold a JSON object"),
        ('{"ACME": 3}', "'ACME' must hold a mapping"),
        ('{"ACME": {"SMALL": 3}}', "'SMALL' must be a mapping"),
    ],
)
def test_a_malformed_json_is_named_with_the_place_of_the_mistake(text, said, install, user_json):
    kernel = user_json(install(), text)
    with pytest.raises(rv.ConfigError, match=said) as caught:
        kernel.model_defaults("ACME")
    assert "mem://user.json" in str(caught.value)
    assert "sig=x" not in str(caught.value)


def test_a_broken_defaults_package_takes_only_its_own_entries(install, make_distribution, caplog):
    path = install()
    make_distribution("sad", {"rv.model_defaults.v1": {"ACME": "sad"}}, {"sad.py": "1/0"})
    assert list(Kernel(path=[path]).model_defaults("ACME")) == ["BIG", "SMALL"]
    assert "sad 1.0" in caplog.text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (defaults({"SMALL": 3}), "gave 'SMALL' as 3"),
        (defaults([1]), "gave list, not a mapping"),
        (
            defaults({}).replace(
                "return", "import rv_core, json; rv_core.read_model_defaults_json('sad'); return"
            ),
            "sad/model_defaults.json is not valid JSON: .* line 2",
        ),
    ],
)
def test_defaults_that_cannot_be_used_take_only_themselves_away(
    source, said, install, make_distribution, caplog, monkeypatch
):
    path = install()
    files = {"sad/__init__.py": source, "sad/model_defaults.json": "{\n"}
    make_distribution("sad", {"rv.model_defaults.v1": {"ACME": "sad"}}, files)
    assert list(Kernel(path=[path]).model_defaults("ACME")) == ["BIG", "SMALL"]
    assert re.search(said, caplog.text)
    assert "sad 1.0" in caplog.text


def test_resolving_fills_defaults_in_below_explicit_fields(install):
    kernel = Kernel(path=[install()])
    config = kernel.backend_config("ACME", model_defaults="SMALL", layers={"a": 7})
    resolved = kernel.resolve(config)
    assert resolved.batch_size == 4
    assert resolved.layers == {"a": 7, "b": [1, 2]}
    assert config.batch_size == 8
    late = kernel.resolve(kernel.backend_config("ACME", batch_size=2).with_model_defaults("SMALL"))
    assert late.batch_size == 2


def test_an_unknown_model_key_gives_close_matches(install):
    kernel = Kernel(path=[install()])
    with pytest.raises(rv.UnknownKeyError, match="'SMAL' for ACME") as caught:
        kernel.resolve(kernel.backend_config("ACME", model_defaults="SMAL"))
    assert "did you mean 'SMALL'?" in caught.value.hint


def test_an_unknown_field_gives_a_close_match(install):
    with pytest.raises(rv.ConfigError, match="no field 'batch_sise'") as caught:
        Kernel(path=[install()]).backend_config("ACME", batch_sise=2)
    assert "batch_size" in caught.value.hint


def test_keys_of_models_are_found_by_name(install):
    kernel = Kernel(path=[install()])
    assert kernel.has_key("ACME")
    assert kernel.has_key("SMALL")
    assert not kernel.has_key("TINY")
