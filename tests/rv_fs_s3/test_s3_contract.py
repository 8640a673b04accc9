"""The promises of every storage, on moto's server."""

from __future__ import annotations

import pytest
from rv_core.testing import FileSystemContract

from rv_fs_s3 import S3FileSystem


@pytest.mark.slow  # a hundred tests, with moto's server
class TestS3(FileSystemContract):
    secrets = ("notASecretOfAnyone", "notATokenOfAnyone", "AKTESTTESTTEST")
    examples = 3
    many = 1100  # the pages of moto's listings are shorter; one request deletes a thousand
    refused_names = frozenset({"control characters"})  # moto's routes end at a line's end
    memory_bytes = 64 << 20  # a stream keeps up to three parts of 16 MiB

    @pytest.fixture
    def fs(self, s3: S3FileSystem) -> S3FileSystem:
        return s3

    @pytest.fixture
    def root(self, folder: str) -> str:
        return folder
