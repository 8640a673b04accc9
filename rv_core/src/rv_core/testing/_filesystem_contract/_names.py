"""Every character a key may hold survives."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from rv_core._errors import StorageError
from rv_core._filesystem import FileSystem
from rv_core.testing._filesystem_contract._base import (
    Put,
    Remove,
    Storage,
    listed,
    needs,
    tree_of,
    write_tree,
)

NAMES: Final[Mapping[str, str]] = {
    "ampersand": "a&b=c;d.tif",
    "brackets": "a[b]{c}(d)<e>.tif",
    "composed": "caf\u00e9.tif",
    "control characters": "a\tb\nc.tif",
    "dash first": "-rf",
    "decomposed": "cafe\u0301.tif",
    "dots": "a..b/...c.tif",
    "drive": "C:x.tif",
    "drive and folder": "C:/x.tif",
    "empty part": "a//b.tif",
    "encoded slash": "a%2Fb.tif",
    "encoded space": "a%20b.tif",
    "hash": "a#b.tif",
    "hidden": ".hidden/.file",
    "long": "/".join(["n" * 100] * 8),
    "long part": "n" * 246 + ".tif",
    "other scripts": "衛星/الصورة 🛰.tif",
    "percent": "100%.tif",
    "plus": "a+b.tif",
    "punctuation": "a!@$^*,'`~=.tif",
    "question mark": "a?b=c.tif",
    "quote": 'a"b.tif',
    "spaces": " a  b .tif",
    "tilde": "~a/~.tif",
    "trailing slash": "trailing/",
    "vertical bar": "a|b.tif",
    "Windows path": "C:\\x\\y.tif",
}
"""The names of files that the tests make, by title."""

_ALL = pytest.mark.parametrize(("title", "name"), NAMES.items(), ids=NAMES)


class Names(Storage):
    @_ALL
    def test_a_name_survives(
        self,
        fs: FileSystem,
        root: str,
        put: Put,
        remove: Remove,
        title: str,
        name: str,
    ) -> None:
        if self._is_refused(title, name):
            self._cannot_be_held(fs, root, name)
            return
        decoys = {decoy: put(decoy, b"decoy") for decoy in self._decoys(name)}
        assert put(name, b"data") == (uri := fs.uri_below(root, name))
        assert fs.name_below(root, uri) == name
        assert fs.read_bytes(uri) == b"data"
        assert fs.info(uri).size == 4
        assert fs.file_exists(uri, include_dir=False)
        for decoy, other in decoys.items():
            assert fs.read_bytes(other) == b"decoy", f"{name!r} and {decoy!r} are one file"
        if "list" in self.capabilities:
            found = list(fs.list_files(root))
            assert sorted(file.name for file in found) == sorted([name, *decoys])
            assert listed(fs, root) == sorted([name, *decoys])
            (own,) = (file for file in found if file.name == name)
            assert fs.read_bytes(own.uri) == b"data", "the listed URI leads elsewhere"
        remove(name)
        assert not fs.file_exists(uri, include_dir=False)
        assert all(fs.file_exists(other, include_dir=False) for other in decoys.values())

    @needs("list")
    def test_all_names_come_down(self, fs: FileSystem, root: str, put: Put, tmp_path: Path) -> None:
        names = self._names_for_folders()
        for name in names:
            put(name, name.encode())
        fs.sync_from_dir(root, tmp_path / "down")
        assert tree_of(tmp_path / "down") == {name: name.encode() for name in names}

    @needs("write", "list")
    def test_all_names_go_up(self, fs: FileSystem, root: str, tmp_path: Path) -> None:
        names = self._names_for_folders()
        write_tree(tmp_path / "up", {name: name.encode() for name in names})
        fs.sync_to_dir(tmp_path / "up", root)
        assert listed(fs, root) == sorted(names)
        for name in names:
            assert fs.read_bytes(fs.uri_below(root, name)) == name.encode()

    def test_the_cache_takes_every_name(self, fs: FileSystem, put: Put) -> None:
        for title, name in NAMES.items():
            if not self._is_refused(title, name):
                uri = put(f"{len(title)}/{name}", name.encode())
                assert fs.local_path(uri).read_bytes() == name.encode()

    def _cannot_be_held(self, fs: FileSystem, root: str, name: str) -> None:
        """It is an error, or the file is found where it was put; nothing else is asked."""
        if "write" not in self.capabilities:
            return
        uri = fs.uri_below(root, name)
        try:
            fs.write_bytes(uri, b"data")
        except StorageError:
            return
        assert fs.read_bytes(uri) == b"data", "it was written, and is not there"

    def _decoys(self, name: str) -> set[str]:
        """Names for which this one is mistaken where a character is lost on the way."""
        others = {
            unquote(name),
            name.partition("?")[0],
            name.partition("#")[0],
            name.replace("+", " "),
            name.strip(),
            unicodedata.normalize("NFC", name),
            unicodedata.normalize("NFD", name),
        }
        refused = {n for title, n in NAMES.items() if self._is_refused(title, n)}
        return others - refused - {name}

    def _names_for_folders(self) -> list[str]:
        """Those that are names of files in local folders too."""
        if os.name == "nt":
            return ["a b.tif", "caf\u00e9.tif", "a%20b.tif", "a+b#c&d.tif", ".hidden/.file"]
        return [
            name
            for title, name in NAMES.items()
            if not self._is_refused(title, name)
            and "\\" not in name
            and all(name.split("/"))
            and (title != "decomposed" or "composed" not in self.refused_names)
        ]
