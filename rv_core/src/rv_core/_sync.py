"""A folder made equal to another, one of them local; unchanged files are not transferred."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rv_core._errors import StorageError
from rv_core._progress import OnProgress, Progress
from rv_core._scheme import join, without_secrets

if TYPE_CHECKING:
    from rv_core._filesystem import FileSystem


def from_dir(
    fs: FileSystem, src_uri: str, dest_dir: Path, delete: bool, on_progress: OnProgress
) -> None:
    """See `FileSystem.sync_from_dir`. Unchanged: same size, and the same time of last change."""
    root = folder_of(src_uri)
    names = {uri[len(root) :]: uri for uri in fs.list_paths(root)}
    refused = [name for name in names if not _is_safe(dest_dir, name)]
    kept = {name: uri for name, uri in names.items() if name not in refused}
    for done, (name, uri) in enumerate(sorted(kept.items())):
        target = dest_dir / name
        info = fs.info(uri)
        if not _is_current(target, info.size, info.last_modified):
            fs.copy_from(uri, target)
            if info.last_modified is not None:
                seconds = info.last_modified.timestamp()
                os.utime(target, (seconds, seconds))
        on_progress(Progress("sync", done + 1, len(kept), "file", name))
    if delete and kept and not refused:
        for name, path in local_files(dest_dir):
            if name not in kept:
                path.unlink()
    if refused:
        raise StorageError(
            f"{without_secrets(src_uri)} holds {len(refused)} name(s) that would leave the folder "
            f"{dest_dir}: {', '.join(map(repr, sorted(refused)[:5]))}",
            hint="all other files were transferred; rename or delete these at their source",
        )


def to_dir(
    fs: FileSystem,
    src_dir: Path,
    dest_uri: str,
    delete: bool,
    allow_empty: bool,
    on_progress: OnProgress,
) -> None:
    """See `FileSystem.sync_to_dir`. Unchanged: same size, and not older than the local file."""
    if not src_dir.is_dir():
        raise StorageError(f"{src_dir} is not a folder", hint="only a folder can be synced")
    root = folder_of(dest_uri)
    there = {uri[len(root) :]: uri for uri in fs.list_paths(root)}
    here = dict(local_files(src_dir))
    for done, (name, path) in enumerate(sorted(here.items())):
        if name not in there or not _is_uploaded(fs, there[name], path):
            fs.copy_to(path, join(root, name))
        on_progress(Progress("sync", done + 1, len(here), "file", name))
    if delete and (here or allow_empty):
        for name, uri in there.items():
            if name not in here:
                fs.delete(uri)


def local_files(root: Path) -> Iterator[tuple[str, Path]]:
    """The regular files below a folder as (name with forward slashes, path), in order.
    Symbolic links are left out: what they lead to may lie outside."""
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def folder_of(uri: str) -> str:
    """The URI of a folder, ending in exactly one slash, so that `bus` does not match `bush/`."""
    return uri.rstrip("/") + "/"


def _is_safe(root: Path, name: str) -> bool:
    """Whether a key stays below the folder as a file name, through no symbolic link."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        return False
    parents = [root.joinpath(*parts[:n]) for n in range(1, len(parts))]
    return not any(parent.is_symlink() for parent in parents)


def _is_current(path: Path, size: int | None, last_modified: datetime | None) -> bool:
    if size is None or last_modified is None or not path.is_file() or path.is_symlink():
        return False
    found = path.stat()
    return found.st_size == size and abs(found.st_mtime - last_modified.timestamp()) < 1


def _is_uploaded(fs: FileSystem, uri: str, path: Path) -> bool:
    info, found = fs.info(uri), path.stat()
    newer = info.last_modified is not None and info.last_modified.timestamp() >= found.st_mtime
    return info.size == found.st_size and newer
