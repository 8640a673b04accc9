"""How URIs and plain paths name files of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rv_core.local_files import is_local, path_of, uri_of
from rv_plugins.local import LocalFileSystem

from rv_core import StorageError

names = st.binary(min_size=1, max_size=60).filter(lambda b: b"\0" not in b).map(os.fsdecode)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///data/a.tif", "/data/a.tif"),
        ("file:/data/a.tif", "/data/a.tif"),
        ("FILE:///data/a.tif", "/data/a.tif"),
        ("file://localhost/data/a.tif", "/data/a.tif"),
        ("file:///data/with%20space/%C3%BC.tif", "/data/with space/ü.tif"),
        ("file:///data/with space/ü.tif", "/data/with space/ü.tif"),
        ("file:///data/a?b#c.tif", "/data/a?b#c.tif"),
        ("file:///data/100%25.tif", "/data/100%.tif"),
        ("file:///data/~/a", "/data/~/a"),
        ("data/a.tif", "data/a.tif"),
        ("data/100%25.tif", "data/100%25.tif"),
        ("C:\\data\\a.tif", "C:\\data\\a.tif"),
        ("C:/data/a.tif", "C:/data/a.tif"),
        ("a:b", "a:b"),
    ],
)
def test_a_uri_names_a_path(uri: str, path: str) -> None:
    assert path_of(uri, windows=False) == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///C:/data/a%20b.tif", "C:\\data\\a b.tif"),
        ("file:///c|/data/a.tif", "c:\\data\\a.tif"),
        ("file://C:/data/a.tif", "C:\\data\\a.tif"),
        ("file:/C:/data/a.tif", "C:\\data\\a.tif"),
        ("file://server/share/a.tif", "\\\\server\\share\\a.tif"),
        ("C:\\data\\a.tif", "C:\\data\\a.tif"),
        ("C:/data/a.tif", "C:/data/a.tif"),
    ],
)
def test_a_uri_names_a_path_on_windows(uri: str, path: str) -> None:
    assert path_of(uri, windows=True) == path


@pytest.mark.parametrize(
    "path", ["C:\\data\\a b.tif", "d:\\ü#?%.tif", "\\\\server\\share\\a%20.tif", "C:\\"]
)
def test_a_windows_path_survives_as_a_uri(path: str) -> None:
    uri = uri_of(path, windows=True)
    assert uri.startswith("file://")
    assert path_of(uri, windows=True) == path


@given(st.lists(names, min_size=1, max_size=4))
def test_any_absolute_path_survives_as_a_uri(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    uri = uri_of(path, windows=False)
    assert uri.isascii()
    assert " " not in uri
    assert path_of(uri, windows=False) == path


@given(st.text(min_size=1, max_size=12).filter(lambda s: "\0" not in s and s[0] != "~"))
def test_a_plain_path_is_taken_as_it_is_spelled(path: str) -> None:
    if not path.lower().startswith("file:"):
        assert path_of(path) == path


def test_the_home_folder_is_expanded_in_plain_paths_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of("~/a.tif") == f"{tmp_path}/a.tif"
    assert path_of("~") == str(tmp_path)
    assert path_of("./~/a.tif") == "./~/a.tif"
    assert path_of("file:///~/a.tif") == "/~/a.tif"


@pytest.mark.parametrize(
    "uri", ["", "file://host/a", "file:a.tif", "file://", "a\0b", "file:///%00"]
)
def test_what_cannot_name_a_file_here_is_refused(uri: str, local: LocalFileSystem) -> None:
    for ask in (local.open, local.info, local.delete, lambda u: list(local.list_paths(u))):
        with pytest.raises(StorageError) as caught:
            ask(uri)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("a/b", True),
        ("/a", True),
        ("C:\\x", True),
        ("C:/x", True),
        ("c://x", True),
        ("file:///x", True),
        ("FILE:/x", True),
        ("s3://bucket/x", False),
        ("https://host/x", False),
        ("a:b:c", True),
        ("weird+scheme-1.0://x", False),
    ],
)
def test_local_is_what_has_no_other_scheme(uri: str, local: bool) -> None:
    assert is_local(uri) is local
    assert LocalFileSystem().matches_uri(uri, "w") is local
