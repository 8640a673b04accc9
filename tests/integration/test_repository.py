"""The repository is what it says: packages are folders, each complete, each in the arrows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("rv_*/pyproject.toml"))


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text())


def test_every_package_stands_on_a_floor_of_the_arrows():
    lint = read(ROOT / "pyproject.toml")["tool"]["importlinter"]
    assert sorted(lint["root_packages"]) == PACKAGES
    [layers] = [c["layers"] for c in lint["contracts"] if c["type"] == "layers"]
    assert sorted(name.strip() for layer in layers for name in layer.split("|")) == PACKAGES
    [backends] = [c for c in lint["contracts"] if c["name"].startswith("Backends")]
    assert sorted(backends["source_modules"]) == [p for p in PACKAGES if p.startswith("rv_backend")]
    others = [p for p in PACKAGES if not p.startswith(("rv_backend", "rv_core", "rv_learner"))]
    assert sorted(backends["forbidden_modules"]) == others


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_whole(package):
    folder = ROOT / package
    project = read(folder / "pyproject.toml")["project"]
    assert project["name"] == package.replace("_", "-")
    assert project["requires-python"] == ">=3.11"
    assert (folder / "src" / package / "py.typed").is_file()
    assert len((folder / "README.md").read_text()) > 300
    assert (ROOT / "tests" / package).is_dir()
    ours = [line for line in project["dependencies"] if line.startswith("rv-")]
    assert all(line.endswith(">=0.1,<1") for line in ours), "never pinned to one version"


def test_the_extras_of_the_front_door_name_packages_that_exist():
    extras = read(ROOT / "rv_plugins" / "pyproject.toml")["project"]["optional-dependencies"]
    named = {line.split(">")[0].split("[")[0] for lines in extras.values() for line in lines}
    ours = {name for name in named if name.startswith("rv-")}
    assert ours <= {package.replace("_", "-") for package in PACKAGES} | {"rv-plugins"}
    assert "rv-pipeline" in {line.split(">")[0] for line in extras["keras"]}


def test_no_file_grows_into_a_warehouse():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.glob("rv_*/src/**/*.py")
        if (lines := len(path.read_text().splitlines())) > 450
    }
    assert long == {}


def test_the_readme_shows_the_experiment_that_the_quickstart_runs():
    shown = (ROOT / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert shown == (ROOT / "examples" / "quickstart" / "experiment.yaml").read_text()


def test_every_file_that_the_pages_link_to_is_there():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("rv_*/README.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"
