"""A stream that is kept on this machine until it is closed, and then goes up whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from rv_core.local_files import PartWriter, failures, part_name, sweep


class Upload(PartWriter):
    """Writes a temporary file and hands it to ``publish(path)`` on `close`.

    Few implementations can take back what was written to them, and none can be asked again for
    what a broken connection lost: from a file, all can. What writers that died left there goes too.
    """

    def __init__(self, publish: Callable[[Path], object]) -> None:
        self._upload = publish
        folder = tempfile.gettempdir()
        with failures("write", folder):
            name = part_name().removesuffix(".part")
            handle, path = tempfile.mkstemp(".part", f"{name}-")
        super().__init__(handle, path, folder)
        sweep(folder)

    def seekable(self) -> bool:
        return False

    def publish(self) -> None:
        """Upload the file; raises `StorageError`, leaving an earlier file as it was."""
        self.raw.close()
        self._upload(Path(self.part))
