"""Every developer task; `nox -l` lists them. The list of packages is the folders.

uv is used where it is installed, and never required.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "tests"]

ROOT = Path(__file__).parent
PACKAGES = sorted(path.parent.name for path in ROOT.glob("rv_*/pyproject.toml"))
OUT = ROOT / "out"
DIST = ROOT / "dist"
KNOWN_PLUGINS = ROOT / "rv_core" / "src" / "rv_core" / "known_plugins.json"
SERVICES = ROOT / "tests" / "services" / "packages.txt"
BROWSER = ROOT / "tests" / "browser" / "packages.txt"
# Tools of the user's that would reach into an environment made here.
ENVIRONMENT = {"PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"}


def project(package: str) -> dict:
    return tomllib.loads((ROOT / package / "pyproject.toml").read_text())


def test_requirements(*packages: str) -> list[str]:
    """What the tests of these packages need beside the packages: `[dependency-groups] tests`."""
    needed = {
        line for package in packages for line in project(package)["dependency-groups"]["tests"]
    }
    return sorted(line for line in needed if not line.startswith("rv-"))


def install_all(session: nox.Session) -> None:
    folders = [part for package in PACKAGES for part in ("-e", f"./{package}")]
    session.install(*folders, *test_requirements(*PACKAGES))


def build_wheels(session: nox.Session, *kinds: str) -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    session.install("build", "hatchling")
    for package in PACKAGES:
        session.run(
            *("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), *kinds, package),
            silent=True,
        )


@nox.session
def quickstart(session: nox.Session) -> None:
    """Run the main job end to end: train, predict, evaluate, bundle, predict with the bundle."""
    session.install(*(part for package in PACKAGES for part in ("-e", f"./{package}")))
    session.run("python", "examples/quickstart/quickstart.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, in an environment that has every package; in two processes (`-- -n 0`: in one)."""
    install_all(session)
    session.install("pytest-xdist>=3.6")
    # Many tests wait for a server that falls silent, or for a process that starts.
    session.run("pytest", "-n2", "--dist=worksteal", *session.posargs, env=ENVIRONMENT)


@nox.session
def tests_services(session: nox.Session) -> None:
    """The storage suites on Debian's nginx and OpenStack Swift, started and stopped here."""
    need_programs(session, SERVICES)
    storage = ["rv_core", "rv_fs_http", "rv_fs_s3"]
    folders = [part for package in storage for part in ("-e", f"./{package}")]
    session.install(*folders, *test_requirements(*storage))
    # Slow ones wait for connections that fall asleep, which is the proxy's doing on any server.
    options = session.posargs or ["-m", "not slow"]
    session.run("pytest", "tests/services", *options, env=ENVIRONMENT)


def need_programs(session: nox.Session, file: Path) -> None:
    """Stop where programs of a packages.txt are missing: skipped tests would look like passed."""
    packages = [line.split() for line in file.read_text().splitlines() if line[0] != "#"]
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/bin"])
    if missing := [name for name, program in packages if not shutil.which(program, path=path)]:
        line = f"apt-get install --no-install-recommends {' '.join(missing)}"
        session.error(f"not installed: {', '.join(missing)}. Debian has them: {line}")


@nox.session
def tests_browser(session: nox.Session) -> None:
    """Reports and previews in Debian's Chromium, without a screen."""
    need_programs(session, BROWSER)
    needed = ["rv_core", "rv_plugins", "rv_pipeline"]
    folders = [part for package in needed for part in ("-e", f"./{package}")]
    session.install(*folders, *test_requirements(*needed), "selenium>=4.20")
    session.run("pytest", "tests/browser", *session.posargs, env=ENVIRONMENT)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels that `tests_isolated` and `front_door` install."""
    build_wheels(session, "--wheel")


@nox.session(requires=["wheels"])
@nox.parametrize("package", PACKAGES)
def tests_isolated(session: nox.Session, package: str) -> None:
    """One package's wheel in a clean environment, with only what it declares: its own tests."""
    own = [f"{name}==0.1.0" for name in (package.replace("_", "-"),)]
    session.install(
        "--find-links", str(DIST), *own, *project(package)["dependency-groups"]["tests"]
    )
    session.run("pytest", f"tests/{package}", "-m", "not slow", *session.posargs, env=ENVIRONMENT)


@nox.session(requires=["wheels"])
def front_door(session: nox.Session) -> None:
    """`pip install "rv-plugins[keras]"` from built wheels, and the quickstart's experiment."""
    session.install("--find-links", str(DIST), "rv-plugins[keras]==0.1.0")
    place = Path(session.create_tmp())
    session.run(
        *("python", str(ROOT / "examples/quickstart/quickstart.py"), "--out", str(place)),
        *("--fast", *session.posargs),
        env=ENVIRONMENT,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, import arrows, and whether generated files are current."""
    light = ["attrs", "boto3-stubs", "cattrs", "click", "fsspec", "h5py", "hypothesis"]
    light += ["importlib-metadata", "jinja2", "numpy", "packaging", "pillow", "pluggy", "pyogrio"]
    light += ["pyproj", "pystac", "pytest", "rasterio", "requests", "rich", "shapely", "tenacity"]
    light += ["types-PyYAML", "types-requests"]
    session.install("ruff", "mypy", "import-linter", *light)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = os.pathsep.join(str(ROOT / package / "src") for package in PACKAGES)
    session.run("lint-imports", env={"PYTHONPATH": sources})
    packages = [part for package in PACKAGES for part in ("-p", package)]
    session.run("mypy", *packages, env={"MYPYPATH": sources})
    if KNOWN_PLUGINS.read_text() != known_plugins_text():
        session.error(f"{KNOWN_PLUGINS.name} is not current: run nox -s known_plugins")


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and source distributions of all packages, in dist/."""
    build_wheels(session)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks; name one to run it alone (`nox -s bench -- chips`), its options after it."""
    install_all(session)
    names = list(itertools.takewhile(lambda word: word[0] != "-", session.posargs))
    options = session.posargs[len(names) :]
    for name in names or sorted(p.stem for p in (ROOT / "benchmarks").glob("bench_*.py")):
        file = ROOT / "benchmarks" / f"bench_{name.removeprefix('bench_')}.py"
        session.run("python", str(file), *options, env=ENVIRONMENT)


@nox.session(venv_backend="none")
def known_plugins(session: nox.Session) -> None:
    """Write the keys that first-party packages serve into the kernel's install hints."""
    KNOWN_PLUGINS.write_text(known_plugins_text())


def known_plugins_text() -> str:
    known: dict[str, dict[str, str]] = {}
    for package in PACKAGES:
        found = project(package)["project"]
        keys = {
            group.split(".")[1]: list(keys)
            for group, keys in found.get("entry-points", {}).items()
            if group.startswith("rv.")
        }
        if "model_defaults" in keys:  # its entry points name backends, its files the models
            files = (ROOT / package / "src").glob("*/model_defaults.json")
            keys["model_defaults"] = [key for file in files for key in json.loads(file.read_text())]
        for kind, names in keys.items():
            known.setdefault(kind, {}).update(dict.fromkeys(names, found["name"]))
    return json.dumps(known, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit("run me with nox: python -m nox -l")
