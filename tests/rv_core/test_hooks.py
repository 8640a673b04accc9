"""Cross-cutting plugins: they see every call, wrap what others answer, and own no key."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import pytest

import rv_core as rv
from rv_core import Kernel

DENY = """
from rv_core import AccessDeniedError, hookimpl

@hookimpl(wrapper=True)
def rv_filesystem(uri, mode, kernel):
    if "secret" in uri:
        raise AccessDeniedError(f"the audit policy denies {uri}")
    return (yield)
"""

COUNT = """
from rv_core import FileSystem, hookimpl

CALLS = []

class Counting(FileSystem):
    def __init__(self, inner):
        self.inner = inner
    def open(self, uri, mode="rb"):
        CALLS.append(("open", uri, mode))
        return self.inner.open(uri, mode)
    def info(self, uri):
        CALLS.append(("info", uri))
        return self.inner.info(uri)
    def list_paths(self, uri, ext=""):
        return self.inner.list_paths(uri, ext)
    def delete(self, uri):
        self.inner.delete(uri)

@hookimpl(wrapper=True)
def rv_filesystem(uri, mode, kernel):
    return Counting((yield))
"""


def test_a_wrapper_denies_a_uri(memory_plugin, make_distribution):
    path = memory_plugin("acme-mem", "mem")
    make_distribution(
        "acme-audit", {"rv.hooks.v1": {"audit": "acme_audit"}}, {"acme_audit.py": DENY}
    )
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://open", "x")
    for use in (kernel.files.read_str, kernel.files.delete, kernel.files.local_path):
        with pytest.raises(rv.AccessDeniedError, match="audit policy"):
            use("mem://secret")
    with pytest.raises(rv.AccessDeniedError):
        kernel.files.copy("mem://open", "mem://secret")


def test_a_wrapper_returns_a_proxy_that_counts_calls(memory_plugin, make_distribution):
    path = memory_plugin("acme-mem", "mem")
    make_distribution(
        "acme-count", {"rv.hooks.v1": {"count": "acme_count"}}, {"acme_count.py": COUNT}
    )
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://a", "x")
    kernel.files.read_str("mem://a")
    assert sys.modules["acme_count"].CALLS == [("open", "mem://a", "wb"), ("open", "mem://a", "rb")]


def test_cross_cutting_plugins_are_not_imported_before_the_first_hook_call(
    memory_plugin, make_distribution
):
    path = memory_plugin("acme-mem", "mem")
    make_distribution(
        "acme-audit", {"rv.hooks.v1": {"audit": "acme_audit"}}, {"acme_audit.py": DENY}
    )
    kernel = Kernel(path=[path])
    kernel.plugins()
    assert "acme_audit" not in sys.modules
    kernel.filesystem("mem://x")
    assert "acme_audit" in sys.modules


def test_a_broken_cross_cutting_plugin_is_left_out_with_a_warning(
    memory_plugin, make_distribution, caplog
):
    path = memory_plugin("acme-mem", "mem")
    make_distribution(
        "acme-audit", {"rv.hooks.v1": {"audit": "acme_audit"}}, {"acme_audit.py": "1/0"}
    )
    kernel = Kernel(path=[path])
    with caplog.at_level(logging.WARNING):
        kernel.files.write_str("mem://x", "x")
    assert "acme-audit 1.0" in caplog.text
    assert {p.distribution: p.status for p in kernel.plugins()}["acme-audit"] == "broken"


def test_one_module_under_two_names_wraps_once(memory_plugin, make_distribution):
    path = memory_plugin("acme-mem", "mem")
    groups = {"rv.hooks.v1": {"one": "acme_count", "two": "acme_count"}}
    make_distribution("acme-count", groups, {"acme_count.py": COUNT})
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://a", "x")
    assert sys.modules["acme_count"].CALLS == [("open", "mem://a", "wb")]


@pytest.mark.parametrize("scheme", ["mem", "*"])
@pytest.mark.parametrize("installed", [True, False])
def test_required_hooks_that_are_not_in_use_stop_everything(
    installed, scheme, make_distribution, memory_storage
):
    entry = {"rv.filesystems.v1": {scheme: "acme_mem"}}
    path = make_distribution("acme-mem", entry, {"acme_mem.py": memory_storage("mem")})
    if installed:
        entry = {"rv.hooks.v1": {"audit": "acme_audit"}}
        make_distribution("acme-audit", entry, {"acme_audit.py": "1/0"})
    kernel = Kernel(path=[path], config={"rv": {"require_hooks": ["acme-audit"]}})
    with pytest.raises(rv.RVError, match="acme-audit"):
        kernel.filesystem("mem://x")
    assert "acme_mem" not in sys.modules


def test_a_cross_cutting_plugin_cannot_answer_for_a_key(memory_plugin, make_distribution, caplog):
    path = memory_plugin("acme-mem", "mem")
    source = """
    from rv_core import hookimpl
    @hookimpl(tryfirst=True)
    def rv_filesystem(uri, mode, kernel):
        raise RuntimeError("never called")
    """
    make_distribution("acme-sly", {"rv.hooks.v1": {"sly": "acme_sly"}}, {"acme_sly.py": source})
    kernel = Kernel(path=[path])
    kernel.filesystem("mem://x")
    assert "acme-sly 1.0 is cross-cutting, but implements rv_filesystem" in caplog.text


def test_a_storage_plugin_that_calls_itself_cross_cutting_still_serves_its_scheme(
    make_distribution, memory_storage, caplog
):
    groups = {"rv.filesystems.v1": {"mem": "acme_both"}, "rv.hooks.v1": {"both": "acme_both"}}
    path = make_distribution("acme-both", groups, {"acme_both.py": memory_storage("mem")})
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://x", "x")
    assert "acme-both 1.0 is cross-cutting" in caplog.text
    statuses = {key.kind: key.status for key in kernel.plugins()[0].keys}
    assert statuses == {"filesystems": "loaded", "hooks": "broken"}


MISFIT = """
from rv_core import hookimpl
@hookimpl(wrapper=True)
def rv_filesystem(uri, flavour):
    return (yield)
