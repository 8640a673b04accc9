"""What every column can do, in the shape in which the library at hand does it best.

``download(name, path)`` and ``upload(path, name)`` move one large object, ``download_all(prefix,
folder)`` and ``upload_all(folder, prefix)`` many small ones, ``read(name)`` gives the bytes of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

BUCKET = "bench"
CHUNK_BYTES = 1 << 20
THREADS = 32


class Column:
    """``server``: the URL of the S3 server, or of the folder that nginx serves."""

    def __init__(self, server: str) -> None:
        self.server = server

    def read(self, name: str) -> bytes:
        raise NotImplementedError

    def read_each(self, names: list[str]) -> list[bytes]:
        return [self.read(name) for name in names]


def local_files(folder: str) -> list[tuple[Path, str]]:
    root = Path(folder)
    return [(path, path.relative_to(root).as_posix()) for path in root.rglob("*") if path.is_file()]


def in_threads(do: Callable[..., object], items: Iterable[tuple], threads: int = THREADS) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda item: do(*item), items):
            pass


def pour(source: BinaryIO, sink: BinaryIO) -> None:
    while chunk := source.read(CHUNK_BYTES):
        sink.write(chunk)


def place(folder: str, name: str, prefix: str) -> Path:
    path = Path(folder) / name.removeprefix(prefix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
