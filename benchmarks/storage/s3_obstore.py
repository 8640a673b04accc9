"""obstore: Rust's object_store; many files by a pool of 32 threads."""

from pathlib import Path

import obstore
from columns import BUCKET, Column, in_threads, local_files, place
from obstore.store import S3Store


class Obstore(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.store = S3Store(BUCKET, endpoint=server, client_options={"allow_http": True})

    def download(self, name: str, path: str) -> None:
        with Path(path).open("wb") as sink:
            sink.writelines(obstore.get(self.store, name).stream())

    def upload(self, path: str | Path, name: str) -> None:
        obstore.put(self.store, name, Path(path))

    def download_all(self, prefix: str, folder: str) -> None:
        def get(name: str) -> None:
            place(folder, name, prefix).write_bytes(self.read(name))

        pages = obstore.list(self.store, prefix)
        in_threads(get, ((found["path"],) for page in pages for found in page))

    def upload_all(self, folder: str, prefix: str) -> None:
        in_threads(self.upload, ((path, prefix + name) for path, name in local_files(folder)))

    def read(self, name: str) -> bytes:
        return obstore.get(self.store, name).bytes().to_bytes()
