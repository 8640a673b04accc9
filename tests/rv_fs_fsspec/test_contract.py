"""The promises of storage, on kinds of it that behave as differently as fsspec's do."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import FileSystemContract

from rv_core import FileSystem
from rv_fs_fsspec import FsspecFileSystem

CAN = FileSystemContract.capabilities


class TestMemory(FileSystemContract):
    capabilities = CAN - {"constant_memory", "etag"}
    refused_names = frozenset({"trailing slash"})

    @pytest.fixture
    def fs(self) -> FileSystem:
        return FsspecFileSystem("memory")

    @pytest.fixture
    def root(self) -> str:
        return f"memory://{uuid.uuid4().hex}/root"


class TestSftp(FileSystemContract):
    capabilities = CAN - {"any_key", "etag"}
    refused_names = frozenset({"empty part", "trailing slash"})
    examples = 5
    secrets = ("HUSH",)

    @pytest.fixture
    def fs(self, known_hosts: Path) -> FileSystem:
        return FsspecFileSystem("sftp", {"known_hosts": str(known_hosts)})

    @pytest.fixture
    def root(self, sftp_server: Any) -> str:
        return f"{sftp_server.url}/{uuid.uuid4().hex}/root"


@pytest.mark.slow
class TestFtp(FileSystemContract):
    capabilities = CAN - {"any_key", "etag", "exclusive"}
    refused_names = frozenset({"control characters", "empty part", "trailing slash"})
    examples = 5
    secrets = ("HUSH",)

    @pytest.fixture
    def fs(self) -> FileSystem:
        return FsspecFileSystem("ftp")

    @pytest.fixture
    def root(self, ftp_server: Any) -> str:
        return f"{ftp_server.url}/{uuid.uuid4().hex}/root"
