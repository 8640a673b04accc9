"""A command's output folder: when it counts, and what vouches for it.

``_done.json`` is written last and names every file; without it nothing in the folder counts.
``_started.json`` says which fingerprint an unfinished run was after, so that it can be resumed.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import DataError, NotFoundError, RVError
from rv_pipeline.fingerprint import Fingerprint
from rv_pipeline.locks import Owner, holder, locked

if TYPE_CHECKING:
    from rv_core import Kernel

logger = logging.getLogger(__name__)

DONE_NAME: Final = "_done.json"
STARTED_NAME: Final = "_started.json"
LOCK_NAME: Final = "_lock.json"
_DONE_VERSION: Final = 1
_SIZED_FILES: Final = 256
PROBE_NAME: Final = "_probe.tmp"
READER_PREFIX: Final = "_reader-"
"""Of the names of the marks of those who read an output; see `rv_pipeline.sharing`."""
_CONTROL_PREFIXES: Final = (DONE_NAME, STARTED_NAME, LOCK_NAME, PROBE_NAME, READER_PREFIX)


@attrs.frozen
class DoneRecord:
    """What ``_done.json`` says.

    ``files``: name relative to the folder -> size in bytes. ``vital``: those files and folders
    that others need, ``None`` for all; logs may go without harm. ``identity``: changes when the
    content does; downstream fingerprints use it. ``summary``: what the command reported.
    """

    command: str
    key: str
    experiment_id: str
    fingerprint: Fingerprint
    identity: str
    files: Mapping[str, int | None]
    seconds: float
    finished: str
    summary: Mapping[str, Any] = attrs.field(factory=dict)
    vital: Sequence[str] | None = None

    def is_vital(self, name: str) -> bool:
        return self.vital is None or any(
            v in (".", name) or name.startswith(f"{v}/") for v in self.vital
        )

    def to_json(self) -> str:
        data = {"version": _DONE_VERSION, **attrs.asdict(self, recurse=False)}
        data["fingerprint"] = {"digest": self.fingerprint.digest, **self.fingerprint.to_dict()}
        return json.dumps(data, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> DoneRecord | None:
        """``None`` for a record of another version or one that is not whole."""
        try:
            data = json.loads(text)
            if data["version"] != _DONE_VERSION:
                return None
            data["fingerprint"] = Fingerprint.from_dict(data["fingerprint"])
            names = {field.name for field in attrs.fields(cls)}
            return cls(**{name: value for name, value in data.items() if name in names})
        except (ValueError, KeyError, TypeError):
            return None


@attrs.frozen
class Output:
    """The folder of one command's output."""

    uri: str
    kernel: Kernel = attrs.field(repr=False)

    def path(self, name: str) -> str:
        """The URI of a file in the folder."""
        return f"{self.uri}/{name}"

    def done(self) -> DoneRecord | None:
        """The record of a finished run, or ``None``."""
        text = self._read(DONE_NAME)
        return None if text is None else DoneRecord.from_json(text)

    def started(self) -> str | None:
        """The fingerprint digest of an unfinished run, or ``None``."""
        text = self._read(STARTED_NAME)
        try:
            return None if text is None else str(json.loads(text)["fingerprint"])
        except (ValueError, KeyError, TypeError):
            return None

    def files(self) -> dict[str, int | None]:
        """Name -> size of all files in the folder, those that control it left out."""
        return {
            name: self.kernel.files.info(self.path(name)).size
            for name in self._names()
            if not name.startswith(_CONTROL_PREFIXES)
        }

    def damage(self, record: DoneRecord) -> str | None:
        """What is wrong with the vital files that a record vouches for, or ``None``.

        Of many files only the names are looked at: each size may cost a request.
        """
        found = set(self._names())
        vital = {name: size for name, size in record.files.items() if record.is_vital(name)}
        for name in vital:
            if name not in found:
                return f"{name} is missing"
        if len(vital) > _SIZED_FILES:
            return None
        for name, size in vital.items():
            actual = self.kernel.files.info(self.path(name)).size
            if None not in (size, actual) and actual != size:
                return f"{name} has {actual} bytes, not {size}"
        return None

    def tidy(self) -> None:
        """Drop what a run left that was killed after its output counted. Whoever holds the output,
        or may only read it, leaves it as it is."""
        left = [name for name in self._names() if name.startswith(_CONTROL_PREFIXES)]
        with suppress(RVError):
            for name in left:
                if name.startswith(READER_PREFIX):
                    self.reader(name)
        if {STARTED_NAME, LOCK_NAME}.isdisjoint(left):
            return
        with suppress(RVError), locked(self.path(LOCK_NAME), self.kernel):
            if self.done() is not None:
                self.drop(STARTED_NAME)

    def readers(self) -> Iterator[Owner]:
        """Those who are reading the output, other than to look whether it counts."""
        for name in list(self._names()):
            if name.startswith(READER_PREFIX) and (owner := self.reader(name)) is not None:
                yield owner

    def reader(self, name: str) -> Owner | None:
        """Who made the mark of this name; the mark of a dead process goes."""
        owner = holder(self.path(name), self.kernel)
        if owner is None:
            self.drop(name)
        return owner

    def begin(self, digest: str) -> None:
        """Say that a run with this fingerprint has started; the output no longer counts."""
        self.kernel.files.write_str(self.path(STARTED_NAME), json.dumps({"fingerprint": digest}))
        self.drop(DONE_NAME)

    def finish(self, record: DoneRecord) -> None:
        """Vouch for the output; the last thing that is written."""
        self.kernel.files.write_str(self.path(DONE_NAME), record.to_json())
        self.drop(STARTED_NAME)

    def restore(self, record: DoneRecord) -> None:
        """Put back the record of an output that an attempt left as it was."""
        self.kernel.files.write_str(self.path(DONE_NAME), record.to_json())
        self.drop(STARTED_NAME)

    def drop(self, name: str) -> None:
        """Delete a file of the folder, if it is there."""
        try:
            self.kernel.files.delete(self.path(name))
        except NotFoundError:
            logger.debug("%s is not there", self.path(name))

    def read_json(self, name: str) -> Any:
        """A JSON file of a finished output; `DataError` where it is not JSON."""
        try:
            return json.loads(self.kernel.files.read_str(self.path(name)))
        except ValueError as error:
            raise DataError(
                f"{self.path(name)} is not JSON: {error}", hint="run the command again with --rerun"
            ) from error

    def write_json(self, name: str, data: Any) -> None:
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        self.kernel.files.write_str(self.path(name), text)

    def _names(self) -> Iterator[str]:
        prefix = self.uri.rstrip("/") + "/"
        for uri in self.kernel.files.list_paths(self.uri):
            if not uri.startswith(prefix):
                raise RVError(f"listing {self.uri} gave {uri}, which does not lie below it")
            yield uri[len(prefix) :]

    def _read(self, name: str) -> str | None:
        try:
            return self.kernel.files.read_str(self.path(name))
        except NotFoundError:
            return None


def new_identity() -> str:
    """The identity of an output whose content nobody summed up."""
    return uuid.uuid4().hex


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_writable(uri: str, kernel: Kernel) -> None:
    """Raises where nothing can be written below a URI; leaves nothing there."""
    kernel.filesystem(uri, "w")
    probe = f"{uri}/{PROBE_NAME}"
    kernel.files.write_bytes(probe, b"")
    with suppress(NotFoundError):  # another run is probing too
        kernel.files.delete(probe)
