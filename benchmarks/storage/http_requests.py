"""requests, and urllib3 below it: one session, the body streamed to the file."""

import shutil
from pathlib import Path

import requests
import urllib3
from columns import CHUNK_BYTES, Column


class Requests(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.session = requests.Session()

    def download(self, name: str, path: str) -> None:
        with self.session.get(f"{self.server}/{name}", stream=True, timeout=10) as answer:
            answer.raise_for_status()
            with Path(path).open("wb") as sink:
                sink.writelines(answer.iter_content(CHUNK_BYTES))

    def read(self, name: str) -> bytes:
        answer = self.session.get(f"{self.server}/{name}", timeout=10)
        answer.raise_for_status()
        return answer.content


class Urllib3(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.pool = urllib3.PoolManager()

    def download(self, name: str, path: str) -> None:
        answer = self.pool.request("GET", f"{self.server}/{name}", preload_content=False)
        with Path(path).open("wb") as sink:
            shutil.copyfileobj(answer, sink, CHUNK_BYTES)
        answer.release_conn()

    def read(self, name: str) -> bytes:
        return self.pool.request("GET", f"{self.server}/{name}").data
