"""When something goes wrong in a sync: the rest goes on, nothing is deleted, one error tells it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from shelf import FILES, tree, write

import rv_core as rv


def refusing(*names: str, error: Exception | None = None) -> Callable[[str, str], None]:
    def before(request: str, uri: str) -> None:
        if request in ("get", "put") and uri.endswith(names):
            raise error or rv.AccessDeniedError(f"{uri} is denied", hint="ask for it")

    return before


@pytest.mark.parametrize("way", ["up", "down"])
def test_one_that_fails_does_not_stop_the_others_and_nothing_is_deleted(shelf, here, tmp_path, way):
    folder, request = (
        (here, "put") if way == "up" else (write(tmp_path / "d", {"old": b"o"}), "get")
    )
    if way == "up":
        shelf.put({"old": b"o"})
    else:
        shelf.put(FILES)
    shelf.before = refusing("file 3.tif", "file 44.tif")
    with pytest.raises(rv.AccessDeniedError) as caught:
        if way == "up":
            shelf.sync_to_dir(folder, "shelf://a", delete=True)
        else:
            shelf.sync_from_dir("shelf://a", folder, delete=True)
    assert "2 file(s) could not be brought" in str(caught.value)
    assert "'2/file 44.tif', '3/file 3.tif'" in str(caught.value)
    assert "is denied" in str(caught.value)
    assert caught.value.hint == "ask for it"
    failed = {"3/file 3.tif", "2/file 44.tif"}
    left = {name: data for name, data in FILES.items() if name not in failed} | {"old": b"o"}
    assert (shelf.tree() if way == "up" else tree(folder)) == left
    shelf.before = lambda request, uri: None
    shelf.forget()
    if way == "up":
        shelf.sync_to_dir(folder, "shelf://a", delete=True)
    else:
        shelf.sync_from_dir("shelf://a", folder, delete=True)
    assert shelf.requests[request] == 2
    assert (shelf.tree() if way == "up" else tree(folder)) == FILES


def test_many_failures_are_counted_and_not_all_named(shelf, here):
    shelf.before = refusing(".tif")
    with pytest.raises(rv.AccessDeniedError, match=r"100 file\(s\) .* and 90 more") as caught:
        shelf.sync_to_dir(here, "shelf://a")
    assert len(str(caught.value)) < 1000


def test_failures_of_several_kinds_are_a_storage_error(shelf, here):
    denied, flipped = refusing("file 3.tif"), refusing("4.tif", error=rv.IntegrityError("flipped"))

    def before(request: str, uri: str) -> None:
        denied(request, uri)
        flipped(request, uri)

    shelf.before = before
    with pytest.raises(rv.StorageError, match="11 file") as caught:
        shelf.sync_to_dir(here, "shelf://a")
    assert type(caught.value) is rv.StorageError


@pytest.mark.parametrize("request_", ["list", "listed"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_listing_that_fails_changes_nothing(shelf, here, tmp_path, request_, way):
    """Also one that fails on its last page."""
    shelf.put({"x": b"x", "y": b"y"})
    down = write(tmp_path / "down", {"mine": b"mine"})

    def before(request: str, uri: str) -> None:
        if request == request_:
            raise rv.TransferError("the second page never came")

    shelf.before = before
    with pytest.raises(rv.TransferError, match="second page"):
        if way == "up":
            shelf.sync_to_dir(here, "shelf://a", delete=True)
        else:
            shelf.sync_from_dir("shelf://a", down, delete=True)
    assert shelf.tree() == {"x": b"x", "y": b"y"}
    assert tree(down) == {"mine": b"mine"}


def test_deleting_is_the_last_thing_done(shelf, here):
    shelf.put({"old 1": b"o", "old 2": b"o"})
    shelf.sync_to_dir(here, "shelf://a", delete=True)
    requests = [request for request, _ in shelf.log]
    assert requests[-2:] == ["delete", "delete"]
    assert requests.count("delete") == 2
    assert shelf.tree() == FILES


def test_an_empty_source_deletes_nothing_unless_it_may(shelf, tmp_path, two, caplog):
    (tmp_path / "empty").mkdir()
    shelf.put(FILES)
    shelf.sync_to_dir(tmp_path / "empty", "shelf://a", delete=True)
    assert shelf.tree() == FILES
    assert "empty holds no files: none of the 100 in shelf://a were deleted" in caplog.text
    shelf.sync_to_dir(tmp_path / "empty", "shelf://a", delete=True, allow_empty=True)
    assert shelf.tree() == {}
    _, right, files = two
    right.put(FILES)
    with pytest.raises(rv.NotFoundError, match="no files below left://a"):
        files.sync("left://a", "right://a", delete=True)
    assert right.tree() == FILES
    files.sync("left://a", "right://a", delete=True, allow_empty=True)
    assert right.tree() == {}


def test_a_folder_that_is_missing_or_a_file_is_an_error(shelf, tmp_path):
    shelf.put(FILES)
    with pytest.raises(rv.NotFoundError, match="is not a folder"):
        shelf.sync_to_dir(tmp_path / "none", "shelf://a", delete=True, allow_empty=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(rv.StorageError, match="is a file, not a folder"):
        shelf.sync_to_dir(tmp_path / "file", "shelf://a", delete=True, allow_empty=True)
    with pytest.raises(rv.StorageError, match="is a file, not a folder"):
        shelf.sync_from_dir("shelf://a", tmp_path / "file")
    assert shelf.tree() == FILES


def test_a_server_that_is_down_ends_the_sync_after_one_round(shelf, tmp_path):
    files = {f"{n}": b"x" for n in range(1000)}
    shelf.put(files)
    shelf.before = refusing("", error=rv.TransferError("connection refused"))
    with pytest.raises(rv.TransferError, match="were not tried") as caught:
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.requests["get"] <= 3 * shelf.transfers_at_once
    assert "connection refused" in str(caught.value)


def test_a_server_that_is_too_busy_to_serve_anybody_ends_the_sync_soon(shelf, tmp_path):
    """Its transfers end one after the other: as many as fit in flight take too long to fail."""
    shelf.put({f"{n}": b"x" for n in range(1000)})
    shelf.before = refusing("", error=rv.TransferError("slow down", busy=True))
    with pytest.raises(rv.TransferError, match=r"4 file\(s\).* were not tried"):
        shelf.sync_from_dir("shelf://a", tmp_path / "down")


def test_single_broken_transfers_do_not_end_a_sync_of_one_file_at_a_time(shelf, tmp_path):
    class OneByOne(type(shelf)):
        transfers_at_once = 1

    shelf = OneByOne(shelf.folder)
    shelf.put({f"{n:02}": b"x" for n in range(20)})
    shelf.before = refusing("1", "2", "5", error=rv.TransferError("connection reset"))
    with pytest.raises(rv.TransferError, match=r"6 file\(s\)"):
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert len(tree(tmp_path / "down")) == 14


def test_a_bug_of_a_plugin_is_raised_as_it_is_and_what_is_done_is_kept(shelf, here):
    shelf.before = refusing("file 99.tif", error=ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        shelf.sync_to_dir(here, "shelf://a")
    done = len(shelf.tree())
    assert done > 10
    shelf.before = lambda request, uri: None
    shelf.forget()
    shelf.sync_to_dir(here, "shelf://a")
    assert shelf.requests["put"] <= len(FILES) - done + 1
    assert shelf.tree() == FILES


def test_a_file_that_goes_away_meanwhile_is_no_error(shelf, here):
    def before(request: str, uri: str) -> None:
        if request == "listed":
            (here / "3/file 3.tif").unlink(missing_ok=True)

    shelf.before = before
    shelf.sync_to_dir(here, "shelf://a")
    assert shelf.tree() == {n: d for n, d in FILES.items() if n != "3/file 3.tif"}


def test_a_folder_that_goes_away_meanwhile_is_an_error(shelf, here):
    def before(request: str, uri: str) -> None:
        if request == "listed":
            here.rename(here.with_name("elsewhere"))
            shelf.before = lambda request, uri: None

    shelf.before = before
    with pytest.raises(rv.NotFoundError, match=r"100 file\(s\)|were not tried"):
        shelf.sync_to_dir(here, "shelf://a")


def test_a_folder_that_cannot_be_looked_at_is_an_error_of_storage(shelf, tmp_path):
    shelf.put({"x": b"1"})
    long = tmp_path / ("x" * 300)
    with pytest.raises(rv.StorageError, match="too long"):
        shelf.sync_from_dir("shelf://a", long)
    with pytest.raises(rv.StorageError, match="too long"):
        shelf.sync_to_dir(long, "shelf://a")


def test_a_target_that_is_not_there_is_not_taken_for_a_file_that_went_away(shelf, here):
    shelf.before = refusing("", error=rv.NotFoundError("there is no such bucket"))
    with pytest.raises(rv.NotFoundError, match="no such bucket"):
        shelf.sync_to_dir(here, "shelf://a")


def test_a_full_disk_ends_the_sync(shelf, tmp_path):
    shelf.put({f"{n}": b"x" for n in range(1000)})
    full = rv.StorageError("the disk is full")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    shelf.before = refusing("", error=full)
    with pytest.raises(rv.StorageError, match="were not tried"):
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.requests["get"] <= 3 * shelf.transfers_at_once


def test_a_file_where_a_folder_should_be_is_named(shelf, tmp_path):
    shelf.put({"a/b": b"1", "c": b"2"})
    write(tmp_path / "down", {"a": b"mine"})
    with pytest.raises(rv.StorageError, match="'a/b'"):
        shelf.sync_from_dir("shelf://a", tmp_path / "down", delete=True)
    assert tree(tmp_path / "down") == {"a": b"mine", "c": b"2"}


def test_a_name_that_is_a_file_and_a_folder_is_refused_as_a_file(shelf, tmp_path):
    shelf.put({"a": b"file", "a/b": b"1", "c": b"2"})
    with pytest.raises(rv.StorageError, match=r"'a' \(clashes with 'a/b'"):
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == {"a/b": b"1", "c": b"2"}


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_a_name_that_is_no_text_is_refused_on_its_way_up(shelf, here):
    (here / os.fsdecode(b"\xff.tif")).write_bytes(b"x")
    with pytest.raises(rv.StorageError, match="is not valid text"):
        shelf.sync_to_dir(here, "shelf://a")
    assert shelf.tree() == FILES


def test_emptied_folders_go_with_their_files(shelf, tmp_path):
    down = write(tmp_path / "down", {"x/y/z": b"old", "kept/old": b"old", "kept/mine": b"m"})
    (down / "empty").mkdir()
    shelf.put({"kept/mine": b"m"})
    shelf.sync_from_dir("shelf://a", down, delete=True)
    assert sorted(p.relative_to(down).as_posix() for p in down.rglob("*")) == [
        "empty",
        "kept",
        "kept/mine",
    ]
