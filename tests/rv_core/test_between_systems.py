"""Files copied, and folders synced, between any two systems."""

from __future__ import annotations

import threading
import time

import pytest
from shelf import FILES

import rv_core as rv


def test_two_systems_are_synced_with_each_other(two):
    left, right, files = two
    left.put(FILES)
    right.put({"old": b"old", "0/file 0.tif": b"content 0"})
    files.sync("left://a", "right://a", delete=True)
    assert right.tree() == FILES
    for shelf in (left, right):
        shelf.forget()
    files.sync("left://a/", "right://a", delete=True)
    assert left.requests == right.requests == {"list": 1, "listed": 1}
    left.put({"0/file 0.tif": b"CONTENT 0"})
    files.sync("left://a", "right://a")
    assert right.tree() == left.tree()
    assert right.requests["put"] == 1


def test_names_that_only_leave_a_folder_are_refused_between_systems(two):
    left, right, files = two
    left.put({"good": b"1", "../x": b"2", "a//b": b"3", "c\\d": b"4"})
    with pytest.raises(rv.StorageError, match=r"'\.\./x'"):
        files.sync("left://a", "right://a")
    assert right.tree() == {"good": b"1", "a//b": b"3", "c\\d": b"4"}


@pytest.mark.parametrize(
    ("source", "target"), [("left://a", "left://a"), ("left://a/", "left://a/b/c")]
)
def test_a_folder_is_not_synced_into_itself(two, source, target):
    left, _, files = two
    left.put(FILES)
    with pytest.raises(rv.StorageError, match="cannot sync"):
        files.sync(source, target)
    assert left.tree() == FILES


def test_a_folder_is_not_deleted_by_syncing_it_into_the_one_it_is_in(two):
    left, _, files = two
    left.put({"in/x": b"x", "y": b"y"})
    with pytest.raises(rv.StorageError, match="one folder is in the other"):
        files.sync("left://a/in", "left://a", delete=True)
    files.sync("left://a/in", "left://a")
    assert left.tree() == {"in/x": b"x", "x": b"x", "y": b"y"}


def test_a_file_is_copied_between_systems_and_what_was_there_stays_till_it_is_whole(two):
    left, right, files = two
    left.put({"x": b"new" * 1_000_000})
    right.put({"x": b"old"})
    seen = []

    def on_progress(progress: rv.Progress) -> None:
        seen.append(progress)
        assert right.tree() == {"x": b"old"}

    files.copy("left://a/x", "right://a/x", on_progress)
    assert right.tree() == {"x": b"new" * 1_000_000}
    assert seen[-1].done == seen[-1].total == 3_000_000


@pytest.mark.parametrize("way", ["copy", "copy_from"])
def test_a_file_that_is_replaced_while_it_is_copied_is_copied_anew(two, tmp_path, way):
    left, right, files = two
    left.put({"x": b"old"})

    def before(request: str, uri: str) -> None:
        if request == "get":
            left.before = lambda request, uri: None
            left.put({"x": b"newer, and longer"})

    left.before = before
    if way == "copy":
        files.copy("left://a/x", "right://a/x")
        assert right.tree() == {"x": b"newer, and longer"}
    else:
        found = left.copy_from("shelf://a/x", tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == b"newer, and longer"
        assert found == left.info("shelf://a/x")


def test_a_file_that_keeps_changing_is_an_error_and_leaves_what_was_there(two):
    left, right, files = two
    left.put({"x": b"old"})
    right.put({"x": b"mine"})
    sizes = iter(range(10, 99))

    def before(request: str, uri: str) -> None:
        if request == "get":
            left.put({"x": bytes(next(sizes))})

    left.before = before
    with pytest.raises(rv.IntegrityError):
        files.copy("left://a/x", "right://a/x")
    assert right.tree() == {"x": b"mine"}
    assert left.requests["get"] == 3


def test_two_places_of_one_account_are_not_one_folder(two):
    left, _, files = two
    left.put({"x": b"1"}, root="shelf://one@account/a")
    files.sync("left://one@account/a", "left://two@account/a")
    assert left.tree("shelf://two@account/a") == {"x": b"1"}


def test_few_files_that_a_writer_may_hold_in_memory_are_under_way_at_once(two, monkeypatch):
    left, right, files = two
    monkeypatch.setattr("rv_core._sync.LARGE_STREAM_BYTES", 1000)
    left.put({f"large {n}": b"x" * 1001 for n in range(20)})
    left.put({f"small {n}": b"x" * 1000 for n in range(20)})
    under_way: list[str] = []
    together = threading.Barrier(5)
    most = {"large": 0, "small": 0}

    def opened(request: str, uri: str) -> None:
        if request != "put":
            return
        kind = "large" if "large" in uri else "small"
        under_way.append(kind)
        most[kind] = max(most[kind], under_way.count(kind))
        if kind == "small":
            together.wait(60)
        else:
            time.sleep(0.02)
        under_way.remove(kind)

    right.before = opened
    files.sync("left://a", "right://a")
    assert right.tree() == left.tree()
    assert most["large"] <= 4 < most["small"]
