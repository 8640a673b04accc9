"""Which plugin answers for a key, and what it costs to find out."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rv_core as rv
from rv_core import Kernel

HEAVY = ["tensorflow", "keras", "numpy", "boto3", "requests", "rasterio", "click", "rich"]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_kernel_loads_nothing_heavy():
    code = f"import sys, rv_core; rv_core.Kernel(); print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_making_and_listing_a_kernel_imports_no_plugin(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    (path / "acme_mem.py").write_text("raise SystemExit('imported')")
    kernel = Kernel(path=[path])
    [plugin] = kernel.plugins()
    assert (plugin.distribution, plugin.version, plugin.status) == ("acme-mem", "1.0", "ready")
    assert plugin.location == str(path)
    assert [(k.kind, k.key) for k in plugin.keys] == [("filesystems", "mem")]
    assert "acme_mem" not in sys.modules


def test_only_the_winner_is_imported_and_it_answers(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    memory_plugin("acme-ram", "ram")
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://a/b.txt", "hello")
    assert kernel.files.read_str("mem://a/b.txt") == "hello"
    assert "acme_mem" in sys.modules
    assert "acme_ram" not in sys.modules
    assert {p.distribution: p.status for p in kernel.plugins()} == {
        "acme-mem": "loaded",
        "acme-ram": "ready",
    }


def test_32_threads_asking_at_once_import_the_plugin_once(make_distribution, tmp_path):
    count = tmp_path / "count"
    source = f"""
    import time
    with open({str(count)!r}, "a") as f:
        f.write("imported\\n")
    time.sleep(0.2)
    from rv_core import FileSystem, hookimpl
    class Fs(FileSystem):
        def open(self, uri, mode="rb"): ...
        def info(self, uri): ...
        def list_paths(self, uri, ext=""): ...
        def delete(self, uri): ...
    FS = Fs()
    @hookimpl
    def rv_filesystem(uri, mode, kernel):
        return FS
    """
    entry = {"rv.filesystems.v1": {"slow": "acme_slow"}}
    path = make_distribution("acme-slow", entry, {"acme_slow.py": source})
    kernel = Kernel(path=[path])
    barrier = threading.Barrier(32)

    def ask(_: int) -> object:
        barrier.wait()
        return kernel.filesystem("slow://x")

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(32)))
    assert len(set(map(id, answers))) == 1
    assert count.read_text() == "imported\n"


def test_32_threads_see_the_same_failure_of_one_import(make_distribution, tmp_path):
    count = tmp_path / "count"
    source = f"""
    with open({str(count)!r}, "a") as f:
        f.write("imported\\n")
    raise RuntimeError("no luck")
    """
    entry = {"rv.filesystems.v1": {"bad": "acme_bad"}}
    path = make_distribution("acme-bad", entry, {"acme_bad.py": source})
    kernel = Kernel(path=[path])

    def ask(_: int) -> str:
        with pytest.raises(rv.PluginLoadError) as caught:
            kernel.filesystem("bad://x")
        return str(caught.value)

    with ThreadPoolExecutor(32) as pool:
        assert len(set(pool.map(ask, range(32)))) == 1
    assert count.read_text() == "imported\n"


def test_kernels_of_several_threads_import_one_plugin_between_them(
    make_distribution, memory_storage
):
    source = "import time\ntime.sleep(0.2)\n" + memory_storage("mem")
    entry = {"rv.filesystems.v1": {"mem": "acme_slow"}}
    path = make_distribution("acme-slow", entry, {"acme_slow.py": source})
    barrier = threading.Barrier(8)

    def ask(_: int) -> object:
        kernel = Kernel(path=[path])
        barrier.wait()
        return kernel.filesystem("mem://x")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(ask, range(8))))) == 1


def test_threads_that_ask_for_different_things_do_not_wait_for_each_other_forever(
    memory_plugin, make_distribution
):
    """In a process of its own: threads that hang would hold what other tests need."""
    path = memory_plugin("acme-mem", "mem")
    source = """
    import time
    time.sleep(0.3)
    from rv_core import hookimpl
    @hookimpl
    def rv_model_defaults(backend, kernel):
        return {"A": {}}
    """
    entry = {"rv.model_defaults.v1": {"ACME": "acme_d"}}
    make_distribution("acme-d", entry, {"acme_d.py": source})
    late = {"acme_audit.py": "import time; time.sleep(0.3)"}
    make_distribution("acme-audit", {"rv.hooks.v1": {"audit": "acme_audit"}}, late)
    code = f"""
