"""GDAL's own way to a file in storage: what a plugin may say of it, and what nobody sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rv_core.cache import Cache

from rv_core import FileInfo, GdalAccess


def test_storage_that_says_nothing_is_copied_from(shelf: Any) -> None:
    assert shelf.gdal_access("shelf://a.tif", FileInfo(3)) is None


def test_what_gdal_is_told_is_not_shown() -> None:
    access = GdalAccess("/vsicurl/https://host/a?sig=hush", {"AWS_SECRET_ACCESS_KEY": "hush"})
    assert "hush" not in repr(access)
    assert "hush" not in str(access)


def test_a_cache_knows_which_version_it_holds(shelf: Any, tmp_path: Path) -> None:
    uri = "shelf://a.tif"
    shelf.write_bytes(uri, b"one")
    cache = Cache(tmp_path / "cache")
    before = shelf.info(uri)
    assert not cache.holds(uri, before)
    cache.fetch(shelf, uri)
    assert cache.holds(uri, before)
    shelf.write_bytes(uri, b"another")
    assert not cache.holds(uri, shelf.info(uri))
