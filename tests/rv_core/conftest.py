from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "plugin_examples" / "memory_storage.py"


@pytest.fixture
def memory_storage() -> Callable[[str], str]:
    """The source of the example storage plugin, for a scheme."""

    def source(scheme: str) -> str:
        return EXAMPLE.read_text().replace("mem://", f"{scheme}://")

    return source


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
