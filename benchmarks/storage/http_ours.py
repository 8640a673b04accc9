"""RV on a web server."""

from columns import Column

from rv_core import Kernel


class Ours(Column):
    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.files = Kernel().files

    def download(self, name: str, path: str) -> None:
        self.files.copy(f"{self.server}/{name}", path)

    def read(self, name: str) -> bytes:
        return self.files.read_bytes(f"{self.server}/{name}")