import threading
from rv_core import Kernel
kernel, barrier = Kernel(path=[{str(path)!r}]), threading.Barrier(2)
def ask(what, key):
    barrier.wait()
    what(key)
asks = [(kernel.model_defaults, "ACME"), (kernel.filesystem, "mem://x")]
threads = [threading.Thread(target=ask, args=a, daemon=True) for a in asks]
[t.start() for t in threads]
[t.join(60) for t in threads]
print("hang" if any(t.is_alive() for t in threads) else "done", flush=True)
"""
    assert run(code) == "done\n"


def test_a_plugin_loaded_later_never_answers_for_a_key_it_does_not_own(
    memory_plugin, make_distribution, monkeypatch
):
    path = memory_plugin("acme-mem", "mem")
    greedy = """
    from acme_mem import MemoryFileSystem
    from rv_core import hookimpl
    FS = MemoryFileSystem()
    @hookimpl(tryfirst=True)
    def rv_filesystem(uri, mode, kernel):
        return FS
    """
    entry = {"rv.filesystems.v1": {"greedy": "acme_greedy"}}
    make_distribution("acme-greedy", entry, {"acme_greedy.py": greedy})
    monkeypatch.syspath_prepend(path)
    kernel = Kernel(path=[path])
    before = kernel.filesystem("mem://x")
    other = kernel.filesystem("greedy://x")
    assert kernel.filesystem("mem://x") is before is not other


def test_two_distributions_for_one_key_are_a_conflict_until_one_is_pinned(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    other = memory_plugin("zeta-mem", "mem")
    kernel = Kernel(path=[path, other])
    with pytest.raises(rv.PluginConflictError) as caught:
        kernel.filesystem("mem://x")
    assert "acme-mem 1.0" in str(caught.value)
    assert "zeta-mem 1.0" in str(caught.value)
    assert "[rv.pins]" in caught.value.hint
    assert {p.status for p in kernel.plugins()} == {"conflict"}
    assert "acme_mem" not in sys.modules

    pinned = Kernel(path=[path, other], config={"rv": {"pins": {"mem": "Zeta_Mem"}}})
    pinned.files.write_str("mem://x", "z")
    assert "zeta_mem" in sys.modules
    assert "acme_mem" not in sys.modules
    assert [(str(c), status) for c, status, _ in pinned.why("mem://bucket")] == [
        ("acme-mem 1.0", "passed over"),
        ("zeta-mem 1.0", "loaded"),
    ]


def test_a_pin_to_something_that_does_not_serve_the_key_says_so(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    kernel = Kernel(path=[path], config={"rv": {"pins": {"mem": "ghost"}}})
    with pytest.raises(rv.ConfigError, match="pinned to ghost"):
        kernel.filesystem("mem://x")


def test_a_pin_that_is_no_name_says_so(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    with pytest.raises(rv.ConfigError, match=r"\[rv.pins\] 'mem' must be the name"):
        Kernel(path=[path], config={"rv": {"pins": {"mem": 3}}}).filesystem("mem://x")


@pytest.mark.parametrize("argument", ["plugins", "path", "disable"])
def test_a_lone_string_is_not_taken_letter_by_letter(argument):
    with pytest.raises(TypeError, match=r"takes several: \['acme-mem'\]"):
        Kernel(**{argument: "acme-mem"})


@pytest.mark.parametrize("way", ["argument", "environment", "config"])
def test_disabling_holds_before_any_import(memory_plugin, monkeypatch, way):
    path = memory_plugin("acme-mem", "mem")
    if way == "environment":
        monkeypatch.setenv("RV_DISABLE_PLUGINS", "other, Acme.Mem")
    kernel = Kernel(
        path=[path],
        disable={"acme_mem"} if way == "argument" else (),
        config={"rv": {"disable_plugins": ["acme-mem"]}} if way == "config" else None,
    )
    with pytest.raises(rv.PluginDisabledError) as caught:
        kernel.filesystem("mem://x")
    names = {"argument": "disable=", "environment": "RV_DISABLE_PLUGINS", "config": "argument"}
    assert names[way] in str(caught.value)
    assert kernel.plugins()[0].status == "disabled"
    assert "acme_mem" not in sys.modules


def test_disabling_one_of_two_settles_a_conflict(memory_plugin):
    path = memory_plugin("acme-mem", "mem")
    memory_plugin("zeta-mem", "mem")
    kernel = Kernel(path=[path], disable=["acme-mem"])
    kernel.filesystem("mem://x")
    assert "zeta_mem" in sys.modules


def test_another_contract_version_is_listed_and_not_imported(memory_plugin):
    path = memory_plugin("acme-mem", "mem", group="rv.filesystems.v2")
    kernel = Kernel(path=[path])
    assert kernel.plugins()[0].status == "incompatible"
    with pytest.raises(
        rv.PluginIncompatibleError, match=r"acme-mem 1.0 for contract v2.*speaks v1"
    ):
        kernel.filesystem("mem://x")
    assert "acme_mem" not in sys.modules


def test_an_unknown_key_gives_close_matches_and_what_is_installed(memory_plugin):
    kernel = Kernel(path=[memory_plugin("acme-memory", "memory")])
    with pytest.raises(rv.UnknownKeyError) as caught:
        kernel.filesystem("memry://x")
    assert "serves filesystem 'memry'" in str(caught.value)
    assert "did you mean 'memory'?" in caught.value.hint
    assert "installed: memory" in caught.value.hint


def test_an_unknown_scheme_gives_the_plugin_for_all_others(memory_plugin):
    with pytest.raises(rv.UnknownKeyError) as caught:
        Kernel(path=[memory_plugin("acme-memory", "memory")]).filesystem("gs://x")
    assert "pip install rv-fs-fsspec" in caught.value.hint
    path = [memory_plugin("acme-any", "*")]
    for disabled, said in (
        ((), "acme-any serves others, but not this one"),
        (("acme-any",), "acme-any, which serves others, is disabled by"),
    ):
        with pytest.raises(rv.UnknownKeyError) as caught:
            Kernel(path=path, disable=disabled).filesystem("xyzzy://x")
        assert said in caught.value.hint


def test_an_unknown_first_party_key_gives_the_line_that_installs_it(tmp_path):
    with pytest.raises(rv.UnknownKeyError) as caught:
        Kernel(path=[tmp_path]).backend("KERAS_CLASSIFICATION")
    assert "pip install rv-backend-keras" in caught.value.hint


def test_hints_name_keys_of_the_same_kind_only(tmp_path):
    kernel = Kernel(path=[tmp_path])
    for key in ("OBJECT_DETECTION", "OBJECT_DETECTON"):  # a task's
        with pytest.raises(rv.UnknownKeyError) as caught:
            kernel.backend(key)
        assert caught.value.hint == "installed: none"
    with pytest.raises(rv.UnknownKeyError) as caught:
        kernel.backend("KERAS_CLASIFICATION")
    assert "'KERAS_CLASSIFICATION'? (pip install rv-backend-keras)" in caught.value.hint


def test_the_same_distribution_twice_on_the_path_is_no_conflict(memory_plugin, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    memory_plugin("acme-mem", "mem", folder=first)
    memory_plugin("acme-mem", "mem", folder=second, version="0.9")
    kernel = Kernel(path=[first, second])
    kernel.filesystem("mem://x")
    assert sys.modules["acme_mem"].__file__ == str(first / "acme_mem.py")
    listed = {p.version: p for p in kernel.plugins()}
    assert listed["1.0"].status == "loaded"
    assert listed["0.9"].status == "shadowed"
    assert str(first) in listed["0.9"].keys[0].detail
    again = Kernel(path=[first, first])
    assert [p.version for p in again.plugins()] == ["1.0"]


def test_the_first_copy_on_the_path_wins_even_when_it_is_no_plugin(memory_plugin, tmp_path):
    """Python imports the first copy, so a later one's claims lead to code that is not there."""
    first, second = tmp_path / "first", tmp_path / "second"
    info = first / "acme_mem-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-mem\nVersion: 2.0\n")
    memory_plugin("acme-mem", "mem", folder=second)
    with pytest.raises(rv.UnknownKeyError):
        Kernel(path=[first, second]).filesystem("mem://x")


