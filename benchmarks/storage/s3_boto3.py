"""boto3 two ways: its transfer manager as it comes, and a pool of 32 threads around its client."""

from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from columns import BUCKET, THREADS, Column, in_threads, local_files, place


class _Boto3(Column):
    config = TransferConfig()
    connections = 10

    def __init__(self, server: str) -> None:
        super().__init__(server)
        settings = Config(max_pool_connections=self.connections)
        self.client = boto3.client("s3", endpoint_url=server, config=settings)

    def names(self, prefix: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def download(self, name: str, path: str) -> None:
        self.client.download_file(BUCKET, name, path, Config=self.config)

    def upload(self, path: str, name: str) -> None:
        self.client.upload_file(path, BUCKET, name, Config=self.config)

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()


class Manager(_Boto3):
    def download_all(self, prefix: str, folder: str) -> None:
        with create_transfer_manager(self.client, self.config) as manager:
            under_way = [
                manager.download(BUCKET, name, str(place(folder, name, prefix)))
                for name in self.names(prefix)
            ]
            for one in under_way:
                one.result()

    def upload_all(self, folder: str, prefix: str) -> None:
        with create_transfer_manager(self.client, self.config) as manager:
            under_way = [
                manager.upload(str(path), BUCKET, prefix + name)
                for path, name in local_files(folder)
            ]
            for one in under_way:
                one.result()


class Pool(_Boto3):
    config = TransferConfig(max_concurrency=THREADS)
    connections = THREADS

    def download_all(self, prefix: str, folder: str) -> None:
        def get(name: str) -> None:
            place(folder, name, prefix).write_bytes(self.read(name))

        in_threads(get, ((name,) for name in self.names(prefix)))

    def upload_all(self, folder: str, prefix: str) -> None:
        def put(path: Path, name: str) -> None:
            self.client.put_object(Bucket=BUCKET, Key=prefix + name, Body=path.read_bytes())

        in_threads(put, local_files(folder))
