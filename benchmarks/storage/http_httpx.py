"""httpx: one client, the body streamed to the file."""

from pathlib import Path

import httpx
from columns import CHUNK_BYTES, Column


class Httpx(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.client = httpx.Client()

    def download(self, name: str, path: str) -> None:
        with self.client.stream("GET", f"{self.server}/{name}") as answer:
            answer.raise_for_status()
            with Path(path).open("wb") as sink:
                sink.writelines(answer.iter_bytes(CHUNK_BYTES))

    def read(self, name: str) -> bytes:
        return self.client.get(f"{self.server}/{name}").raise_for_status().content
