"""The cache of remote files that all storage shares, also between processes.

Layout: ``<dir>/<hash of the URL>/<hash of the version>/`` holds the file under its name, and
``.info.json``: what was known of the version, and its URL without secrets. A version's folder
appears by one rename, so that what stands under its name is whole. Last use is the folder's mtime.
Beside them, ``<dir>/synced`` belongs to syncs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import attrs

from rv_core._errors import IntegrityError, StorageError
from rv_core._filesystem import FileInfo, check_size
from rv_core._lock import locked
from rv_core._platform_dirs import user_cache_dir
from rv_core._progress import OnProgress, ignore_progress
from rv_core._scheme import scheme_of, without_secrets

if TYPE_CHECKING:
    from rv_core._filesystem import FileSystem

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
_LOCK: Final = "lock"
_INFO: Final = ".info.json"
_PART: Final = ".part-"
_HASH: Final = re.compile(r"[0-9a-f]{32}\Z")
_MAX_NAME_BYTES: Final = 200  # file systems take 255
_LOOK_AGAIN_SECONDS: Final = 60.0


@attrs.frozen
class CacheEntry:
    """One cached version of a file: where it is, its URL without secrets, its size in bytes, and
    when it was last used (seconds since the epoch)."""

    path: Path
    uri: str
    size: int
    last_used: float


@attrs.frozen
class _Version:
    """A cached version: its folder, its file, and what was known of it when it was downloaded."""

    folder: Path
    path: Path
    uri: str
    info: FileInfo
    downloaded: float


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
        self._room = 0  # bytes that were free when the folder was last looked through
        self._looked = -math.inf

    def fetch(
        self,
        fs: FileSystem,
        uri: str,
        *,
        checksum: str | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> Path:
        """A local file with the content of the URI.

        The storage is asked whether the copy at hand is current, and where it cannot be asked,
        its error is raised: a copy that may be old is not given out. With ``checksum``
        (``"md5:<hex>"``, or any algorithm of hashlib), a copy that was verified against it is
        taken without asking. Two processes that want one file download it once. Raises the
        storage's errors, `IntegrityError` where size or checksum is not what was promised, and
        `StorageError` where the cache's folder cannot be written.
        """
        home = self.folder / _hash(unsigned(uri))
        try:
            if checksum is not None and (found := _version_in(home / _hash(checksum))):
                return _used(found)
            with locked(home / _LOCK):
                return self._current(fs, uri, home, checksum, on_progress)
        except OSError as error:
            raise StorageError(
                f"{without_secrets(uri)} cannot be kept in the cache {self.folder}: "
                f"{error.strerror or error}",
                hint="free space there, or name another folder: RV_CACHE_DIR",
            ) from error

    def holds(self, uri: str, version: FileInfo) -> bool:
        """Whether a copy of this version of a file is here, so that `fetch` need not bring it."""
        return _version_in(self.folder / _hash(unsigned(uri)) / _hash(_key(version))) is not None

    def entries(self) -> Iterator[CacheEntry]:
        """What is cached, in no particular order."""
        for home in _folders(self.folder):
            for version in _versions(home):
                with suppress(FileNotFoundError):  # evicted meanwhile
                    size, used = version.path.stat().st_size, version.folder.stat().st_mtime
                    yield CacheEntry(version.path, version.uri, size, used)

    def clear(self, *, uri: str | None = None, older_than: float | None = None) -> list[CacheEntry]:
        """Remove what is cached; returns what was removed.

        ``uri``: only this file, or what is below this folder. ``older_than``: only what was not
        used for so many seconds. Without ``uri``, the records of syncs go too, so that the next
        sync of two folders goes by sizes and times. What another process is fetching stays.
        Raises `StorageError` where the folder cannot be written.
        """
        from rv_core._sync_record import forget

        shown = None if uri is None else without_secrets(uri)
        before = None if older_than is None else time.time() - older_than
        try:
            removed = [
                entry
                for entry in list(self.entries())
                if (shown is None or _is_below(entry.uri, shown))
                and (before is None or entry.last_used <= before)
                and _remove(entry.path.parent)
            ]
            for home in _folders(self.folder):
                _remove_if_empty(home)
            if uri is None:
                forget(self.folder, older_than or 0)
        except OSError as error:
            raise StorageError(
                f"the cache {self.folder} cannot be cleared: {error.strerror or error}"
            ) from error
        return removed

    def _current(
        self,
        fs: FileSystem,
        uri: str,
        home: Path,
        checksum: str | None,
        on_progress: OnProgress,
    ) -> Path:
        """The file as the storage has it now; the lock of ``home`` is held."""
        if checksum is not None:
            known = _version_in(home / _hash(checksum))  # which another may have brought meanwhile
            if known is not None:
                return _used(known)
        else:
            known = max(_versions(home), key=lambda v: v.downloaded, default=None)
        for dead in home.glob(f"{_PART}*"):  # whoever wrote these died: the lock is ours
            shutil.rmtree(dead, ignore_errors=True)
        part = home / f"{_PART}{uuid.uuid4().hex}"
        name = _file_name(fs, uri)
        try:
            part.mkdir()
            info = fs.copy_if_changed(uri, part / name, known.info if known else None, on_progress)
            if info is None:
                if known is None:
                    raise IntegrityError(f"{without_secrets(uri)} was not downloaded")
                return _used(known)
            check_size(uri, (part / name).stat().st_size, info.size)
            if checksum is not None:
                _verify(part / name, checksum, uri)
            path = _publish(part, name, uri, info, home / _hash(checksum or _key(info)))
        finally:
            shutil.rmtree(part, ignore_errors=True)
        for old in _versions(home):
            if checksum is None and old.path != path:
                shutil.rmtree(old.folder, ignore_errors=True)
        self._evict(keep=path)
        return path

    def _evict(self, keep: Path) -> None:
        """Make room where there is none. Looking through the folder costs the more the more it
        holds: it is done when this process has filled the room that it saw, or after a minute,
        since others fill it too."""
        now = time.monotonic()
        self._room -= keep.stat().st_size
        if self._room >= 0 and now - self._looked < _LOOK_AGAIN_SECONDS:
            return
        entries = sorted(self.entries(), key=lambda entry: entry.last_used)
        excess = sum(entry.size for entry in entries) - self.max_bytes
        self._room, self._looked = -excess, now
        for entry in entries:
            if excess <= 0:
                return
            if entry.path == keep:
                continue
            version = entry.path.parent
            if version.parent == keep.parent.parent:  # whose lock is ours
                shutil.rmtree(version, ignore_errors=True)
                excess -= entry.size
            elif _remove(version):
                excess -= entry.size
                _remove_if_empty(version.parent)


def unsigned(uri: str) -> str:
    """A URL without password and signature: what stays the same when it is signed again.

    Of ``http(s)`` URLs the user is left out too. Elsewhere it may tell one place from another
    (``abfs://container@account``), and ``?`` and ``#`` may be part of a name: both stay.
    Raises `StorageError` for what is no URL.
    """
    if scheme_of(uri) not in ("http", "https"):
        start, colon, rest = uri.partition("://")
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        return f"{start}{colon}{user.partition(':')[0]}{at}{host}{slash}{path}" if colon else uri
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise StorageError(f"{without_secrets(uri)} is no URL: {error}") from None
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


def _key(info: FileInfo) -> str:
    """What tells one version of a file from another; unique where the server says nothing."""
    if info.etag is not None:
        return f"etag {info.etag}"
    if info.last_modified is not None:
        return f"modified {info.last_modified.isoformat()} size {info.size}"
    return f"unknown {uuid.uuid4().hex}"


def _publish(part: Path, name: str, uri: str, info: FileInfo, version: Path) -> Path:
    """Let a version appear, with all that is known of it; flushed to the disk before, so that no
    power cut leaves half of it under its name."""
    changed = info.last_modified
    about = {
        "uri": without_secrets(uri),
        "size": (part / name).stat().st_size,
        "downloaded": time.time(),
        "info": {
            "size": info.size,
            "last_modified": changed.isoformat() if changed else None,
            "etag": info.etag,
        },
    }
    (part / _INFO).write_text(json.dumps(about), encoding="utf-8")
    for path in (part / name, part / _INFO, part):
        _flush(path)
    shutil.rmtree(version, ignore_errors=True)
    part.rename(version)
    return version / name


def _version_in(folder: Path) -> _Version | None:
    """The version that a folder holds; ``None`` where it is not whole, or not there."""
    try:
        about = json.loads((folder / _INFO).read_bytes())
        info = about["info"]
        changed = info["last_modified"]
        known = FileInfo(
            info["size"], datetime.fromisoformat(changed) if changed else None, info["etag"]
        )
        path = next(p for p in folder.iterdir() if p.name != _INFO)
        if path.stat().st_size != about["size"]:
            return None
        return _Version(folder, path, about["uri"], known, float(about["downloaded"]))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _versions(home: Path) -> list[_Version]:
    return [version for folder in _folders(home) if (version := _version_in(folder))]


def _folders(place: Path) -> list[Path]:
    """Those that are called by a hash: of a URL in the cache's folder, of a version below."""
    try:
        return [path for path in place.iterdir() if _HASH.match(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(version: Path) -> bool:
    """Remove a version, unless another process is busy with its file; says whether it is gone."""
    with locked(version.parent / _LOCK, wait=False) as held:
        if held:
            shutil.rmtree(version, ignore_errors=True)
        return held and not version.exists()


def _remove_if_empty(home: Path) -> None:
    """Remove the folder of a file that has no version any more, and what is left in it."""
    with locked(home / _LOCK, wait=False) as held:
        if held and not _versions(home):
            # The lock's file last: who waits for it sees that it is gone, and begins anew.
            for path in home.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):  # Windows removes no file that is open
                (home / _LOCK).unlink()
                home.rmdir()


def _is_below(uri: str, folder: str) -> bool:
    return uri == folder or uri.startswith(folder.rstrip("/") + "/")


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    # Windows flushes only what is open for writing.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]


def _file_name(fs: FileSystem, uri: str) -> str:
    """The URL's file name, for those who go by its ending, made safe for any file system."""
    if scheme_of(uri) in ("http", "https"):
        name = unquote(urlsplit(uri).path.rstrip("/").rpartition("/")[2])
    else:
        name = fs.name_below(uri, uri)
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    end = safe.lstrip(".").encode(errors="replace")[-_MAX_NAME_BYTES:]
    return end.decode(errors="ignore") or "file"


def _used(version: _Version) -> Path:
    with suppress(OSError):
        os.utime(version.folder)
    return version.path
