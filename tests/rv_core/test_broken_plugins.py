"""A broken plugin takes only its own keys with it, and says precisely what is wrong."""

from __future__ import annotations

import pickle

import pytest

import rv_core as rv
from rv_core import Kernel

IMPL = "from rv_core import hookimpl\n@hookimpl\ndef rv_filesystem(uri, mode, kernel):\n    "

CASES = {
    "raises at import": ("x = 1 / 0", rv.PluginLoadError, "ZeroDivisionError"),
    "is not valid Python": ("def (:", rv.PluginLoadError, "SyntaxError"),
    "lacks a dependency": ("import nowhere_to_be_found", rv.PluginDependencyError, "nowhere_to_be"),
    "calls sys.exit": ("import sys; sys.exit(3)", rv.PluginLoadError, "SystemExit: 3"),
    "returns None": (IMPL + "return None", rv.PluginContractError, "None"),
    "returns the wrong type": (IMPL + "return 'fs'", rv.PluginContractError, "str, not FileSystem"),
    "raises when asked": (IMPL + "raise KeyError('x')", rv.PluginLoadError, "KeyError"),
    "exits when asked": (IMPL + "raise SystemExit(1)", rv.PluginLoadError, "SystemExit"),
    "lacks a dependency when asked": (
        IMPL + "import nowhere_to_be_found",
        rv.PluginDependencyError,
        "nowhere_to_be_found",
    ),
    "implements nothing": ("x = 1", rv.PluginContractError, "implements no rv_filesystem"),
    "has another signature": (
        "from rv_core import hookimpl\n@hookimpl\ndef rv_filesystem(uri, flavour): ...",
        rv.PluginContractError,
        "flavour",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_names_distribution_version_file_and_what_to_do(
    case, make_distribution, memory_plugin
):
    source, kind, said = CASES[case]
    entry = {"rv.filesystems.v1": {"bad": "acme_bad"}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": source}, version="2.3")
    memory_plugin("acme-good", "good")
    kernel = Kernel(path=[path])
    with pytest.raises(rv.PluginError) as caught:
        kernel.filesystem("bad://x")
    error = caught.value
    assert type(error) is kind
    assert error.distribution == "acme-bad"
    assert "acme-bad 2.3" in str(error)
    assert "acme_bad.py" in str(error)
    assert said in str(error)
    assert "\n" not in str(error)
    assert "acme-bad" in error.hint

    kernel.files.write_str("good://x", "still fine")
    assert kernel.files.read_str("good://x") == "still fine"
    assert {p.distribution for p in kernel.plugins()} == {"acme-bad", "acme-good"}


@pytest.mark.parametrize("target", ["no_such_module", "acme_bad:no_such_name", "acme_bad:a.b"])
def test_an_entry_point_that_leads_nowhere(target, make_distribution):
    entry = {"rv.filesystems.v1": {"bad": target}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": "a = 1"})
    kernel = Kernel(path=[path])
    with pytest.raises(rv.PluginLoadError) as caught:
        kernel.filesystem("bad://x")
    assert type(caught.value) is rv.PluginLoadError
    assert target.partition(":")[0] in str(caught.value)
    assert kernel.plugins()[0].status == "broken"
    assert "acme-bad 1.0" in kernel.plugins()[0].keys[0].detail


def test_a_plugin_that_failed_is_tried_afresh_by_the_next_kernel(make_distribution):
    entry = {"rv.filesystems.v1": {"bad": "acme_bad"}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": "x = 1 / 0"})
    for _ in range(2):
        with pytest.raises(rv.PluginLoadError, match="ZeroDivisionError"):
            Kernel(path=[path]).filesystem("bad://x")


def test_ctrl_c_during_an_import_is_not_swallowed(make_distribution):
    entry = {"rv.filesystems.v1": {"bad": "acme_bad"}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        Kernel(path=[path]).filesystem("bad://x")


def test_check_imports_everything_and_says_what_came_of_it(make_distribution, memory_plugin):
    entry = {"rv.filesystems.v1": {"bad": "acme_bad"}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": "x = 1 / 0"})
    memory_plugin("acme-good", "good")
    memory_plugin("acme-off", "off")
    kernel = Kernel(path=[path], disable=["acme-off"])
    assert {p.distribution: p.status for p in kernel.check()} == {
        "acme-bad": "broken",
        "acme-good": "loaded",
        "acme-off": "disabled",
    }


class AcmeError(rv.RVError):
    """An error of a plugin's own, with a constructor of its own."""

    def __init__(self, place, code):
        super().__init__(f"{place} says {code}", hint="ask Acme")
        self.code = code


def test_errors_travel_between_processes_whole():
    own = pickle.loads(pickle.dumps(AcmeError("there", 7)))
    assert (str(own), own.hint, own.code) == ("there says 7", "ask Acme", 7)

    error = rv.PluginDependencyError("lacks x", hint="install x", distribution="acme")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is rv.PluginDependencyError
    assert (str(again), again.hint, again.distribution) == ("lacks x", "install x", "acme")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[rv.filesystems.v1]\nthis is no entry\n"),
        ("entry_points.txt", b"\xff\xfe rv.filesystems.v1"),
        ("METADATA", None),
        ("METADATA", b""),
        ("METADATA", b"\xff\xfe"),
    ],
)
def test_metadata_that_cannot_be_read_takes_only_its_own_distribution_away(
    file, content, make_distribution, memory_plugin, caplog
):
    path = make_distribution("acme-torn", {"rv.filesystems.v1": {"torn": "acme_torn"}})
    torn = path / "acme_torn-1.0.dist-info"
    (torn / file).unlink()
    if content is not None:
        (torn / file).write_bytes(content)
    memory_plugin("acme-good", "good")
    kernel = Kernel(path=[path])
    kernel.files.write_str("good://x", "still fine")
    assert [p.distribution for p in kernel.plugins()] == ["acme-good"]
    assert str(torn) in caplog.text


def test_check_imports_no_plugin_of_another_contract_version(make_distribution, tmp_path):
    entry = {"rv.filesystems.v2": {"mem": "acme_new"}, "rv.hooks.v2": {"audit": "acme_new"}}
    source = f"open({str(tmp_path / 'imported')!r}, 'w').close()"
    path = make_distribution("acme-new", entry, {"acme_new.py": source})
    kernel = Kernel(path=[path])
    assert [p.status for p in kernel.check()] == ["incompatible"]
    assert not kernel.has_key("mem")
    assert kernel.keys("filesystems") == []
    assert not (tmp_path / "imported").exists()
