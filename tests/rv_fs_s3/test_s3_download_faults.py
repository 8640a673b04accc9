"""What becomes of downloads from S3 when the network fails: moto's server behind a proxy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rv_core.testing import DownloadFaults, Drip, FaultProxy, Put, Request
from rv_core.transfers import Retries

from rv_fs_s3 import S3FileSystem

PAGE = 200  # keys of a listing, as moto is told
USUAL = f"[copy-{Drip(1)}]"

DOWNLOAD = """
import sys
from rv_fs_s3 import S3FileSystem, S3Settings
S3FileSystem(S3Settings(endpoint_url=sys.argv[1])).copy_from(sys.argv[2], sys.argv[3])
"""


@pytest.mark.slow
class TestS3Downloads(DownloadFaults):
    secrets = ("notASecretOfAnyone", "notATokenOfAnyone", "AKTESTTESTTEST", "Signature=")
    decodes = False  # what an object's Content-Encoding says is the business of who reads it
    has_checksums = True
    many = 2 * PAGE + 1

    def is_listing(self, request: Request) -> bool:
        return "list-type=2" in request.path

    @pytest.fixture
    def fs(self, faulty: S3FileSystem, request: pytest.FixtureRequest) -> S3FileSystem:
        """With its usual time limits; of the cases that wait in vain, one."""
        name: str = request.node.name
        if "asleep_once" in name:
            hurried: S3FileSystem = request.getfixturevalue("hurried")
            return hurried
        if "never_gets" in name:  # each attempt is soon over, and so are the waits between them
            faulty._client.retries = Retries(max_wait=0.3)
        if "always_falls" in name and USUAL not in name:
            tired: S3FileSystem = request.getfixturevalue("tired")
            return tired
        return faulty

    @pytest.fixture
    def root(self, folder: str) -> str:
        return folder

    @pytest.fixture
    def put(self, fs: S3FileSystem, root: str, server: Any) -> Put:
        def put(name: str, data: bytes) -> str:
            bucket, _, prefix = root.removeprefix("s3://").partition("/")
            server.put_object(
                Bucket=bucket, Key=f"{prefix}/{name}", Body=data, ChecksumAlgorithm="CRC64NVME"
            )
            return fs.uri_below(root, name)

        return put

    @pytest.fixture
    def command(self, proxy: FaultProxy) -> Callable[[str, Path], list[str]]:
        return lambda uri, path: [sys.executable, "-c", DOWNLOAD, proxy.url, uri, str(path)]
