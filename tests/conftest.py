"""Fixtures that the tests of every package share; they need nothing but pytest and rv-core."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test sees the developer's settings or cache."""
    for name in [name for name in __import__("os").environ if name.startswith("RV_")]:
        monkeypatch.delenv(name)
    place = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setenv("RV_CACHE_DIR", str(place / "cache"))


@pytest.fixture
def make_distribution(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Make an installed distribution: a ``*.dist-info`` folder and the modules beside it.

    ``make_distribution(name, entry_points={group: {key: target}}, modules={file: source})``
    returns the folder to put on a kernel's ``path``. Modules are forgotten after the test.
    """
    before = set(sys.modules)

    def make(
        name: str,
        entry_points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        folder: Path | None = None,
    ) -> Path:
        place = folder or tmp_path / "site"
        info = place / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, keys in entry_points.items():
            lines += [f"[{group}]", *(f"{key} = {target}" for key, target in keys.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for file, source in (modules or {}).items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(textwrap.dedent(source))
        return place

    yield make
    for module in set(sys.modules) - before:
        file = getattr(sys.modules[module], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.fixture
def shared_data() -> Path:
    """Real imagery that is not part of the repository, where it lies beside it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real imagery (a folder shared/data beside the clone) is not here")
    return folder


@pytest.fixture
def write_json() -> Callable[[Path, object], Path]:
    def write(path: Path, data: object) -> Path:
        path.write_text(json.dumps(data))
        return path

    return write
