"""The cache of remote files that all storage shares, also between processes.

Layout: ``<dir>/<hash of the URL>/<hash of the version>/<file name>``. A version's folder appears
by one rename, so that what stands under its name is whole. Last use is the folder's mtime.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import attrs

from rv_core._errors import IntegrityError, StorageError
from rv_core._filesystem import check_size
from rv_core._lock import locked
from rv_core._platform_dirs import user_cache_dir
from rv_core._progress import OnProgress, ignore_progress
from rv_core._scheme import without_secrets

if TYPE_CHECKING:
    from rv_core._filesystem import FileInfo, FileSystem

DEFAULT_MAX_BYTES: Final = 20 * 2**30

# Query parameters of signed URLs by the one that marks them: AWS's older signatures, CloudFront
# and Google; Azure. Without the mark, ``sr`` or ``expires`` may be anything.
_SIGNATURES: Final[Mapping[str, frozenset[str]]] = {
    "signature": frozenset(
        {"awsaccesskeyid", "expires", "googleaccessid", "key-pair-id", "policy", "signature"}
    ),
    "sig": frozenset(
        ["se", "sig", "ske", "skoid", "sks", "skt", "sktid", "skv", "sp", "spr", "sr", "st", "sv"]
    ),
}
_SIGNATURE_PREFIXES: Final = ("x-amz-", "x-goog-")
_PART = ".part-"
_MAX_NAME_BYTES = 200  # file systems take 255


@attrs.frozen
class CacheEntry:
    """One cached version of a file: where it is, its size in bytes, and when it was last used
    (seconds since the epoch)."""

    path: Path
    size: int
    last_used: float


class Cache:
    """Local copies of remote files, revalidated on every use, the least recently used out first.

    ``folder``: where they lie; ``RV_CACHE_DIR``, else the platform's cache folder, if not given.
    ``max_bytes``: how much is kept; a single larger file is kept until the next one comes.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, max_bytes: int | None = None
    ) -> None:
        chosen = folder or os.environ.get("RV_CACHE_DIR") or user_cache_dir(os.environ)
        self.folder = Path(chosen).expanduser()
        self.max_bytes = DEFAULT_MAX_BYTES if max_bytes is None else max_bytes

    def fetch(
        self,
        fs: FileSystem,
        uri: str,
        *,
        checksum: str | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> Path:
        """A local file with the content of the URI.

        The storage is asked whether the copy at hand is current. With ``checksum``
        (``"md5:<hex>"``, or any algorithm of hashlib), a copy that was verified against it is
        taken without asking. Two processes that want one file download it once. Raises the
        storage's errors, `IntegrityError` where size or checksum is not what was promised, and
        `StorageError` where the cache's folder cannot be written.
        """
        home = self.folder / _hash(unsigned(uri))
        try:
            if checksum is not None and (found := _file_in(home / _hash(checksum))):
                return _used(found)
            with locked(home / "lock"):
                return self._current(fs, uri, home, checksum, on_progress)
        except OSError as error:
            raise StorageError(
                f"{without_secrets(uri)} cannot be kept in the cache {self.folder}: "
                f"{error.strerror or error}",
                hint="free space there, or name another folder: RV_CACHE_DIR",
            ) from error

    def entries(self) -> Iterator[CacheEntry]:
        """What is cached, in no particular order."""
        for version in self.folder.glob("*/*"):
            if not version.name.startswith("."):
                with suppress(FileNotFoundError):  # evicted meanwhile
                    if path := _file_in(version):
                        used = version.stat().st_mtime
                        yield CacheEntry(path, path.stat().st_size, used)

    def _current(
        self,
        fs: FileSystem,
        uri: str,
        home: Path,
        checksum: str | None,
        on_progress: OnProgress,
    ) -> Path:
        for attempt in (1, 2):
            info = fs.info(uri)
            version = home / _hash(checksum or _version(info))
            if found := _file_in(version):
                return _used(found)
            try:
                path = self._download(fs, uri, version, info, checksum, on_progress)
                break
            except IntegrityError:
                # The file may have been replaced between asking for its size and reading it.
                if attempt == 2:
                    raise
        self._evict(keep=path)
        return path

    def _download(
        self,
        fs: FileSystem,
        uri: str,
        version: Path,
        info: FileInfo,
        checksum: str | None,
        on_progress: OnProgress,
    ) -> Path:
        home = version.parent
        for dead in home.glob(f"{_PART}*"):  # whoever wrote these died: the lock is ours
            shutil.rmtree(dead, ignore_errors=True)
        part = home / f"{_PART}{uuid.uuid4().hex}"
        name = _file_name(uri)
        try:
            part.mkdir(parents=True)
            fs.copy_from(uri, part / name, on_progress)
            check_size(uri, (part / name).stat().st_size, info.size)
            if checksum is not None:
                _verify(part / name, checksum, uri)
            for old in _versions(home):
                if checksum is None or old == version:
                    shutil.rmtree(old, ignore_errors=True)
            part.rename(version)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return version / name

    def _evict(self, keep: Path) -> None:
        entries = sorted(self.entries(), key=lambda entry: entry.last_used)
        excess = sum(entry.size for entry in entries) - self.max_bytes
        for entry in entries:
            if excess <= 0:
                return
            if entry.path == keep:
                continue
            version = entry.path.parent
            with locked(version.parent / "lock", wait=False) as held:
                if held or version.parent == keep.parent.parent:
                    shutil.rmtree(version, ignore_errors=True)
                    excess -= entry.size


def unsigned(uri: str) -> str:
    """A URL without user, password and signature: what stays the same when it is signed again."""
    parts = urlsplit(uri)
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = {name.lower() for name, _ in given}
    signed = {name for mark, those in _SIGNATURES.items() if mark in names for name in those}
    query = [
        (name, value)
        for name, value in given
        if name.lower() not in signed and not name.lower().startswith(_SIGNATURE_PREFIXES)
    ]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query), ""))


def _version(info: FileInfo) -> str:
    """What tells one version of a file from another; unique where the server says nothing."""
    if info.etag is not None:
        return f"etag {info.etag}"
    if info.last_modified is not None:
        return f"modified {info.last_modified.isoformat()} size {info.size}"
    return f"unknown {uuid.uuid4().hex}"


def _verify(path: Path, checksum: str, uri: str) -> None:
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected.lower():
        raise IntegrityError(
            f"{without_secrets(uri)} should have {algorithm} {expected}, it has {found}",
            hint="what the server gave is not the file that was asked for; nothing was kept",
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _file_name(uri: str) -> str:
    """The URL's file name, for those who go by its ending, made safe for any file system."""
    name = unquote(urlsplit(uri).path.rstrip("/").rpartition("/")[2])
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    end = safe.lstrip(".").encode()[-_MAX_NAME_BYTES:]
    return end.decode(errors="ignore") or "file"


def _versions(home: Path) -> list[Path]:
    return [p for p in home.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _file_in(version: Path) -> Path | None:
    try:
        return next((path for path in version.iterdir()), None)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _used(path: Path) -> Path:
    with suppress(OSError):
        os.utime(path.parent)
    return path
