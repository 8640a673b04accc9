"""Settings come from several places in a fixed order, and each knows where it came from."""

from __future__ import annotations

import sys

import pytest
from rv_core._platform_dirs import user_cache_dir, user_config_dir

import rv_core as rv
from rv_core import Config


@pytest.fixture
def places(tmp_path):
    """A project with a folder below it, and a user's config folder."""
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "user").mkdir()
    (tmp_path / "project" / "rv.toml").write_text("[s3]\na = 'project'\nb = 'project'\n")
    (tmp_path / "user" / "config.toml").write_text("[s3]\na = 'user'\nb = 'user'\nc = 'user'\n")
    (tmp_path / "user" / "work.toml").write_text("[s3]\nc = 'work'\n")

    def load(arguments=None, environ=None, **options):
        return Config.load(
            arguments,
            environ=environ or {},
            project_dir=tmp_path / "project" / "deep",
            user_dir=tmp_path / "user",
            **options,
        )

    return load


def test_precedence_and_origins(places, tmp_path):
    config = places({"s3": {"x": 1}}, {"RV_S3_A": "env", "RV_S3_X": "2"})
    found = {k: config.lookup("s3", k, "plugin") for k in "xabcd"}
    assert {k: s.value for k, s in found.items()} == {
        "x": 1, "a": "env", "b": "project", "c": "user", "d": "plugin",
    }  # fmt: skip
    assert found["x"].origin == "argument"
    assert found["a"].origin == "environment RV_S3_A"
    assert found["b"].origin == f"project {tmp_path / 'project' / 'rv.toml'}"
    assert found["c"].origin == f"user {tmp_path / 'user' / 'config.toml'}"
    assert found["d"].origin == "default"


def test_a_profile_is_another_file_of_the_user(places):
    assert places(profile="work").get("s3", "c") == "work"
    assert places(environ={"RV_PROFILE": "work"}).get("s3", "c") == "work"
    with pytest.raises(rv.ConfigError, match="no profile 'wrok'") as caught:
        places(profile="wrok")
    assert "work" in caught.value.hint
    with pytest.raises(rv.ConfigError, match="not the name of a profile"):
        places(profile="../evil")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these keep settings elsewhere")
def test_the_users_folder_is_where_the_platform_says(tmp_path):
    for environ, folder in [
        ({"HOME": "/home/me"}, "/home/me/.config/rv"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "/my/config"}, "/my/config/rv"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "not/absolute"}, "/home/me/.config/rv"),
    ]:
        assert str(user_config_dir(environ)) == folder
    assert str(user_cache_dir({"HOME": "/home/me"})) == "/home/me/.cache/rv"
    (tmp_path / "rv").mkdir()
    (tmp_path / "rv" / "work.toml").write_text("[thing]\nsize = 3\n")
    place = {"XDG_CONFIG_HOME": str(tmp_path), "RV_PROFILE": "work"}
    assert Config.load(environ=place, project_dir=tmp_path).get("thing", "size") == 3


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("true", bool, True),
        ("off", bool, False),
        ("12", int, 12),
        ("1.5", float, 1.5),
        ("a, b,c", list, ["a", "b", "c"]),
        ("s3=acme,file=other", dict, {"s3": "acme", "file": "other"}),
        ("text", str, "text"),
    ],
)
def test_variables_are_text_and_become_what_is_asked_for(text, wanted, value):
    config = Config(environ={"RV_THING_SIZE": text})
    assert config.get("thing", "size", type=wanted) == value


@pytest.mark.parametrize(
    ("value", "wanted"), [("many", int), ("maybe", bool), (True, int), ("1,2", float), (["a"], str)]
)
def test_a_value_of_the_wrong_type_names_itself_and_its_origin(value, wanted):
    config = Config({"thing": {"size": value}})
    with pytest.raises(rv.ConfigError, match=r"thing\.size must be .*from argument"):
        config.get("thing", "size", type=wanted)


def test_a_reference_stands_for_a_variable():
    config = Config({"s3": {"secret_key": {"env": "KEY"}}}, environ={"KEY": "hunter2"})
    assert config.get("s3", "secret_key") == "hunter2"
    assert "KEY" in config.lookup("s3", "secret_key").origin
    with pytest.raises(rv.ConfigError, match="NO_SUCH_KEY, which is not set"):
        Config({"s3": {"x": {"env": "NO_SUCH_KEY"}}}).get("s3", "x")


def test_a_reference_below_a_mapping_stands_for_a_variable_too():
    config = Config({"s3": {"work": {"key": {"env": "KEY"}, "region": "eu"}}}, environ={"KEY": "k"})
    assert config.get("s3", "work") == {"key": "k", "region": "eu"}
    with pytest.raises(rv.ConfigError, match=r"s3\.work from the variable NO_SUCH_KEY"):
        Config({"s3": {"work": {"key": {"env": "NO_SUCH_KEY"}}}}).get("s3", "work")


def test_secrets_are_masked_where_settings_are_shown():
    config = Config(
        {
            "s3": {
                "secret_key": "hunter2",
                "region": "eu",
                "work": {"password": "hunter2", "region": "us"},
                "mirrors": ["https://me:hunter2@host/a?b=1", "https://host/a?b=1"],
            }
        },
        environ={"RV_GS_TOKEN": "hunter2", "RV_MODEL_DEFAULTS_URI": "https://h/x?sig=hunter2"},
    )
    shown = {s.key: s.shown() for s in config.settings()}
    assert "hunter2" not in str(shown)
    assert shown["secret_key"] == shown["gs_token"] == "********"
    assert shown["work"] == {"password": "********", "region": "us"}
    assert shown["mirrors"] == ["https://host/a", "https://host/a?b=1"]
    assert shown["model_defaults_uri"] == "https://h/x"
    assert shown["region"] == "eu"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rv\n", "line 1"),
        ("[rv]\n\ncache_dir = \n", "line 3"),
        ("cache_dir = 'x'\n", "outside any section"),
        ("[rv]\ncache_dri = 'x'\n", "no setting 'cache_dri'"),
    ],
)
def test_a_bad_file_is_named_with_the_place_of_the_mistake(text, said, tmp_path):
    (tmp_path / "rv.toml").write_text(text)
    with pytest.raises(rv.ConfigError, match=said) as caught:
        Config.load(environ={}, project_dir=tmp_path, user_dir=tmp_path / "none")
    assert str(tmp_path / "rv.toml") in str(caught.value)


def test_a_mistyped_setting_gets_a_close_match():
    with pytest.raises(rv.ConfigError) as caught:
        Config({"rv": {"disable_plugin": ["x"]}})
    assert caught.value.hint == "did you mean 'disable_plugins'?"


def test_every_setting_is_listed_with_its_origin(places):
    listed = {(s.section, s.key): s for s in places(environ={"RV_ODD_ONE": "1"}).settings()}
    assert listed["rv", "cache_dir"].origin == "default"
    assert listed["s3", "b"].value == "project"
    assert listed["", "odd_one"].origin == "environment RV_ODD_ONE"
