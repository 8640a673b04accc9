"""The part of the fault battery that is about folders: all their files, or an error."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from rv_core._errors import StorageError
from rv_core._filesystem import FileSystem
from rv_core.testing._fault_scene import FaultScene
from rv_core.testing._faults import AtMost, Request, Status, Truncate
from rv_core.testing._filesystem_contract import Put
from rv_core.testing._proxy import FaultProxy


class FolderFaults(FaultScene):
    """What has to come of listings and syncs when things go wrong; see `DownloadFaults`."""

    lists: ClassVar[bool] = True
    """Whether folders can be listed."""
    many: ClassVar[int] = 1500
    """Of how many files a listing has more than one page."""

    def is_listing(self, request: Request) -> bool:
        """Whether a request asks for a (further) page of a listing: override it."""
        return request.path.partition("?")[0].endswith("/")

    def test_a_listing_from_an_overloaded_server(
        self, fs: FileSystem, proxy: FaultProxy, root: str, put: Put
    ) -> None:
        self._needs_lists()
        for n in range(5):
            put(f"{n}/file.txt", b"x")
        busy = proxy.fail(Status(503), times=3, when=self.is_listing)
        assert len(list(fs.list_paths(root))) == 5
        assert busy.hits == 3

    def test_a_listing_that_breaks_off(
        self, fs: FileSystem, proxy: FaultProxy, root: str, put: Put
    ) -> None:
        self._needs_lists()
        for n in range(50):
            put(f"folder/{n:03}.txt", b"x")
        proxy.fail(Truncate(100), times=2, when=self.is_listing)
        assert len(list(fs.list_paths(root))) == 50

    def test_a_sync_deletes_nothing_where_the_listing_fails(
        self, fs: FileSystem, proxy: FaultProxy, root: str, put: Put, here: Path
    ) -> None:
        self._needs_lists()
        put("folder/file.txt", b"x")
        proxy.fail(Status(403), times=None, when=self.is_listing)
        self._fails(lambda: fs.sync_from_dir(root, here, delete=True), here)

    @pytest.mark.slow
    @pytest.mark.parametrize("code", [429, 503])
    def test_a_sync_from_a_server_that_takes_few_requests_at_a_time(
        self, fs: FileSystem, proxy: FaultProxy, root: str, put: Put, tmp_path: Path, code: int
    ) -> None:
        self._needs_lists()
        names = [f"{n:03}.bin" for n in range(100)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: put(f"folder/{name}", name.encode()), names))
        crowd = proxy.fail(AtMost(4, seconds=0.2, code=code), times=None, path=".bin")
        fs.sync_from_dir(root, tmp_path / "down")
        found = {path.name: path.read_bytes() for path in (tmp_path / "down/folder").iterdir()}
        assert found == {name: name.encode() for name in names}
        assert crowd.hits < 4 * len(names), "it was asked for too much again and again"

    @pytest.mark.slow
    def test_a_listing_of_many(self, fs: FileSystem, root: str, put: Put, tmp_path: Path) -> None:
        self._needs_lists()
        names = [f"{n % 3}/{n:04} é.txt" for n in range(self.many)]
        with ThreadPoolExecutor(fs.transfers_at_once) as pool:
            list(pool.map(lambda name: put(name, b"x"), names))
        assert sorted(fs.name_below(root, uri) for uri in fs.list_paths(root)) == sorted(names)
        fs.sync_from_dir(root, tmp_path / "down")
        assert sum(path.is_file() for path in (tmp_path / "down").rglob("*")) == self.many

    @pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
    def test_a_link_in_the_folder_that_is_synced_to(
        self, fs: FileSystem, root: str, put: Put, tmp_path: Path
    ) -> None:
        self._needs_lists()
        put("link/secret", b"evil")
        put("good", b"good")
        outside, here = tmp_path / "outside", tmp_path / "here"
        outside.mkdir()
        here.mkdir()
        (outside / "secret").write_bytes(b"mine")
        (here / "link").symlink_to(outside)
        with pytest.raises(StorageError) as caught:
            fs.sync_from_dir(root, here, delete=True)
        assert "link/secret" in str(caught.value)
        assert (outside / "secret").read_bytes() == b"mine"
        assert (here / "good").read_bytes() == b"good"

    def _needs_lists(self) -> None:
        if not self.lists:
            pytest.skip("this server does not list")
