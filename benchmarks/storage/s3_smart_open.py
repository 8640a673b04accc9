"""smart_open: streams only, so many files are a pool of 32 threads that stream."""

from pathlib import Path

import boto3
from botocore.config import Config
from columns import BUCKET, THREADS, Column, in_threads, local_files, place, pour
from smart_open import open as smart_open


class SmartOpen(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        settings = Config(max_pool_connections=THREADS)
        self.client = boto3.client("s3", endpoint_url=server, config=settings)

    def open(self, name: str, mode: str):
        return smart_open(f"s3://{BUCKET}/{name}", mode, transport_params={"client": self.client})

    def download(self, name: str, path: str) -> None:
        with self.open(name, "rb") as source, Path(path).open("wb") as sink:
            pour(source, sink)

    def upload(self, path: str, name: str) -> None:
        with Path(path).open("rb") as source, self.open(name, "wb") as sink:
            pour(source, sink)

    def download_all(self, prefix: str, folder: str) -> None:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        names = [found["Key"] for page in pages for found in page.get("Contents", [])]
        in_threads(self.download, ((name, place(folder, name, prefix)) for name in names))

    def upload_all(self, folder: str, prefix: str) -> None:
        in_threads(self.upload, ((path, prefix + name) for path, name in local_files(folder)))

    def read(self, name: str) -> bytes:
        with self.open(name, "rb") as source:
            return source.read()
