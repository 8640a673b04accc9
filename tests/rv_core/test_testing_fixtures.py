"""What `pytest_plugins = ["rv_core.testing.fixtures"]` brings."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rv_core.testing.fixtures import MakeDistribution

from rv_core import FileSystem, Kernel, UnknownKeyError, hookimpl

THEIRS = """
import os

import pytest
from rv_core import Kernel

@pytest.mark.slow
def test_mine(kernel, make_distribution):
    assert isinstance(kernel, Kernel)
    assert not [name for name in os.environ if name.startswith("RV_") and name != "RV_CACHE_DIR"]
    assert "mine" not in os.environ["RV_CACHE_DIR"]
    assert make_distribution("acme", {}).is_dir()
"""


def run(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env={**os.environ, **environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def kernel_plugins() -> list[object]:
    class Plugin:
        @hookimpl
        def rv_filesystem(self, uri: str, mode: str, kernel: Kernel) -> FileSystem | None:
            return None

    return [Plugin()]


def test_a_kernel_has_the_plugins_it_was_given_and_no_others(kernel: Kernel) -> None:
    (plugin,) = kernel.plugins()
    assert "test_testing_fixtures" in plugin.distribution
    with pytest.raises(UnknownKeyError):
        kernel.backend("KERAS_CLASSIFICATION")


def test_a_made_distribution_is_found(make_distribution: MakeDistribution) -> None:
    path = make_distribution(
        "acme-rv",
        {"rv.filesystems.v1": {"acme": "acme_rv"}},
        {"acme_rv.py": "    raise AssertionError('imported')"},
    )
    (plugin,) = Kernel(path=[path]).plugins()
    assert (plugin.distribution, plugin.version) == ("acme-rv", "1.0")


def test_a_third_party_names_them_in_its_own_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["rv_core.testing.fixtures"]')
    (tmp_path / "test_mine.py").write_text(THEIRS)
    (tmp_path / "rv.toml").write_text("this is no TOML")
    done = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"),
        cwd=tmp_path,
        RV_CACHE_DIR="mine",
        RV_MODEL_DEFAULTS_URI="s3://mine",
    )
    assert done.returncode == 0, done.stdout


def test_who_does_not_name_them_pays_nothing(tmp_path: Path) -> None:
    assert not [e for e in entry_points(group="pytest11") if e.value.startswith("rv_")]
    code = "import sys, rv_core.testing; rv_core.testing.FaultProxy; print(*sys.modules)"
    done = run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not {"pytest", "hypothesis", "numpy"} & set(done.stdout.split())


def test_the_module_says_what_it_has_and_has_it() -> None:
    import rv_core.testing

    for name in rv_core.testing.__all__:
        assert getattr(rv_core.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        rv_core.testing.Nonsense  # noqa: B018
