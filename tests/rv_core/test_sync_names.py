"""Which names are not taken to a disk, and which would overwrite each other there."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rv_core._sync_names import colliding, fold, fold_of, why_not_on_disk
from rv_core.local_files import is_part, names_that_fold

names = st.lists(st.text("aAbßé\u0301eÉ", min_size=1, max_size=3), min_size=1, max_size=3).map(
    "/".join
)


@given(st.sets(names, max_size=12))
def test_what_is_left_after_collisions_has_room(some):
    refused = colliding(some)
    left = some - set(refused)
    assert left or not some
    folded = {fold(name) for name in left}
    assert len(folded) == len(left), "two names are one"
    for name in folded:
        parts = name.split("/")
        assert not {"/".join(parts[:n]) for n in range(1, len(parts))} & folded, "file and folder"
    for name, other in refused.items():
        assert name in some
        assert other in some
        assert name != other


@given(st.sets(names, max_size=12))
def test_a_disk_that_tells_all_names_apart_has_room_for_all(some):
    refused = colliding(some, lambda name: name)
    for name in refused:
        assert any(other.startswith(name + "/") for other in some)


def test_of_names_that_are_one_on_the_disk_the_first_is_taken():
    composed, decomposed = (unicodedata.normalize(form, "café.tif") for form in ("NFC", "NFD"))
    assert colliding(["a.tif", "A.tif", "x/B", "X/b", "other"]) == {"a.tif": "A.tif", "x/B": "X/b"}
    assert colliding([composed, decomposed]) == {composed: decomposed}
    assert colliding(["x/1", "X/2", "x/3"]) == {}, "folders may meet"


def test_the_disk_itself_is_asked(tmp_path):
    (tmp_path / "probe").write_text("x")
    case, form = names_that_fold(str(tmp_path))
    assert case == (tmp_path / "PROBE").exists()
    (tmp_path / "é").write_text("x")
    assert form == (tmp_path / "e\u0301").exists()
    assert fold_of(tmp_path)("Aé") == ("aé" if case else "Aé")
    assert not any(is_part(path.name) for path in tmp_path.iterdir())


UNFINISHED = ".rv-0123abcd-1f-0123abcd.part"


@pytest.mark.parametrize(
    "name", ["../x", "a/../x", "..", ".", "a/./b", "/x", "a//b", "a/", "", "a\\b", "nul\0"]
)
def test_names_that_would_leave_a_folder(name):
    assert why_not_on_disk(name)


@pytest.mark.parametrize("name", [UNFINISHED, f"folder/{UNFINISHED}", f"{UNFINISHED}/x"])
def test_names_of_unfinished_files(name):
    assert why_not_on_disk(name)


@pytest.mark.parametrize("name", ["C:x", "a/C:/x", "a.", "a ", "b/nul", "com1.tif", "LPT9", "x:y"])
def test_names_that_mean_something_else_on_windows(name):
    assert why_not_on_disk(name, windows=True)
    assert why_not_on_disk(name, windows=False) is None


@pytest.mark.parametrize("name", ["a..b", "...", ".hidden", "console", "nulls/x", "~", "a b#?%20"])
def test_ordinary_names_are_taken_everywhere(name):
    if name != "...":
        assert why_not_on_disk(name, windows=True) is None
    assert why_not_on_disk(name, windows=False) is None


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_names_that_are_no_text_are_refused_before_they_stop_a_sync():
    assert why_not_on_disk("a/\ud800.tif") == "is not valid text"
    assert why_not_on_disk(os.fsdecode(b"\xff.tif")) is None