def test_300_installed_distributions_are_all_found_and_one_is_imported(memory_plugin):
    for number in range(300):
        path = memory_plugin(f"acme-n{number}", f"n{number}")
    kernel = Kernel(path=[path])
    assert len(kernel.plugins()) == 300
    kernel.files.write_str("n123://a", "x")
    assert [m for m in sys.modules if m.startswith("acme_n")] == ["acme_n123"]


def test_the_fallback_is_asked_where_no_other_claims_the_scheme(
    memory_plugin, make_distribution, monkeypatch
):
    path = memory_plugin("acme-mem", "mem")
    source = """
    from rv_core import hookimpl
    from acme_mem import MemoryFileSystem
    FS = MemoryFileSystem()
    @hookimpl
    def rv_filesystem(uri, mode, kernel):
        return FS if uri.startswith("odd://") else None
    """
    make_distribution("acme-any", {"rv.filesystems.v1": {"*": "acme_any"}}, {"acme_any.py": source})
    monkeypatch.syspath_prepend(path)
    kernel = Kernel(path=[path])
    assert kernel.filesystem("odd://x") is not kernel.filesystem("mem://x")
    assert kernel.why("odd://x")[0][0].key == "*"
    with pytest.raises(rv.UnknownKeyError, match="'even'"):
        kernel.filesystem("even://x")


