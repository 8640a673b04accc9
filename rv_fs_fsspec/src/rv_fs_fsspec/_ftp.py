"""Files over FTP, each by one command; fsspec sends one for every 64 KiB."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from fsspec import AbstractFileSystem

from rv_fs_fsspec._ways import Watched, Ways

_CHUNK_BYTES: Final = 1 << 18


class FtpWays(Ways):
    def get(self, instance: AbstractFileSystem, path: str, local: str, watched: Watched) -> None:
        with Path(local).open("r+b") as sink:
            sink.truncate()

            def take(data: bytes) -> None:
                sink.write(data)
                watched.relative_update(len(data))

            instance.ftp.retrbinary(f"RETR {path}", take, _CHUNK_BYTES)

    def put(
        self,
        instance: AbstractFileSystem,
        local: str,
        path: str,
        watched: Watched,
        *,
        new: bool = False,
    ) -> None:
        with Path(local).open("rb") as source:
            instance.ftp.storbinary(
                f"STOR {path}",
                source,
                _CHUNK_BYTES,
                callback=lambda data: watched.relative_update(len(data)),
            )

    def drop(self, instance: AbstractFileSystem, path: str) -> None:
        # On the old connection, the next answer may still be that to the upload.
        with suppress(Exception):
            instance.ftp.close()
            instance._connect()
            instance.rm_file(path)
