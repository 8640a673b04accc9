"""What differs between implementations in how one file is moved, and what is done better here."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import Any, Final, Protocol

from fsspec import AbstractFileSystem
from fsspec.callbacks import Callback
from fsspec.spec import AbstractBufferedFile

from rv_core import OnProgress, Progress
from rv_fs_fsspec._failures import kind_of

_CHUNK_BYTES: Final = 1 << 20


class Reading(Protocol):
    """What is used of a file that is open for reading."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> object: ...

    def close(self) -> None: ...


class GivenUpError(Exception):
    """Ends a transfer in the thread of an event loop, in the place of what its listener raised:
    a KeyboardInterrupt there would end the loop, and all who wait for it would wait for ever."""


class Watched(Callback):  # type: ignore[misc]
    """fsspec's way of telling how many bytes are done, told on in RV's."""

    def __init__(self, on_progress: OnProgress, size: int | None) -> None:
        super().__init__(size=size)
        self._on_progress = on_progress
        self._size = size
        self._owner = threading.get_ident()
        self._raised: BaseException | None = None
        self._over = False

    def call(self, *args: Any, **kwargs: Any) -> None:
        if self.value:
            self._tell()

    def begin(self) -> None:
        """Some tell of nothing before it is done: then it is too late to give it up."""
        self._tell()

    def _tell(self) -> None:
        if self._over:
            raise GivenUpError
        try:
            self._on_progress(Progress("copy", self.value, self._size, "B"))
        except BaseException as error:
            self._raised = error
            if threading.get_ident() == self._owner:
                raise
            raise GivenUpError from None

    @contextmanager
    def passing_on(self) -> Iterator[None]:
        """Raise what the listener raised as it is, whatever the implementation made of it. A
        transfer that goes on in an event loop when the block is left by an exception, such as
        Ctrl-C, ends when it next tells how far it is."""
        try:
            yield
        except BaseException as error:
            self._over = True
            if self._raised is not None and isinstance(error, Exception):
                raise self._raised from None
            raise
        if self._raised is not None:
            raise self._raised

    def finished(self, size: int) -> None:
        """Not every implementation calls back, and none need call for the end."""
        if self.value != size:
            self.absolute_update(size)


class Ways:
    """As fsspec's common interface does it; an implementation may have ways of its own."""

    def make(self, cls: type[AbstractFileSystem], given: dict[str, Any]) -> AbstractFileSystem:
        """An instance of its own, whatever fsspec has made and kept before."""
        # Asked first: some cannot be cleaned up where their making failed.
        signature(cls.__init__).bind(None, **given)
        return cls(**given, skip_instance_cache=True)

    def abandon(self, instance: AbstractFileSystem) -> None:
        """Done in a forked process to an instance that is its parent's."""

    def info(self, instance: AbstractFileSystem, path: str) -> Mapping[str, Any]:
        """What is told of a file or folder; raises FileNotFoundError."""
        try:
            return instance.info(path)  # type: ignore[no-any-return]
        except OSError as error:
            if issubclass(kind_of(error), FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, "there is no such file", path) from None
            raise

    def exists(self, instance: AbstractFileSystem, path: str) -> bool:
        """Whether something is there; fsspec takes any failure to find out for a no."""
        try:
            self.info(instance, path)
        except FileNotFoundError:
            return False
        return True

    def open(self, instance: AbstractFileSystem, path: str) -> Reading:
        """A file that stays open, at its start."""
        return instance.open(path, "rb")  # type: ignore[no-any-return]

    def told_of(self, file: Any) -> Mapping[str, Any] | None:
        """What is told of the very file that `open` gave; ``None`` where it can be asked for by
        its path only."""
        return None

    def listing(self, instance: AbstractFileSystem, folder: str) -> Iterable[Mapping[str, Any]]:
        """What is told of each file and folder in a folder."""
        return instance.ls(folder, detail=True)  # type: ignore[no-any-return]

    def get(self, instance: AbstractFileSystem, path: str, local: str, watched: Watched) -> None:
        """Download to a local file that exists already."""
        instance.get_file(path, local, callback=watched)

    def put(
        self,
        instance: AbstractFileSystem,
        local: str,
        path: str,
        watched: Watched,
        *,
        new: bool = False,
    ) -> None:
        """Upload; with ``new``, the server refuses where something is there."""
        if not instance.async_impl and type(instance).put_file is AbstractFileSystem.put_file:
            _write(instance, local, path, watched)
            return
        mode = {"mode": "create"} if new else {}
        instance.put_file(local, path, callback=watched, **mode)

    def move_to_new(self, instance: AbstractFileSystem, old: str, new: str) -> None:
        """Rename a file; raises FileExistsError where the new name is taken. As close to
        exclusive as asking first comes."""
        if self.exists(instance, new):
            raise FileExistsError(new)
        instance.mv(old, new)
        if self.exists(instance, old):  # moved nothing, and said nothing
            raise FileExistsError(new)

    def drop(self, instance: AbstractFileSystem, path: str) -> None:
        """Remove what an upload that failed has left."""
        with suppress(Exception):
            instance.rm_file(path)


def _write(instance: AbstractFileSystem, local: str, path: str, watched: Watched) -> None:
    """As fsspec's common way, which closes a file after a failure too, and so publishes a half."""
    instance.makedirs(instance._parent(path), exist_ok=True)
    file = instance.open(path, "wb")
    try:
        with Path(local).open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
                watched.relative_update(len(chunk))
    except BaseException:
        if isinstance(file, AbstractBufferedFile):
            with suppress(Exception):
                file.discard()
            file.closed = True
        raise
    file.close()
