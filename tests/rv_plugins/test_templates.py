"""`rv plugins new` writes packages that work as they are."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from rv_plugins.templates import KINDS, write_package

from rv_core import AlreadyExistsError, ConfigError

KEYS = {"filesystem": None, "backend": None, "model-defaults": "KERAS_CLASSIFICATION"}


def run(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_passes_its_own_tests(tmp_path: Path, kind: str) -> None:
    key = ["--key", KEYS[kind]] if KEYS[kind] else []
    done = run(
        "-m", "rv_plugins", "plugins", "new", "acme-rv-Mem", "--kind", kind, *key, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    package = tmp_path / "acme-rv-Mem"
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["name"] == "acme-rv-mem"
    (group,) = project["entry-points"].values()
    assert group in (
        {"mem": "acme_rv_mem.plugin"},
        {"ACME_MEM": "acme_rv_mem.plugin"},
        {"KERAS_CLASSIFICATION": "acme_rv_mem.plugin"},
    )
    texts = [path.read_text() for path in package.rglob("*") if path.suffix in (".py", ".md")]
    assert len(texts) >= 4
    assert not any("$" in text for text in texts)


def test_a_wheel_of_it_holds_what_it_needs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="wheels are built with hatchling")
    package = write_package(tmp_path, "acme-more-models", "model-defaults", "KERAS_CLASSIFICATION")
    done = run("-m", "hatchling", "build", "-t", "wheel", cwd=package)
    assert done.returncode == 0, done.stderr
    (wheel,) = package.glob("dist/*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "acme_more_models/model_defaults.json" in names
    assert "acme_more_models/py.typed" in names


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "acme-rv").mkdir()
    with pytest.raises(AlreadyExistsError):
        write_package(tmp_path, "acme-rv", "filesystem", "acme")
    assert [p.name for p in tmp_path.rglob("*")] == ["acme-rv"]


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        ("../up", "filesystem", None),
        ("a/b", "filesystem", None),
        ("", "filesystem", None),
        ("acme", "filesystem", "Not A Scheme"),
        ("acme", "backend", "lower"),
        ("acme", "model-defaults", None),
        ("acme", "filesystem", 'x"]\ny'),
    ],
)
def test_names_and_keys_that_cannot_be_are_refused(
    tmp_path: Path, name: str, kind: str, key: str | None
) -> None:
    with pytest.raises(ConfigError):
        write_package(tmp_path, name, kind, key)
    assert list(tmp_path.iterdir()) == []
