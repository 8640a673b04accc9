"""Folders made equal, in both directions, without leaving them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from rv_core._errors import StorageError
from rv_core._filesystem import FileSystem
from rv_core._progress import Progress
from rv_core.testing._filesystem_contract._base import (
    Put,
    Storage,
    listed,
    needs,
    pattern,
    same_bytes,
    tree_of,
    write_tree,
)
from rv_core.testing._filesystem_contract._names import NAMES

TREE = {
    "a.tif": b"a",
    "b/c d#?.tif": b"cd",
    "b/e/f/g.tif": b"",
    "b/.hidden": b"hidden",
    "é%20.tif": b"e",
}
HOSTILE = (
    "../escaped",
    "b/../../escaped",
    "/absolute",
    "b//empty",
    "b/./dot",
    "b\\..\\..\\backslash",
    "nul\0",
)
_MIB = 1 << 20
_TICK = 0.02  # seconds within which local disks may give two changes the same time
posix = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


class _Trees(Storage):
    @property
    def _tree(self) -> dict[str, bytes]:
        """Without hidden files where the system refuses them: some servers list none."""
        keeps = not self._is_refused("hidden", NAMES["hidden"])
        return {name: data for name, data in TREE.items() if keeps or "/." not in name}


class SyncDown(_Trees):
    @needs("list")
    def test_a_folder_comes_down(self, fs: FileSystem, root: str, put: Put, tmp_path: Path) -> None:
        for name, data in self._tree.items():
            put(f"bus/{name}", data)
        put("bush/other", b"other")
        write_tree(tmp_path / "here", {"extra": b"extra", "a.tif": b"another"})
        fs.sync_from_dir(fs.uri_below(root, "bus"), tmp_path / "here")
        assert tree_of(tmp_path / "here") == {**self._tree, "extra": b"extra"}
        fs.sync_from_dir(fs.uri_below(root, "bus/"), str(tmp_path / "new" / "folder"))
        assert tree_of(tmp_path / "new" / "folder") == self._tree

    @needs("list")
    def test_what_is_not_there_is_deleted_on_request(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name, data in self._tree.items():
            put(name, data)
        here = write_tree(tmp_path / "here", {"extra": b"x", "b/extra": b"x", "gone/extra": b"x"})
        watch = _Watch((here / "extra").exists)
        fs.sync_from_dir(root, here, delete=True, on_progress=watch)
        assert tree_of(here) == self._tree
        assert all(watch.seen), "something was deleted before all was there"

    @needs("list")
    def test_an_interrupted_sync_leaves_files_whole(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        old, new = pattern(_MIB, seed=1), pattern(2 * _MIB, seed=2)
        for n in range(4):
            put(str(n), new)
        here = write_tree(tmp_path / "here", {"0": old, "1": old, "extra": b"x"})
        with pytest.raises(KeyboardInterrupt):
            fs.sync_from_dir(root, here, delete=True, on_progress=_interrupt)
        assert (here / "extra").exists(), "something was deleted before all was there"
        for n in range(4):
            data = (here / str(n)).read_bytes() if (here / str(n)).exists() else old
            same_bytes(data, new if len(data) == len(new) else old, str(n))

    @needs("list")
    def test_nothing_deletes_nothing(self, fs: FileSystem, root: str, tmp_path: Path) -> None:
        here = write_tree(tmp_path / "here", {"extra": b"x"})
        fs.sync_from_dir(fs.uri_below(root, "nowhere"), here, delete=True)
        assert tree_of(here) == {"extra": b"x"}

    @needs("list")
    def test_what_is_unchanged_is_not_downloaded_again(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        if self.capabilities.isdisjoint(("etag", "last_modified")):
            pytest.skip("neither etag nor time tells what is unchanged here")
        for name, data in self._tree.items():
            put(name, data)
        fs.sync_from_dir(root, tmp_path / "here")
        before = _identities(tmp_path / "here")
        put("new", b"new")
        fs.sync_from_dir(root, tmp_path / "here", delete=True)
        after = _identities(tmp_path / "here")
        assert after.pop("new")
        assert after == before, "files were written anew that had not changed"

    @needs("list")
    def test_what_is_changed_is_downloaded_again(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name, data in self._tree.items():
            put(name, data)
        fs.sync_from_dir(root, tmp_path / "here")
        put("b/e/f/g.tif", b"no longer empty")
        fs.sync_from_dir(root, tmp_path / "here")
        assert tree_of(tmp_path / "here") == {**self._tree, "b/e/f/g.tif": b"no longer empty"}

    @needs("list", "etag")
    def test_a_change_of_neither_size_nor_second_is_seen(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for data in (b"one", b"two", b"six"):
            time.sleep(_TICK)
            put("a.txt", data)
            fs.sync_from_dir(root, tmp_path / "here")
            assert tree_of(tmp_path / "here") == {"a.txt": data}

    @needs("list")
    def test_what_was_changed_here_is_made_good(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name, data in self._tree.items():
            put(name, data)
        here = tmp_path / "here"
        fs.sync_from_dir(root, here)
        (here / "a.tif").write_bytes(b"damaged")
        (here / "b/c d#?.tif").unlink()
        fs.sync_from_dir(root, here)
        assert tree_of(here) == self._tree

    @needs("list")
    def test_progress_ends_at_the_number_of_files(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name, data in self._tree.items():
            put(name, data)
        seen: list[Progress] = []
        fs.sync_from_dir(root, tmp_path / "here", False, seen.append)
        _check_progress(seen)

    @needs("list", "write", "any_key")
    def test_no_key_leads_out_of_the_folder(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        put("good", b"good")
        put("b/good", b"good")
        held = list(_written(fs, root, HOSTILE))
        assert "../escaped" in held, "with any_key, `..` is a name as any other"
        here = write_tree(tmp_path / "outer" / "here", {"mine": b"mine"})
        with pytest.raises(StorageError) as caught:
            fs.sync_from_dir(root, here, delete=True)
        assert tree_of(tmp_path / "outer") == {
            "here/good": b"good",
            "here/b/good": b"good",
            "here/mine": b"mine",
        }, "the rest goes on, and nothing is deleted"
        for name in held:
            assert repr(name)[1:-1] in str(caught.value) or name in str(caught.value), (
                f"the error does not name {name!r}"
            )
        assert not Path("/absolute").exists()

    @posix
    @needs("list")
    def test_no_link_leads_out_of_the_folder(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name in ("good", "link/file", "file"):
            put(name, b"new")
        outside = write_tree(tmp_path / "outside", {"file": b"old"})
        here = write_tree(tmp_path / "here", {})
        here.mkdir()
        (here / "link").symlink_to(outside)
        (here / "file").symlink_to(outside / "file")
        with pytest.raises(StorageError, match="link/file"):
            fs.sync_from_dir(root, here, delete=True)
        assert tree_of(outside) == {"file": b"old"}
        assert (here / "good").read_bytes() == b"new", "the rest goes on"


class SyncUp(_Trees):
    @needs("write", "list")
    def test_a_folder_goes_up(self, fs: FileSystem, root: str, put: Put, tmp_path: Path) -> None:
        put("bus/extra", b"extra")
        put("bus/a.tif", b"another")
        put("bush/other", b"other")
        here = write_tree(tmp_path / "here", self._tree)
        fs.sync_to_dir(here, fs.uri_below(root, "bus"))
        assert _remote(fs, fs.uri_below(root, "bus")) == {**self._tree, "extra": b"extra"}
        fs.sync_to_dir(str(here), fs.uri_below(root, "new/"))
        assert _remote(fs, fs.uri_below(root, "new")) == self._tree
        assert _remote(fs, fs.uri_below(root, "bush")) == {"other": b"other"}

    @needs("write", "list", "delete")
    def test_what_is_not_here_is_deleted_on_request(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        for name in ("bus/extra", "bus/b/extra #1", "bush/other", "bus.txt"):
            put(name, b"x")
        watch = _Watch(lambda: fs.file_exists(fs.uri_below(root, "bus/extra")))
        fs.sync_to_dir(
            write_tree(tmp_path / "here", self._tree),
            fs.uri_below(root, "bus"),
            delete=True,
            on_progress=watch,
        )
        assert all(watch.seen), "something was deleted before all was there"
        assert listed(fs, root) == sorted(
            ["bus.txt", "bush/other", *(f"bus/{name}" for name in self._tree)]
        )

    @needs("write", "list", "delete")
    def test_an_empty_folder_deletes_only_if_that_is_allowed(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        put("folder/file", b"x")
        put("other", b"x")
        folder = fs.uri_below(root, "folder")
        (tmp_path / "empty").mkdir()
        with suppress(StorageError):  # to say so is as good
            fs.sync_to_dir(tmp_path / "empty", folder, delete=True)
        assert listed(fs, root) == ["folder/file", "other"]
        fs.sync_to_dir(tmp_path / "empty", folder, delete=True, allow_empty=True)
        assert listed(fs, root) == ["other"]

    @needs("write", "list", "delete")
    def test_a_missing_folder_is_an_error_and_deletes_nothing(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        put("file", b"x")
        with pytest.raises(StorageError):
            fs.sync_to_dir(tmp_path / "missing", root, delete=True, allow_empty=True)
        assert listed(fs, root) == ["file"]

    @needs("write", "list", "last_modified")
    @pytest.mark.slow
    def test_what_is_unchanged_is_not_uploaded_again(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        here = write_tree(tmp_path / "here", self._tree)
        time.sleep(1.1)  # times of servers have no fractions
        fs.sync_to_dir(here, root)
        before = {name: fs.info(fs.uri_below(root, name)) for name in self._tree}
        time.sleep(1.1)
        (here / "new").write_bytes(b"new")
        fs.sync_to_dir(here, root, delete="delete" in self.capabilities)
        after = {name: fs.info(fs.uri_below(root, name)) for name in self._tree}
        assert after == before, "files were written anew that had not changed"
        assert fs.read_bytes(fs.uri_below(root, "new")) == b"new"

    @needs("write", "list")
    def test_what_is_changed_is_uploaded_again(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        here = write_tree(tmp_path / "here", self._tree)
        fs.sync_to_dir(here, root)
        for data in (b"two", b"longer", b"six"):
            time.sleep(_TICK)
            (here / "a.tif").write_bytes(data)
            fs.sync_to_dir(here, root)
            assert _remote(fs, root) == {**self._tree, "a.tif": data}

    @needs("write", "list")
    def test_what_others_changed_there_is_made_good(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        here = write_tree(tmp_path / "here", self._tree)
        fs.sync_to_dir(here, root)
        put("a.tif", b"theirs")
        if "etag" in self.capabilities:
            put("b/c d#?.tif", b"dc")  # of the same size
        fs.sync_to_dir(here, root)
        assert _remote(fs, root) == self._tree

    @posix
    @needs("write", "list")
    def test_links_are_left_out(self, fs: FileSystem, root: str, tmp_path: Path) -> None:
        outside = write_tree(tmp_path / "outside", {"secret": b"secret"})
        here = write_tree(tmp_path / "here", {"file": b"x"})
        (here / "folder").symlink_to(outside)
        (here / "link").symlink_to(outside / "secret")
        fs.sync_to_dir(here, root)
        assert listed(fs, root) == ["file"]

    @needs("write", "list")
    def test_progress_goes_up_with_the_files(
        self, fs: FileSystem, root: str, tmp_path: Path
    ) -> None:
        seen: list[Progress] = []
        here = write_tree(tmp_path / "here", self._tree)
        fs.sync_to_dir(here, root, on_progress=seen.append)
        _check_progress(seen)


class _Watch:
    """A callback for progress that looks at something as long as files are on their way."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self.seen: list[bool] = []

    def __call__(self, progress: Progress) -> None:
        if progress.done < (progress.total or 0):
            self.seen.append(self._look())


def _interrupt(progress: Progress) -> None:
    raise KeyboardInterrupt


def _written(fs: FileSystem, root: str, names: Iterable[str]) -> Iterable[str]:
    """Those of the names that the system took."""
    for name in names:
        with suppress(StorageError):
            fs.write_bytes(f"{root}/{name}", b"hostile")
            yield name


def _remote(fs: FileSystem, root: str) -> dict[str, bytes]:
    return {fs.name_below(root, uri): fs.read_bytes(uri) for uri in fs.list_paths(root)}


def _identities(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written anew: the file itself, or its time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def _check_progress(seen: list[Progress]) -> None:
    done = [progress.done for progress in seen]
    assert done, "no progress was reported"
    assert done == sorted(done), f"progress goes back: {done}"
    assert done[-1] == seen[-1].total, f"progress ends at {done[-1]} of {seen[-1].total}"
