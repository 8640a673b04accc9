"""The suite for storage, on the example of a third party's plugin."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import FileSystemContract

from rv_core import FileSystem

EXAMPLE = Path(__file__).resolve().parents[1] / "plugin_examples" / "memory_storage.py"


@pytest.fixture(scope="module")
def example() -> Mapping[str, Any]:
    return runpy.run_path(str(EXAMPLE))


class TestMemoryStorage(FileSystemContract):
    capabilities = FileSystemContract.capabilities - {"constant_memory"}

    @pytest.fixture
    def fs(self, example: Mapping[str, Any]) -> FileSystem:
        storage: FileSystem = example["MemoryFileSystem"]()
        return storage

    @pytest.fixture
    def root(self) -> str:
        return "mem://place/of the test"
