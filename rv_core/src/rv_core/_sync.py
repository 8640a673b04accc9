"""A folder made equal to another, in any two places; unchanged files are not transferred."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from rv_core._errors import (
    AccessDeniedError,
    IntegrityError,
    NotFoundError,
    NotWritableError,
    StorageError,
    TransferError,
)
from rv_core._filesystem import FileInfo, copy_whole
from rv_core._progress import OnProgress, Progress, ignore_progress
from rv_core._sync_names import (
    Links,
    colliding,
    fold_of,
    why_never,
    why_not_elsewhere,
    why_not_on_disk,
)
from rv_core._sync_record import Record
from rv_core._sync_sides import Folder, Item, Place, Side, refuse_overlap
from rv_core.local_files import failures

if TYPE_CHECKING:
    from rv_core.cache import Cache

logger = logging.getLogger(__name__)

ON_DISK_AT_ONCE: Final = 8
LARGE_BYTES: Final = 32 << 20
LARGE_AT_ONCE: Final = 4
"""Large files are few at a time: each is moved in several streams where the storage can."""
LARGE_STREAM_BYTES: Final = 4 << 20
"""What is large from one system to another: a writer may hold all of a file in memory until it is
closed, and this bounds what many of them hold together."""

_NAMED: Final = 10
_ROUND: Final = 4
"""So many files in a row, at least, have to find the server down before the others are given up."""
_SAME_SECONDS: Final = 1.0
_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def sync(
    source: Side,
    target: Side,
    *,
    delete: bool = False,
    allow_empty: bool = False,
    on_progress: OnProgress = ignore_progress,
    cache: Cache | None = None,
) -> None:
    """Make ``target`` hold the files of ``source``; see `FileSystem.sync_from_dir`.

    Both sides are listed before anything is changed. ``on_progress`` hears of files, with the
    values ``bytes`` and ``total_bytes``, from this thread alone. Ctrl-C ends it within a second:
    files that are complete stay, others are as they were. ``cache``: whose folder keeps the record.
    """
    refuse_overlap(source, target, delete)
    here = source.listing()
    there = target.listing_as_target()
    if not here and not allow_empty and isinstance(source, Place) and source.required:
        raise NotFoundError(f"there are no files below {source.shown}")
    record = Record(_cache_of(source, target, cache).folder, source, target)
    record.keep_only(set(here))
    work = _Sync(source, target, here, there, record, on_progress)
    try:
        work.transfer()
    finally:
        record.save()
    if error := work.error():
        raise error
    gone = {name: item for name, item in there.items() if name not in here}
    if not delete or not gone:
        return
    if here or allow_empty:
        target.delete(work.without_collisions(gone))
    else:
        logger.warning(
            "%s holds no files: none of the %d in %s were deleted, as allow_empty was not given",
            source.shown,
            len(gone),
            target.shown,
        )


def _cache_of(source: Side, target: Side, cache: Cache | None) -> Cache:
    from rv_core.cache import Cache

    for side in (source, target):
        if cache is None and isinstance(side, Place):
            cache = side.fs.cache
    return cache or Cache()


@attrs.define
class _Failures:
    """What went wrong with single files."""

    names: list[str] = attrs.field(factory=list)
    first: Exception | None = None
    kinds: set[type] = attrs.field(factory=set)
    in_a_row: int = 0

    def add(self, name: str, error: Exception) -> None:
        self.names.append(name)
        self.first = self.first or error
        self.kinds.add(_kind_of(error))
        self.in_a_row = self.in_a_row + 1 if isinstance(error, TransferError) else 0


class _Sync:
    """One sync whose sides were listed: what is to be done, doing it, and what came of it."""

    def __init__(
        self,
        source: Side,
        target: Side,
        here: dict[str, Item],
        there: dict[str, Item],
        record: Record,
        on_progress: OnProgress,
    ) -> None:
        self._source = source
        self._target = target
        self._here = here
        self._there = there
        self._record = record
        self._on_progress = on_progress
        self._copy = _copier(source, target)
        self._refused = self._names_refused()
        self._failures = _Failures()
        self._given_up = False
        self._not_tried = 0
        self._blind: list[str] = []  # uploaded, and nobody said what they are now
        self._lock = threading.Lock()
        self._moving: dict[str, float] = {}
        self._moved = 0.0
        self._done = 0

    def transfer(self) -> None:
        """Copy what is not there or another version; failures of single files are kept."""
        names = [name for name in sorted(self._here) if name not in self._refused]
        todo = [name for name in names if not self._is_current(name)]
        self._done = len(names) - len(todo)
        sizes = [self._here[name].size for name in todo]
        total_bytes = None if None in sizes else sum(size or 0 for size in sizes)

        def report(name: str = "") -> None:
            with self._lock:
                moved = self._moved + sum(self._moving.values())
            values = {"bytes": moved}
            if total_bytes is not None:
                values["total_bytes"] = float(total_bytes)
            self._on_progress(Progress("sync", self._done, len(names), "file", name, values))

        if self._done:
            report()
        places = [s for s in (self._source, self._target) if isinstance(s, Place)]
        limit = LARGE_STREAM_BYTES if len(places) == 2 else LARGE_BYTES
        large = [name for name in todo if (self._here[name].size or 0) > limit]
        small = [name for name in todo if (self._here[name].size or 0) <= limit]
        at_once = min((p.fs.transfers_at_once for p in places), default=ON_DISK_AT_ONCE)
        for some, threads in ((small, at_once), (large, min(LARGE_AT_ONCE, at_once))):
            if self._given_up:
                self._not_tried += len(some)
            else:
                self._run(some, threads, report)
        self._look_again()

    def _run(self, names: list[str], threads: int, report: Callable[[str], None]) -> None:
        from rv_core.transfers import run_parallel

        ended = 0
        with closing(run_parallel(self._one, names, threads, lambda: report(""))) as results:
            for name, result in results:
                ended += 1
                with self._lock:
                    self._moved += self._moving.pop(name, 0.0)
                if isinstance(result, StorageError | OSError):
                    self._failures.add(name, result)
                    # One that stayed busy served nobody meanwhile, or others would be in between.
                    is_busy = isinstance(result, TransferError) and result.busy
                    enough = _ROUND if is_busy else max(threads, _ROUND)
                    if _is_hopeless(result) or self._failures.in_a_row >= enough:
                        self._given_up, self._not_tried = True, len(names) - ended
                        return
                elif isinstance(result, BaseException):
                    raise result
                else:
                    self._failures.in_a_row = 0
                    self._done += 1
                    report(name)

    def _one(self, name: str, check: Callable[[], None]) -> None:
        def moved(progress: Progress) -> None:
            check()
            if progress.unit == "B":
                with self._lock:
                    self._moving[name] = progress.done

        check()
        item = self._here[name]
        try:
            made = self._copy(item, self._target.place_of(name), moved)
        except (StorageError, OSError):
            if isinstance(self._source, Folder) and self._source.has_lost(item):
                logger.info("%s went away while its folder was being synced", item.place)
                return
            raise
        if made is None:
            with self._lock:
                self._blind.append(name)
        else:
            self._record.keep(name, item, made)

    def _is_current(self, name: str) -> bool:
        here, there = self._here[name], self._there.get(name)
        if there is None:
            return False
        if name in self._record:
            return self._record.holds(name, here, there)
        if here.size != there.size or here.size is None:
            return False
        if here.changed is None or there.changed is None:
            return False
        if isinstance(self._target, Folder):
            same = abs(here.changed - there.changed) < _SAME_SECONDS
        else:
            same = there.changed >= here.changed
        if same:
            self._record.keep(name, here, there)
        return same

    def _names_refused(self) -> dict[str, str]:
        """The names that are not taken to the target, and why."""
        refused = {}
        folder = self._target if isinstance(self._target, Folder) else None
        links = Links(folder.path) if folder else None
        if folder is None:
            refusal = why_not_elsewhere
        else:
            refusal = why_never if isinstance(self._source, Folder) else why_not_on_disk
        for name in self._here:
            why = refusal(name)
            if why is None and links and name not in self._there and links.on_the_way_to(name):
                why = "would leave the folder through a symbolic link"
            if why is not None:
                refused[name] = why
        if folder is not None:
            for name, other in self._collisions(set(self._here) - set(refused), folder).items():
                refused[name] = f"clashes with {other!r} on this disk"
        return refused

    def _collisions(self, names: set[str], folder: Folder) -> dict[str, str]:
        found = colliding(names)
        if not found:
            return {}
        # Most disks tell apart what some do not: ask this one.
        with failures("write", folder.shown):
            folder.path.mkdir(parents=True, exist_ok=True)
        return colliding(names, fold_of(folder.path))

    def without_collisions(self, gone: dict[str, Item]) -> dict[str, Item]:
        """What may be deleted: no file that goes, on this disk, by a name that was synced too."""
        if not isinstance(self._target, Folder) or not colliding([*self._here, *gone]):
            return gone
        folded = fold_of(self._target.path)
        kept = {folded(name) for name in self._here}
        return {name: item for name, item in gone.items() if folded(name) not in kept}

    def _look_again(self) -> None:
        """Ask what was uploaded for its etags, with one listing, where uploading did not tell."""
        if not self._blind:
            return
        with suppress(StorageError):  # then the next sync goes by sizes and times
            found = self._target.listing_as_target()
            for name in self._blind:
                here = self._here[name]
                if name in found and found[name].size == here.size:
                    self._record.keep(name, here, found[name])

    def error(self) -> StorageError | None:
        """The one error that names all files that are not where they should be."""
        said, hint = [], None
        kinds = set(self._failures.kinds)
        if self._refused:
            names = sorted(self._refused)
            said.append(
                f"{self._source.shown} holds {len(names)} name(s) that cannot be taken to "
                f"{self._target.shown}: {_named(names)} ({self._refused[names[0]]})"
            )
            hint = "all other files were transferred; rename or delete these at their source"
            kinds.add(StorageError)
        if first := self._failures.first:
            names = sorted(self._failures.names)
            left = f", and {self._not_tried} were not tried" if self._not_tried else ""
            said.append(
                f"{len(names)} file(s) could not be brought from {self._source.shown} to "
                f"{self._target.shown}: {_named(names)}{left}; the first said: {first}"
            )
            hint = getattr(first, "hint", None) or "a further sync tries these again"
        if not said:
            return None
        kind = kinds.pop() if len(kinds) == 1 else StorageError
        error: StorageError = kind("; ".join(said), hint=hint)
        error.__cause__ = self._failures.first
        return error


Copier = Callable[[Item, str, OnProgress], Item | None]
"""Copies one file to a place; returns what is known of it there now, where anything is."""


def _copier(source: Side, target: Side) -> Copier:
    if isinstance(source, Place):
        if isinstance(target, Folder):
            return lambda item, place, moved: _download(source, item, place, moved)
        return lambda item, place, moved: _between(source, target, item, place, moved)
    if isinstance(target, Folder):
        return _on_this_machine
    return lambda item, place, moved: _upload(target, item, place, moved)


# What a source was is known from its listing: where it has changed since, the next sync sees it.


def _download(source: Place, item: Item, place: str, moved: OnProgress) -> Item:
    info = source.fs.copy_listed(item.place, place, FileInfo(item.size), moved)
    if item.changed is None and info is not None and info.last_modified is not None:
        item = attrs.evolve(item, changed=info.last_modified.timestamp())
    return _with_its_time(place, item)


def _on_this_machine(item: Item, place: str, moved: OnProgress) -> Item:
    from rv_core.local_files import copy_into, open_for_writing

    # Not flushed to the disk one by one: after a power cut, the next sync sees which are not whole.
    with open_for_writing(place, place, follow=False, durable=False) as sink:
        copy_into(item.place, item.place, sink, moved)
    return _with_its_time(place, item)


def _with_its_time(place: str, item: Item) -> Item:
    if item.changed is not None:
        with suppress(OSError):  # some disks of networks do not let times be set
            os.utime(place, (item.changed, item.changed))
    return Folder.item(place)


def _upload(target: Place, item: Item, place: str, moved: OnProgress) -> Item | None:
    info = target.fs.copy_to(item.place, place, moved)
    return None if info is None or info.etag is None else target.item(place, info)


def _between(source: Place, target: Place, item: Item, place: str, moved: OnProgress) -> None:
    sink = partial(target.fs.open, place, "wb")
    copy_whole(source.fs, item.place, FileInfo(item.size), sink, moved)


def _kind_of(error: Exception) -> type[StorageError]:
    kinds = (AccessDeniedError, IntegrityError, NotFoundError, NotWritableError, TransferError)
    return next((kind for kind in kinds if isinstance(error, kind)), StorageError)


def _is_hopeless(error: Exception) -> bool:
    """Whether the disk is full, so that the others need not be tried."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, OSError) and cause.errno in _FULL for cause in causes)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
