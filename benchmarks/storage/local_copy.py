"""A local copy that survives a power cut: RV's, and cp followed by fsync."""

import subprocess
from pathlib import Path

from columns import Column


class Ours(Column):
    def __init__(self, server: str) -> None:
        from rv_core import Kernel

        super().__init__(server)
        self.files = Kernel().files

    def download(self, source: str, path: str) -> None:
        self.files.copy(source, path)

    def read(self, name: str) -> bytes:
        return self.files.read_bytes(name)


class Cp(Column):
    def download(self, source: str, path: str) -> None:
        subprocess.run(["cp", "--", source, path], check=True)
        subprocess.run(["sync", "--", path], check=True)  # fsync of that file

    def read(self, name: str) -> bytes:
        return Path(name).read_bytes()
