"""cloudpathlib: many files by its cache, which asks for each whether it is still the same."""

import os
from pathlib import Path

from cloudpathlib import S3Client, S3Path
from columns import BUCKET, Column, in_threads


class CloudPathlib(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.client = S3Client(endpoint_url=server)

    def path(self, name: str) -> S3Path:
        return self.client.CloudPath(f"s3://{BUCKET}/{name}")

    def download(self, name: str, path: str) -> None:
        self.path(name).download_to(path)

    def upload(self, path: str, name: str) -> None:
        self.path(name).upload_from(path)

    def download_all(self, prefix: str, folder: str) -> None:
        client = S3Client(endpoint_url=self.server, local_cache_dir=folder)
        below = client.CloudPath(f"s3://{BUCKET}/{prefix}").rglob("*.bin")
        in_threads(os.fspath, ((path,) for path in below))

    def upload_all(self, folder: str, prefix: str) -> None:
        self.path(prefix).upload_from(Path(folder))

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()
