"""s3fs: its own bulk calls, which keep many requests in flight on one event loop."""

from columns import BUCKET, Column
from s3fs import S3FileSystem


class S3fs(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.fs = S3FileSystem(endpoint_url=server)

    def download(self, name: str, path: str) -> None:
        self.fs.get_file(f"{BUCKET}/{name}", path)

    def upload(self, path: str, name: str) -> None:
        self.fs.put_file(path, f"{BUCKET}/{name}")

    def download_all(self, prefix: str, folder: str) -> None:
        self.fs.get(f"{BUCKET}/{prefix}", folder, recursive=True)

    def upload_all(self, folder: str, prefix: str) -> None:
        self.fs.put(f"{folder}/", f"{BUCKET}/{prefix}", recursive=True)

    def read(self, name: str) -> bytes:
        return self.fs.cat_file(f"{BUCKET}/{name}")
