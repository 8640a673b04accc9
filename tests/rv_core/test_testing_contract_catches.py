"""The suites fail where a plugin breaks its promises, on the test of that promise."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rv_core.testing import FileSystemContract

HERE = Path(__file__).parent
ALONE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # what is installed costs seconds


def classes_in(file: str) -> dict[str, tuple[str, Any]]:
    """The test classes of a module, which is forgotten with the examples that it imports."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        found = runpy.run_path(str(HERE / file))
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if name.startswith(("acme_toy_backend", "memory_storage")):
                del sys.modules[name]
    return {name: (file, cls) for name, cls in found.items() if name.startswith("Test")}


BROKEN = {**classes_in("broken_storage.py"), **classes_in("broken_backends.py")}
CATCHES = [(name, test) for name, (_, found) in BROKEN.items() for test in found.catches]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """What came of each class and test, run as a third party would: passed, failure or error."""
    place = tmp_path_factory.mktemp("broken")
    (place / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    whole = {(whole_like(name), test) for name, test in CATCHES if is_for_whole(name, test)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line"),
            *("-c", "pytest.ini", "--import-mode=importlib", "--junitxml", "out.xml"),
            *(f"{HERE / BROKEN[name][0]}::{name}::{test}" for name, test in [*CATCHES, *whole]),
        ],
        cwd=place,
        env=ALONE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(place / "out.xml").iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        name = case.attrib["classname"].rpartition(".")[2]
        found[name, case.attrib["name"]] = kinds[0] if kinds else "passed"
    return found


def whole_like(name: str) -> str:
    """The class in which nothing is broken."""
    return BROKEN[name][1].whole


def is_for_whole(name: str, test: str) -> bool:
    return callable(getattr(BROKEN[whole_like(name)][1], test.partition("[")[0]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "test"), CATCHES, ids=[f"{n}-{t}" for n, t in CATCHES])
def test_a_broken_promise_is_caught(
    outcomes: dict[tuple[str, str], str], name: str, test: str
) -> None:
    assert outcomes[name, test] == "failure"
    if is_for_whole(name, test):
        whole = outcomes[whole_like(name), test]
        assert whole == "passed", "it fails where nothing is broken"


def test_a_capability_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="no such capabilities: levitate; there are any_key, "):
        type("TestMine", (FileSystemContract,), {"capabilities": frozenset({"levitate"})})


@pytest.mark.slow
def test_a_suite_without_its_fixtures_says_which(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from rv_core.testing import FileSystemContract\n"
        "class TestMine(FileSystemContract):\n"
        "    capabilities = FileSystemContract.capabilities\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "xb_makes", "-W", "ignore"],
        cwd=tmp_path,
        env=ALONE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "TestMine needs a fixture `fs`: the FileSystem" in done.stdout
