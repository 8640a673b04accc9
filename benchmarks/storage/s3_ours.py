"""RV, as an experiment uses it: `kernel.files`."""

from columns import BUCKET, Column

from rv_core import Kernel


class Ours(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.files = Kernel().files

    def download(self, name: str, path: str) -> None:
        self.files.copy(f"s3://{BUCKET}/{name}", path)

    def upload(self, path: str, name: str) -> None:
        self.files.copy(path, f"s3://{BUCKET}/{name}")

    def download_all(self, prefix: str, folder: str) -> None:
        self.files.sync_from_dir(f"s3://{BUCKET}/{prefix}", folder)

    def upload_all(self, folder: str, prefix: str) -> None:
        self.files.sync_to_dir(folder, f"s3://{BUCKET}/{prefix}")

    def read(self, name: str) -> bytes:
        return self.files.read_bytes(f"s3://{BUCKET}/{name}")