"""


def test_a_wrapper_that_does_not_fit_its_hook_is_left_out_with_a_warning(
    memory_plugin, make_distribution, caplog
):
    path = memory_plugin("acme-mem", "mem")
    entry = {"rv.hooks.v1": {"misfit": "acme_misfit"}}
    make_distribution("acme-misfit", entry, {"acme_misfit.py": MISFIT})
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://x", "x")
    assert "acme-misfit 1.0" in caplog.text
    assert "flavour" in caplog.text
    assert {p.distribution: p.status for p in kernel.plugins()}["acme-misfit"] == "broken"
    assert {p.distribution: p.status for p in Kernel(path=[path]).check()} == {
        "acme-mem": "loaded",
        "acme-misfit": "broken",
    }
    strict = Kernel(path=[path], config={"rv": {"require_hooks": ["acme-misfit"]}})
    with pytest.raises(rv.PluginContractError, match=r"acme-misfit 1\.0"):
        strict.filesystem("mem://x")


def test_a_cross_cutting_plugin_of_another_contract_version_is_not_imported(
    memory_plugin, make_distribution, tmp_path
):
    path = memory_plugin("acme-mem", "mem")
    source = f"open({str(tmp_path / 'imported')!r}, 'w').close()"
    make_distribution("acme-new", {"rv.hooks.v2": {"new": "acme_new"}}, {"acme_new.py": source})
    kernel = Kernel(path=[path])
    kernel.filesystem("mem://x")
    assert {p.distribution: p.status for p in kernel.plugins()}["acme-new"] == "incompatible"
    assert not (tmp_path / "imported").exists()


def test_a_bug_in_a_wrapper_is_blamed_on_the_wrapper(memory_plugin, make_distribution):
    path = memory_plugin("acme-mem", "mem")
    source = """
    from rv_core import hookimpl
    @hookimpl(wrapper=True)
    def rv_filesystem(uri, mode, kernel):
        fs = yield
        raise KeyError("oops")
    """
    make_distribution("acme-buggy", {"rv.hooks.v1": {"b": "acme_buggy"}}, {"acme_buggy.py": source})
    with pytest.raises(rv.PluginLoadError) as caught:
        Kernel(path=[path]).filesystem("mem://x")
    assert caught.value.distribution == "acme-buggy"
    assert "acme_buggy.py" in str(caught.value)


@pytest.fixture
def colors(make_distribution):
    """The hookspecs of a kind that the kernel does not know, and where a plugin of it lies."""
    specs = ModuleType("specs")
    exec(
        "from rv_core import hookspec\n@hookspec(firstresult=True)\ndef paint_color(key): ...",
        specs.__dict__,
    )
    source = """
    from rv_core import hookimpl
    @hookimpl
    def paint_color(key):
        return {"RED": "#ff0000"}.get(key)
    """
    entry = {"rv.colors.v1": {"RED": "acme_red"}}
    return specs, make_distribution("acme-red", entry, {"acme_red.py": source})


def test_plugins_may_bring_hookspecs_and_kinds_of_their_own(colors):
    specs, path = colors
    kernel = Kernel(path=[path])
    assert kernel.keys("colors") == ["RED"]
    assert kernel.call("rv.colors.v1", "RED", "paint_color", specs, key="RED") == "#ff0000"
    with pytest.raises(rv.UnknownKeyError, match="color 'BLUE'"):
        kernel.call("rv.colors.v1", "BLUE", "paint_color", specs, key="BLUE")
    with pytest.raises(rv.PluginContractError, match="str, not int"):
        kernel.call("rv.colors.v1", "RED", "paint_color", specs, int, key="RED")


def test_a_cross_cutting_plugin_wraps_such_hooks_but_answers_none(
    colors, make_distribution, caplog
):
    specs, path = colors
    sly = (
        "from rv_core import hookimpl\n@hookimpl(tryfirst=True)\ndef paint_color(key): return 'sly'"
    )
    dim = """
    from rv_core import hookimpl
    @hookimpl(wrapper=True)
    def paint_color(key):
        return "dim " + (yield)
    """
    make_distribution("acme-sly", {"rv.hooks.v1": {"sly": "acme_sly"}}, {"acme_sly.py": sly})
    make_distribution("acme-dim", {"rv.hooks.v1": {"dim": "acme_dim"}}, {"acme_dim.py": dim})
    kernel = Kernel(path=[path])
    assert kernel.call("rv.colors.v1", "RED", "paint_color", specs, key="RED") == "dim #ff0000"
    assert "acme-sly 1.0 is cross-cutting" in caplog.text


def test_load_gives_the_object_an_entry_point_names(make_distribution):
    path = make_distribution(
        "acme-cmd", {"rv.commands.v1": {"hi": "acme_cmd:group.hi"}},
        {"acme_cmd.py": "class group:\n    hi = 'hello'\n"},
    )  # fmt: skip
    assert Kernel(path=[path]).load("rv.commands.v1", "hi") == "hello"
