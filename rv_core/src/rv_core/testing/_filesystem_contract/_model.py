"""Any sequence of operations leaves what a dictionary would hold."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from rv_core._errors import IntegrityError, NotFoundError, TransferError
from rv_core._filesystem import FileSystem
from rv_core.testing._filesystem_contract._base import (
    Storage,
    listed,
    needs,
    pattern,
    same_bytes,
    same_files,
    tree_of,
    write_tree,
)

# No name is a folder of another: not every system holds both.
_NAMES = ("a", "b c", "bus/1", "bus/é#2", "bush/1", "d/e/f%20", "d/e/g", "d/h+i?")
_FOLDERS = ("bus", "bush", "d", "d/e", "bu", "none")
_CHANGED = b"changed meanwhile"
_names = st.sampled_from(_NAMES)
_folders = st.sampled_from(_FOLDERS)


class _Interruption(Exception):  # noqa: N818
    pass


class StorageMachine(RuleBasedStateMachine):
    """A folder of the system, and a local one that is synced with it, beside their models."""

    def __init__(self, fs: FileSystem, root: str, capabilities: frozenset[str]) -> None:
        super().__init__()
        self.fs = fs
        self.root = root
        self.capabilities = capabilities
        self.there: dict[str, bytes] = {}
        self.here: dict[str, bytes] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="rv-storage-"))
        self.count = 0

    def teardown(self) -> None:
        try:
            self._compare()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @rule(name=_names)
    def write(self, name: str) -> None:
        self.there[name] = self._content()
        self.fs.write_bytes(self._uri(name), self.there[name])

    @rule(name=_names)
    def write_in_pieces(self, name: str) -> None:
        self.there[name] = self._content() + bytes(70_000)
        with self.fs.open(self._uri(name), "wb") as stream:
            stream.write(self.there[name][:-70_000])
            stream.write(bytes(70_000))

    @rule(name=_names)
    def fail_while_writing(self, name: str) -> None:
        with pytest.raises(_Interruption), self.fs.open(self._uri(name), "wb") as stream:
            stream.write(b"half")
            raise _Interruption

    @rule(name=_names)
    def overwrite_while_others_read(self, name: str) -> None:
        before, after = self.there.get(name), self._content()
        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(self._read, name) for _ in range(2)]
            self.fs.write_bytes(self._uri(name), after)
        self.there[name] = after
        found = {reader.result() for reader in readers} - {before, after, _CHANGED}
        assert not found, f"read while it was written: {found}"

    @rule(name=_names)
    def delete(self, name: str) -> None:
        if "delete" not in self.capabilities:
            return
        if self.there.pop(name, None) is None:
            with pytest.raises(NotFoundError):
                self.fs.delete(self._uri(name))
        else:
            self.fs.delete(self._uri(name))

    @rule(folder=_folders)
    def delete_folder(self, folder: str) -> None:
        if "delete" not in self.capabilities:
            return
        inside = [name for name in self.there if name.startswith(folder + "/")]
        try:
            self.fs.delete(self._uri(folder))
        except NotFoundError:
            assert not inside
        for name in inside:
            del self.there[name]

    @rule(name=_names)
    def read(self, name: str) -> None:
        if name in self.there:
            same_bytes(self.fs.read_bytes(self._uri(name)), self.there[name])
            assert self.fs.info(self._uri(name)).size == len(self.there[name])
            same_bytes(self.fs.local_path(self._uri(name)).read_bytes(), self.there[name])
        else:
            with pytest.raises(NotFoundError):
                self.fs.read_bytes(self._uri(name))
        assert self.fs.file_exists(self._uri(name)) == (name in self.there)

    @rule(folder=_folders)
    def list_folder(self, folder: str) -> None:
        inside = [n.removeprefix(f"{folder}/") for n in self.there if n.startswith(f"{folder}/")]
        assert listed(self.fs, self._uri(folder)) == sorted(inside)
        assert self.fs.file_exists(self._uri(folder)) == bool(inside)

    @rule(name=_names)
    def write_here(self, name: str) -> None:
        self.here[name] = self._content()
        write_tree(self.folder, {name: self.here[name]})
        time.sleep(0.01)  # a file system's clock ticks every few ms

    @rule(name=_names)
    def delete_here(self, name: str) -> None:
        if self.here.pop(name, None) is not None:
            (self.folder / name).unlink()

    @rule(delete=st.booleans())
    def sync_down(self, delete: bool) -> None:
        self.fs.sync_from_dir(self.root, self.folder, delete)
        if delete and self.there:
            self.here.clear()
        self.here |= self.there
        self._compare()

    @rule(delete=st.booleans(), allow_empty=st.booleans())
    def sync_up(self, delete: bool, allow_empty: bool) -> None:
        delete = delete and "delete" in self.capabilities
        self.fs.sync_to_dir(self.folder, self.root, delete, allow_empty)
        if delete and (self.here or allow_empty):
            self.there.clear()
        self.there |= self.here
        self._compare()

    def _compare(self) -> None:
        assert listed(self.fs, self.root) == sorted(self.there)
        for name, data in self.there.items():
            same_bytes(self.fs.read_bytes(self._uri(name)), data, repr(name))
        same_files(tree_of(self.folder), self.here)

    def _read(self, name: str) -> bytes | None:
        try:
            return self.fs.read_bytes(self._uri(name))
        except NotFoundError:
            return None
        except (IntegrityError, TransferError):
            return _CHANGED  # which is an answer

    def _uri(self, name: str) -> str:
        return self.fs.uri_below(self.root, name)

    def _content(self) -> bytes:
        """Never the same, and never of the same size: of two files that meet for the first time,
        nothing else may tell that they differ."""
        self.count += 1
        return pattern(20 + self.count, seed=self.count)


class Model(Storage):
    @needs("write", "list")
    def test_any_sequence_of_operations_leaves_what_a_dictionary_would_hold(
        self, fs: FileSystem, root: str
    ) -> None:
        runs = iter(range(10**9))

        def machine() -> StorageMachine:
            folder = fs.uri_below(root, f"run{next(runs)}")
            return StorageMachine(fs, folder, self.capabilities)

        # Short sequences first, in place of shrinking a long one that fails: on storage behind a
        # network that takes minutes.
        run: Callable[..., Any] = run_state_machine_as_test
        for steps in (3, 8, 20):
            run(
                machine,
                settings=settings(
                    max_examples=self.examples,
                    stateful_step_count=steps,
                    deadline=None,
                    phases=(Phase.reuse, Phase.generate),
                    suppress_health_check=list(HealthCheck),
                ),
            )
