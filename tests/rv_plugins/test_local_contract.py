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


# What is the same for a path however it is spelled.
OF_PATHS = dict.fromkeys(
    [
        "test_a_listing_has_no_page_limit",
        "test_an_exception_drops_a_large_file_too",
        "test_an_exception_keeps_the_old_file",
        "test_any_size_arrives_in_pieces_of_any_size",
        "test_any_sequence_of_operations_leaves_what_a_dictionary_would_hold",
        "test_many_threads_may_use_one_system",
        "test_memory_does_not_grow_with_the_file",
        "test_readers_see_one_whole_version_while_others_write",
        "test_streams_take_pieces_of_any_size_and_kind",
        "test_the_borders_of_parts_are_no_borders_of_files",
        "test_what_is_unchanged_is_not_uploaded_again",
    ]
)


class TestFileUris(TestPaths):
    vars().update(OF_PATHS)

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return uri_of(str(tmp_path / "root of the test"))
