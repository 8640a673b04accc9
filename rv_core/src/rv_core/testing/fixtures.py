"""Fixtures for the tests of plugins, and of programs that use RV.

For a ``conftest.py`` at the top of the tests::

    pytest_plugins = ["rv_core.testing.fixtures"]

They are not loaded by themselves: who does not name them pays nothing. Then no test sees the
settings or the cache of whoever runs it, and the mark ``slow`` of the suites is known.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from rv_core._config import Config
from rv_core._kernel import Kernel

EntryPoints = Mapping[str, Mapping[str, str]]
"""What a distribution announces: group -> key -> target."""


class MakeDistribution(Protocol):
    """What the fixture `make_distribution` gives."""

    def __call__(
        self,
        name: str,
        entry_points: EntryPoints,
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        folder: Path | None = None,
    ) -> Path: ...


def write_distribution(
    folder: Path,
    name: str,
    entry_points: EntryPoints,
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
) -> Path:
    """Lay a distribution out as pip would: a ``*.dist-info`` folder and its modules beside it.

    ``modules``: file -> source, which may be indented. Returns ``folder``, for a kernel's
    ``path`` or for `sys.path`.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, keys in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {target}" for key, target in keys.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for file, source in (modules or {}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(textwrap.dedent(source), "utf-8")
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


@pytest.fixture(autouse=True)
def _own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test sees the settings or the cache of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("RV_")]:
        monkeypatch.delenv(name)
    place = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setenv("RV_CACHE_DIR", str(place / "cache"))


@pytest.fixture
def kernel_plugins() -> Iterable[Any]:
    """The plugins that the fixture `kernel` has, as `Kernel` takes them: override it."""
    return ()


@pytest.fixture
def kernel(kernel_plugins: Iterable[Any], tmp_path: Path) -> Kernel:
    """A kernel with ``kernel_plugins`` alone, whatever is installed, and without any settings."""
    return Kernel(plugins=kernel_plugins, config=Config.load(project_dir=tmp_path))


@pytest.fixture
def make_distribution(tmp_path: Path) -> Iterator[MakeDistribution]:
    """Make an installed distribution: a ``*.dist-info`` folder and the modules beside it.

    ``make_distribution(name, entry_points={group: {key: target}}, modules={file: source})``
    returns the folder to put on a kernel's ``path``. Modules are forgotten after the test.
    """
    before = set(sys.modules)

    def make(
        name: str,
        entry_points: EntryPoints,
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        folder: Path | None = None,
    ) -> Path:
        place = folder or tmp_path / "site"
        return write_distribution(place, name, entry_points, modules, version=version)

    yield make
    for module in set(sys.modules) - before:
        file = getattr(sys.modules[module], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[module]