ANY = """
from rv_core import hookimpl
from acme_mem import MemoryFileSystem
FS = MemoryFileSystem()
@hookimpl
def rv_filesystem(uri, mode, kernel):
    return FS if uri.startswith(("mem://", "odd://")) else None
"""


@pytest.fixture
def mem_and_any(memory_plugin, make_distribution, monkeypatch):
    """``mem://`` has a plugin of its own, ``acme-any`` would serve it too, and ``odd://``."""
    path = memory_plugin("acme-mem", "mem")
    make_distribution("acme-any", {"rv.filesystems.v1": {"*": "acme_any"}}, {"acme_any.py": ANY})
    monkeypatch.syspath_prepend(path)
    return path


def pinned(path, key, distribution, **options):
    return Kernel(path=[path], config={"rv": {"pins": {key: distribution}}}, **options)


def test_a_pin_may_choose_the_fallback_for_a_scheme_that_another_claims(mem_and_any):
    kernel = pinned(mem_and_any, "mem", "Acme_Any")
    assert kernel.filesystem("mem://x") is kernel.filesystem("odd://x")
    assert [(str(c), c.key, status, detail) for c, status, detail in kernel.why("mem://x")] == [
        ("acme-mem 1.0", "mem", "passed over", "pinned to Acme_Any"),
        ("acme-any 1.0", "*", "loaded", ""),
    ]
    other = Kernel(path=[mem_and_any])
    assert other.filesystem("mem://x") is not other.filesystem("odd://x")
    assert [c.key for c, _, _ in other.why("mem://x")] == ["mem"]


def test_disabling_a_scheme_s_owner_reroutes_nothing_but_a_pin_does(mem_and_any):
    disabled = Kernel(path=[mem_and_any], disable=["acme-mem"])
    with pytest.raises(rv.PluginDisabledError) as caught:
        disabled.filesystem("mem://x")
    assert '[rv.pins] mem = "acme-any"' in caught.value.hint
    kernel = pinned(mem_and_any, "mem", "acme-any", disable=["acme-mem"])
    assert kernel.filesystem("mem://x") is kernel.filesystem("odd://x")


