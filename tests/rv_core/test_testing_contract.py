"""The suite for storage, on the example of a third party's plugin."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from rv_core.testing import FileSystemContract, Put, Remove

from rv_core import (
    FileInfo,
    FileSystem,
    NotFoundError,
    NotWritableError,
    OpenMode,
    StorageError,
)

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


class ReadOnly(FileSystem):
    """Files that others put there; it neither lists nor seeks, and knows sizes alone."""

    writable = False

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def open(self, uri: str, mode: OpenMode = "rb") -> BinaryIO:
        if mode != "rb":
            raise self._refusal(uri)
        self.info(uri)
        return Forward(self.files[uri])

    def info(self, uri: str) -> FileInfo:
        if uri not in self.files:
            raise NotFoundError(f"nothing is at {uri}")
        return FileInfo(len(self.files[uri]))

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        raise StorageError(f"{uri} cannot be listed")

    def file_exists(self, uri: str, include_dir: bool = True) -> bool:
        return uri in self.files

    def delete(self, uri: str) -> None:
        raise self._refusal(uri)

    def _refusal(self, uri: str) -> NotWritableError:
        return NotWritableError(f"{uri} cannot be written")


class Forward(BytesIO):
    def seekable(self) -> bool:
        return False


class TestReadOnlyStorage(FileSystemContract):
    capabilities = frozenset({"folders", "many_files"})

    @pytest.fixture
    def fs(self) -> ReadOnly:
        return ReadOnly()

    @pytest.fixture
    def root(self) -> str:
        return "old://place"

    @pytest.fixture
    def put(self, fs: ReadOnly, root: str) -> Put:
        def put(name: str, data: bytes) -> str:
            fs.files[f"{root}/{name}"] = data
            return f"{root}/{name}"

        return put

    @pytest.fixture
    def remove(self, fs: ReadOnly, root: str) -> Remove:
        return lambda name: fs.files.__delitem__(f"{root}/{name}")
