"""RV's storage for those who read through fsspec: its own tests, and pandas and zarr."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.tests import abstract

from rv_core import Kernel
from rv_fs_fsspec import FsspecFileSystem, RVFileSystem


class _OverRV(abstract.AbstractFixtures):
    """RV has no empty folders, as object stores have none."""

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)


class _Suites(
    abstract.AbstractCopyTests,
    abstract.AbstractGetTests,
    abstract.AbstractPutTests,
    abstract.AbstractOpenTests,
    abstract.AbstractPipeTests,
):
    pass


class TestOverOneSystem(_OverRV, _Suites):
    """Over one FileSystem, which keeps its files in memory."""

    @pytest.fixture
    def fs(self) -> RVFileSystem:
        return RVFileSystem(FsspecFileSystem("memory"))

    @pytest.fixture
    def fs_path(self) -> str:
        return f"memory/{uuid.uuid4().hex}"


@pytest.mark.slow
class TestOverAKernel(_OverRV, _Suites):
    """Over whatever is installed."""

    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls) -> RVFileSystem:
        return RVFileSystem(Kernel())

    @pytest.fixture
    def fs_path(self) -> str:
        return f"memory/{uuid.uuid4().hex}"


@pytest.mark.slow
class TestOverSftp(_OverRV, _Suites):
    """Over a server far away, by a URI that holds a password."""

    @pytest.fixture
    def fs(self, kernel: Kernel) -> RVFileSystem:
        return RVFileSystem(kernel)

    @pytest.fixture
    def fs_path(self, sftp_server: Any) -> str:
        return f"{sftp_server.url.replace('://', '/')}/{uuid.uuid4().hex}"