def test_a_pin_to_a_fallback_that_does_not_know_the_scheme_says_so(mem_and_any, memory_plugin):
    memory_plugin("acme-even", "even")
    for key in ("even", "nobody"):
        with pytest.raises(rv.ConfigError, match=f"'{key}' is pinned to acme-any, which does not"):
            pinned(mem_and_any, key, "acme-any").filesystem(f"{key}://x")
    with pytest.raises(rv.ConfigError, match="'odd' is pinned to ghost") as caught:
        pinned(mem_and_any, "odd", "ghost").filesystem("odd://x")
    assert "acme-any" in caught.value.hint


def test_a_pin_decides_between_two_fallbacks(mem_and_any, make_distribution):
    source = ANY.replace("FS =", "OTHER =").replace("FS if", "OTHER if")
    entry = {"rv.filesystems.v1": {"*": "acme_more"}}
    make_distribution("acme-more", entry, {"acme_more.py": source})
    with pytest.raises(rv.PluginConflictError):
        Kernel(path=[mem_and_any]).filesystem("odd://x")
    kernel = pinned(mem_and_any, "odd", "acme-more")
    assert kernel.filesystem("odd://x") is sys.modules["acme_more"].OTHER
    assert [(str(c), status) for c, status, _ in kernel.why("odd://x")] == [
        ("acme-any 1.0", "passed over"),
        ("acme-more 1.0", "loaded"),
    ]


def test_a_wrapper_does_not_make_the_fallback_serve_what_it_does_not(make_distribution):
    none = "from rv_core import hookimpl\n@hookimpl\ndef rv_filesystem(uri, mode, kernel): ..."
    path = make_distribution(
        "acme-any", {"rv.filesystems.v1": {"*": "acme_any"}}, {"acme_any.py": none}
    )
    proxy = """
    from rv_core import hookimpl
    @hookimpl(wrapper=True)
    def rv_filesystem(uri, mode, kernel):
        return ("a proxy around", (yield))
    """
    make_distribution("acme-px", {"rv.hooks.v1": {"px": "acme_px"}}, {"acme_px.py": proxy})
    with pytest.raises(rv.UnknownKeyError, match="'even'"):
        Kernel(path=[path]).filesystem("even://x")


def test_schemes_are_the_same_in_either_case(make_distribution, memory_storage):
    entry = {"rv.filesystems.v1": {"MEM": "acme_mem"}}
    path = make_distribution("acme-mem", entry, {"acme_mem.py": memory_storage("mem")})
    assert Kernel(path=[path]).filesystem("mem://x")
    assert rv.scheme_of("Mem://x") == "mem"


def test_an_entry_point_may_name_extras(make_distribution, memory_storage):
    entry = {"rv.filesystems.v1": {"mem": "acme_mem [fast]"}}
    path = make_distribution("acme-mem", entry, {"acme_mem.py": memory_storage("mem")})
    assert Kernel(path=[path]).filesystem("mem://x")


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken_for_the_plugin(
    memory_plugin, tmp_path
):
    one = memory_plugin("acme-mem", "mem", folder=tmp_path / "one")
    two = memory_plugin("acme-mem", "mem", folder=tmp_path / "two")
    Kernel(path=[one]).filesystem("mem://x")
    with pytest.raises(rv.PluginLoadError, match="already imported"):
        Kernel(path=[two]).filesystem("mem://x")


@pytest.mark.parametrize(
    "uri", ["/data/x.tif", "C:\\data\\x.tif", "c:/x.tif", "c://x.tif", "x.tif", "file:///x"]
)
def test_plain_paths_and_drive_letters_are_files(uri, tmp_path):
    with pytest.raises(rv.UnknownKeyError, match="'file'"):
        Kernel(path=[tmp_path]).filesystem(uri)


def test_a_path_object_is_a_uri_too(tmp_path):
    with pytest.raises(rv.UnknownKeyError, match="'file'"):
        Kernel(path=[tmp_path]).filesystem(Path("x.tif"))
