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
# What their servers do is shown by less: see test_faults.py.
FEWER = CAN - {"any_key", "constant_memory", "etag", "many_files"}
# One part of a file, however large, is all that these transfers have.
WITHOUT_PARTS = {"test_the_borders_of_parts_are_no_borders_of_files": None}
# What rv-core does on top of any system, and SFTP and memory show.
ON_TOP = dict.fromkeys(
    [
        "test_a_folder_comes_down",
        "test_a_folder_goes_up",
        "test_a_missing_folder_is_an_error_and_deletes_nothing",
        "test_all_names_come_down",
        "test_all_names_go_up",
        "test_an_empty_folder_deletes_only_if_that_is_allowed",
        "test_any_sequence_of_operations_leaves_what_a_dictionary_would_hold",
        "test_errors_travel_between_processes",
        "test_it_answers_for_its_own_uris",
        "test_links_are_left_out",
        "test_no_key_leads_out_of_the_folder",
        "test_no_link_leads_out_of_the_folder",
        "test_nothing_deletes_nothing",
        "test_progress_ends_at_the_number_of_files",
        "test_progress_goes_up_with_the_files",
        "test_the_cache_takes_every_name",
        "test_what_is_changed_is_downloaded_again",
        "test_what_is_changed_is_uploaded_again",
        "test_what_is_unchanged_is_not_downloaded_again",
        "test_what_is_unchanged_is_not_uploaded_again",
        "test_what_is_not_here_is_deleted_on_request",
        "test_what_is_not_there_is_deleted_on_request",
        "test_what_others_changed_there_is_made_good",
        "test_what_was_changed_here_is_made_good",
    ]
)


class TestMemory(FileSystemContract):
    capabilities = CAN - {"constant_memory", "etag"}
    refused_names = frozenset({"trailing slash"})

    @pytest.fixture
    def fs(self) -> FileSystem:
        return FsspecFileSystem("memory")

    @pytest.fixture
    def root(self) -> str:
        return f"memory://{uuid.uuid4().hex}/root"


@pytest.mark.slow
class TestSftp(FileSystemContract):
    vars().update(WITHOUT_PARTS)
    capabilities = FEWER
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
    vars().update(WITHOUT_PARTS | ON_TOP)
    capabilities = FEWER - {"exclusive"}
    refused_names = frozenset({"control characters", "empty part", "trailing slash"})
    secrets = ("HUSH",)

    @pytest.fixture
    def fs(self) -> FileSystem:
        return FsspecFileSystem("ftp")

    @pytest.fixture
    def root(self, ftp_server: Any) -> str:
        return f"{ftp_server.url}/{uuid.uuid4().hex}/root"
