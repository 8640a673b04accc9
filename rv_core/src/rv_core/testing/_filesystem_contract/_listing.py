"""Listings: recursive, whole, and of one folder only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rv_core._errors import NotFoundError
from rv_core._filesystem import FileSystem
from rv_core.testing._filesystem_contract._base import Put, Remove, Storage, lacks, listed, needs


class Listing(Storage):
    @needs("list")
    def test_a_listing_is_recursive_and_its_uris_can_be_used(
        self, fs: FileSystem, root: str, put: Put
    ) -> None:
        names = sorted(["a.tif", "b/c.tif", "b/d/e f.txt", "b/d/g/h.tif", "empty"])
        uris = [put(name, name.encode() if name != "empty" else b"") for name in names]
        found = sorted(fs.list_paths(root))
        assert found == sorted(uris), "full URIs, as `uri_below` spells them"
        assert [fs.read_bytes(uri) for uri in uris][:4] == [name.encode() for name in names][:4]
        assert listed(fs, f"{root}/") == names, "a slash at the end changes nothing"
        assert listed(fs, fs.uri_below(root, "b")) == ["c.tif", "d/e f.txt", "d/g/h.tif"]

    @needs("list")
    def test_a_listing_tells_what_info_tells(self, fs: FileSystem, root: str, put: Put) -> None:
        for n, name in enumerate(("a", "b/c d", "b/e/f")):
            put(name, bytes(n))
        files = list(fs.list_files(root))
        assert sorted((file.name, file.info.size) for file in files) == [
            ("a", 0),
            ("b/c d", 1),
            ("b/e/f", 2),
        ]
        for file in files:
            assert file.uri == fs.uri_below(root, file.name)
            told = fs.info(file.uri)
            assert file.info.size == told.size
            # A listing may know less than a question for the one file, but nothing else.
            assert file.info.etag in (None, told.etag)

    @needs("list")
    def test_a_listing_keeps_to_the_endings_asked_for(
        self, fs: FileSystem, root: str, put: Put
    ) -> None:
        for name in ("a.tif", "b/c.tif", "b/c.tif.txt", "d.TIF", "tif"):
            put(name, b"x")
        assert listed(fs, root, ".tif") == ["a.tif", "b/c.tif"]
        assert [file.name for file in fs.list_files(root, ".txt")] == ["b/c.tif.txt"]

    @needs("list")
    def test_bus_is_not_bush(self, fs: FileSystem, root: str, put: Put) -> None:
        put("bush/1", b"x")
        assert list(fs.list_paths(fs.uri_below(root, "bus"))) == []
        put("bus/2", b"x")
        assert listed(fs, fs.uri_below(root, "bus")) == ["2"]
        assert listed(fs, fs.uri_below(root, "bus/")) == ["2"]
        assert listed(fs, fs.uri_below(root, "bush")) == ["1"]

    @needs("list")
    def test_nothing_lists_nothing(self, fs: FileSystem, root: str) -> None:
        assert list(fs.list_paths(root)) == []
        assert list(fs.list_paths(fs.uri_below(root, "no/such/folder"))) == []
        assert list(fs.list_files(fs.uri_below(root, "no/such/folder"))) == []

    @needs("list")
    def test_a_file_lists_itself(self, fs: FileSystem, root: str, put: Put) -> None:
        uri = put("folder/file.txt", b"x")
        put("folder/file.txt.bak", b"x")
        assert list(fs.list_paths(uri)) == [uri]
        assert list(fs.list_paths(uri, ".tif")) == []
        (file,) = fs.list_files(uri)
        assert (file.uri, file.name) == (uri, "file.txt")

    @needs("list")
    def test_a_listing_is_never_an_old_one(
        self, fs: FileSystem, root: str, put: Put, remove: Remove
    ) -> None:
        put("folder/one", b"1")
        assert listed(fs, root) == ["folder/one"]
        put("folder/two", b"2")
        assert listed(fs, root) == ["folder/one", "folder/two"]
        remove("folder/one")
        assert listed(fs, root) == ["folder/two"]
        remove("folder/two")
        assert listed(fs, root) == []
        assert not fs.file_exists(fs.uri_below(root, "folder/two"))

    @needs("list", "many_files")
    @pytest.mark.slow
    def test_a_listing_has_no_page_limit(
        self, fs: FileSystem, root: str, put: Put, remove: Remove
    ) -> None:
        names = [f"pages/{n % 7}/{n:05} é.txt" for n in range(self.many)]
        with ThreadPoolExecutor(fs.transfers_at_once) as pool:
            list(pool.map(lambda name: put(name, b"x"), names))
        pages = fs.uri_below(root, "pages")
        expected = sorted(name.removeprefix("pages/") for name in names)
        assert listed(fs, pages) == expected
        assert sorted(file.name for file in fs.list_files(pages)) == expected
        if {"write", "delete"} <= self.capabilities:
            some = [*(f"gone/{n}" for n in range(self.many)), names[0]]
            fs.delete_files(fs.uri_below(root, name) for name in some)
            assert not fs.file_exists(fs.uri_below(root, names[0])), "not all were deleted"
            fs.delete(fs.uri_below(root, "pages"))
            assert not fs.file_exists(fs.uri_below(root, "pages"))
            with pytest.raises(NotFoundError):
                fs.info(fs.uri_below(root, names[-1]))

    @lacks("list")
    def test_a_system_that_does_not_list_says_so(self, fs: FileSystem, root: str, put: Put) -> None:
        put("file.txt", b"x")
        with self._refused():
            list(fs.list_paths(root))
