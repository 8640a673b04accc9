from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rv_core import Files, Kernel

# Test modules import it by this name, other processes find it in this folder.
spec = importlib.util.spec_from_file_location("shelf", Path(__file__).with_name("shelf.py"))
assert spec is not None
assert spec.loader is not None
shelf_module: Any = importlib.util.module_from_spec(spec)
sys.modules["shelf"] = shelf_module
spec.loader.exec_module(shelf_module)

EXAMPLE = Path(__file__).resolve().parents[1] / "plugin_examples" / "memory_storage.py"


@pytest.fixture
def memory_storage() -> Callable[[str], str]:
    """The source of the example storage plugin, for a scheme."""

    def source(scheme: str) -> str:
        return EXAMPLE.read_text().replace("mem://", f"{scheme}://")

    return source


@pytest.fixture
def make_shelf(tmp_path: Path) -> Callable[..., Any]:
    """Storage behind ``shelf://``, in a folder of this name; see shelf.py."""
    return lambda name="shelf", **options: shelf_module.Shelf(tmp_path / name, **options)


@pytest.fixture
def shelf(make_shelf: Callable[..., Any]) -> Any:
    return make_shelf()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A local folder with the hundred files ``shelf.FILES``, which are some seconds old."""
    folder: Path = shelf_module.write(tmp_path / "here", shelf_module.FILES)
    return folder


@pytest.fixture
def two(make_shelf: Callable[..., Any]) -> tuple[Any, Any, Files]:
    """Two storage systems, ``left://`` and ``right://``, and the files of a kernel with both."""
    left, right = make_shelf("left"), make_shelf("right")
    plugin = shelf_module.plugin_of({"left": left, "right": right})
    return left, right, Kernel(plugins=[plugin]).files


@pytest.fixture
def memory_plugin(
    make_distribution: Callable[..., Path], memory_storage: Callable[[str], str]
) -> Callable[..., Path]:
    """Install that plugin: ``memory_plugin("acme-mem", "mem")`` serves ``mem://``."""

    def install(
        name: str, scheme: str, group: str = "rv.filesystems.v1", **options: object
    ) -> Path:
        module = name.replace("-", "_")
        modules = {f"{module}.py": memory_storage(scheme)}
        return make_distribution(name, {group: {scheme: module}}, modules, **options)

    return install
