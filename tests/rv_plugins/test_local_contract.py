"""Local storage keeps the promises of all storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from rv_core.local_files import uri_of
from rv_core.testing import FileSystemContract
from rv_plugins.local import LocalFileSystem


class TestPaths(FileSystemContract):
    capabilities = FileSystemContract.capabilities - {"any_key"}
    refused_names = frozenset({"empty part", "trailing slash"})

    @pytest.fixture
    def fs(self) -> LocalFileSystem:
        return LocalFileSystem()

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path / "root of the test")


class TestFileUris(TestPaths):
    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return uri_of(str(tmp_path / "root of the test"))
