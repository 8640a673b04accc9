"""What a FileSystem's tests are made of: its fixtures, and what it says it can do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import pytest

from rv_core._errors import StorageError
from rv_core._filesystem import FileSystem

Put = Callable[[str, bytes], str]
"""Makes a file of that name below the root hold these bytes; returns its URI."""
Remove = Callable[[str], None]
"""Takes the file of that name below the root away."""

CAPABILITIES: Final = frozenset(
    {
        "any_key",  # `..`, empty parts, backslashes: any string below the root names a file
        "constant_memory",  # large files are not kept in this process
        "delete",
        "etag",
        "exclusive",  # mode "xb", for one of many at once
        "folders",  # a folder is told from a file of that name
        "last_modified",
        "list",
        "many_files",  # takes more than a page of a listing
        "seek",  # streams for reading can seek
        "write",
    }
)

_SECRETS: Final = "secrets"  # what a system has that has credentials

_Test = TypeVar("_Test", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[_Test], _Test]:
    """A test that is for systems with these capabilities; the others do not collect it."""
    return _marked("needs", capabilities)


def lacks(*capabilities: str) -> Callable[[_Test], _Test]:
    """A test of what systems without these capabilities do instead."""
    return _marked("lacks", capabilities)


def applies(test: object, storage: type[Storage]) -> bool:
    """Whether a test is for systems that can do what this one can, and no more."""
    found = storage.capabilities | ({_SECRETS} if storage.secrets else set())
    return found.issuperset(getattr(test, "needs", ())) and found.isdisjoint(
        getattr(test, "lacks", ())
    )


def _marked(attribute: str, capabilities: tuple[str, ...]) -> Callable[[_Test], _Test]:
    unknown = set(capabilities) - CAPABILITIES - {_SECRETS}
    assert not unknown, unknown

    def mark(test: _Test) -> _Test:
        setattr(test, attribute, capabilities)
        return test

    return mark


class Storage:
    """The fixtures, and the settings of a subclass."""

    capabilities: ClassVar[frozenset[str]] = CAPABILITIES
    """What the system can do; of what it cannot, the refusal is tested."""
    refused_names: ClassVar[frozenset[str]] = frozenset()
    """Names (of `NAMES`, or their titles there) that the system cannot hold by its own rules."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Words of the credentials in use, which no log and no error may show."""
    many: ClassVar[int] = 1500
    """How many files are more than a page of a listing."""
    memory_bytes: ClassVar[int] = 48 << 20
    """How much memory a file of 128 MiB may take on its way."""
    examples: ClassVar[int] = 10
    """How many random sequences of operations are tried of each length."""

    @pytest.fixture
    def fs(self) -> FileSystem:
        """The system under test: override it."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `fs`: the FileSystem")

    @pytest.fixture
    def root(self) -> str:
        """The URI of a folder that is empty, without a slash at its end: override it."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a fixture `root`: the URI of a fresh folder"
        )

    @pytest.fixture
    def put(self, fs: FileSystem, root: str) -> Put:
        """Makes a file: override it where the system itself cannot."""

        def write(name: str, data: bytes) -> str:
            uri = fs.uri_below(root, name)
            fs.write_bytes(uri, data)
            return uri

        return write

    @pytest.fixture
    def remove(self, fs: FileSystem, root: str) -> Remove:
        """Takes a file away: override it where the system itself cannot."""

        def delete(name: str) -> None:
            fs.delete(fs.uri_below(root, name))

        return delete

    @pytest.fixture(autouse=True)
    def _own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RV_CACHE_DIR", str(tmp_path / "cache of this test"))

    def _is_refused(self, title: str, name: str) -> bool:
        return not self.refused_names.isdisjoint((title, name))

    @contextmanager
    def _refused(self, *kinds: type[StorageError]) -> Iterator[None]:
        """Asking for what the system lacks is an error of RV's, and no other."""
        with pytest.raises(kinds or StorageError) as caught:
            yield
        assert str(caught.value), "the error says nothing"


def listed(fs: FileSystem, root: str, ext: str = "") -> list[str]:
    """The names below a folder, sorted."""
    return sorted(fs.name_below(root, uri) for uri in fs.list_paths(root, ext))


def tree_of(folder: Path) -> dict[str, bytes]:
    """The files below a local folder, hidden ones too, and what they hold."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_bytes(found: bytes, expected: bytes, what: str = "the file") -> None:
    """Fail where they differ, in one line: pytest would take its time to show all of them."""
    if found == expected:
        return
    shorter = range(min(len(found), len(expected)))
    at = bisect_left(shorter, True, key=lambda n: found[: n + 1] != expected[: n + 1])
    raise AssertionError(
        f"{what} should have {len(expected)} bytes and has {len(found)}; from byte {at} on it has "
        f"{found[at : at + 12]!r} instead of {expected[at : at + 12]!r}"
    )


def same_files(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> None:
    """Fail where there are other files, or files that hold something else."""
    assert sorted(found) == sorted(expected)
    for name, data in expected.items():
        same_bytes(found[name], data, repr(name))


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes among which no two offsets are easily mistaken for each other."""
    from random import Random

    block = Random(seed).randbytes(min(size, (1 << 16) + 13))  # noqa: S311
    return (block * (size // max(len(block), 1) + 1))[:size]
