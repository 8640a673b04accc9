"""Where a training run writes: a local folder, uploaded where the output is remote."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rv_core import NotFoundError, StorageError, join, scheme_of, without_password

if TYPE_CHECKING:
    from rv_core import Context, Kernel

logger = logging.getLogger(__name__)

CHECKPOINTS: Final = "checkpoints"
LOGS: Final = "logs"
HISTORY: Final = "history.csv"
LEFTOVERS: Final = (CHECKPOINTS, LOGS, HISTORY)


class TrainOutput:
    """The folder of a run: the output itself where it is local, else one in ``context.tmp_dir``
    that is uploaded every ``sync_interval`` seconds."""

    def __init__(self, kernel: Kernel, uri: str, context: Context, sync_interval: float) -> None:
        self._files = kernel.files
        self.uri = uri
        self.sync_interval = sync_interval
        # Asked even where the folder is written directly, so that a denial is obeyed.
        kernel.filesystem(uri, "w")
        local = _local_folder(uri)
        self.remote = local is None
        self.folder = local or context.tmp_dir / "train"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._synced = time.monotonic()

    def fetch(self) -> None:
        """Bring what an earlier run left at a remote output, to go on from it."""
        if not self.remote:
            return
        for name in (CHECKPOINTS, LOGS):
            with suppress(NotFoundError):
                self._files.sync_from_dir(join(self.uri, name), self.folder / name)

    def clear(self) -> None:
        """Drop the checkpoints, logs and history of an earlier run."""
        import shutil

        for name in LEFTOVERS:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if self.remote:
                with suppress(NotFoundError):
                    self._files.delete(join(self.uri, name))

    def has(self, name: str) -> bool:
        """Whether a file is in the output."""
        if self.remote:
            return self._files.file_exists(join(self.uri, name), include_dir=False)
        return (self.folder / name).is_file()

    def sync_due(self) -> bool:
        return self.remote and time.monotonic() - self._synced >= self.sync_interval

    def sync(self, final: bool = False) -> None:
        """Upload what is new. Only at the end is a failure an error: before it, the next try may
        succeed, and the training is not lost."""
        if not self.remote:
            return
        try:
            checkpoints = self.folder / CHECKPOINTS
            if checkpoints.is_dir():
                target = join(self.uri, CHECKPOINTS)
                self._files.sync_to_dir(checkpoints, target, delete=True)
            self._files.sync_to_dir(self.folder, self.uri)
        except StorageError as error:
            if final:
                raise
            shown = without_password(self.uri)
            logger.warning("the training could not be uploaded to %s yet: %s", shown, error)
        self._synced = time.monotonic()

    def write_text(self, name: str, text: str) -> None:
        """A small file in the folder, whole or not at all."""
        path = self.folder / name
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def write_json(self, name: str, data: Any) -> None:
        self.write_text(name, json.dumps(data, indent=2) + "\n")

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """``history.csv``: a line per validation, or per pass where there is none."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(HISTORY, text.getvalue())


def _local_folder(uri: str) -> Path | None:
    """The folder that a path or a ``file:`` URI names; ``None`` for other schemes."""
    from urllib.request import url2pathname

    if scheme_of(uri) != "file":
        return None
    if uri[:5].lower() != "file:":
        return Path(uri)
    rest = uri[5:]
    path = "/" + rest[2:].partition("/")[2] if rest.startswith("//") else rest
    return Path(url2pathname(path))
