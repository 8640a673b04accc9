"""One folder made equal to another: only what changed is moved, many files at once."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import pytest
from shelf import FILES, tree, write

import rv_core as rv
from rv_core import Progress


def records() -> list[Path]:
    return list((Path(os.environ["RV_CACHE_DIR"]) / "synced").glob("*"))


def test_syncing_again_costs_the_listing_and_nothing_else(shelf, here, tmp_path):
    shelf.sync_to_dir(here, "shelf://a")
    assert shelf.tree() == FILES
    shelf.forget()
    shelf.sync_to_dir(here, "shelf://a", delete=True)
    assert shelf.requests == {"list": 1, "listed": 1}
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == FILES
    shelf.forget()
    shelf.sync_from_dir("shelf://a", tmp_path / "down", delete=True)
    assert shelf.requests == {"list": 1, "listed": 1}


def test_only_what_changed_is_moved(shelf, here, tmp_path):
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    shelf.forget()
    (here / "new").write_bytes(b"new")
    (here / "0/file 0.tif").write_bytes(b"longer than before")
    shelf.sync_to_dir(here, "shelf://a")
    assert sorted(u for r, u in shelf.log if r == "put") == [
        "shelf://a/0/file 0.tif",
        "shelf://a/new",
    ]
    shelf.forget()
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.requests["get"] == 2
    assert tree(tmp_path / "down") == tree(here)


def test_a_change_within_a_second_and_of_the_same_size_is_seen(shelf, tmp_path):
    for data in (b"one", b"two", b"six"):
        shelf.put({"x": data})
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
        assert (tmp_path / "down/x").read_bytes() == data
    for data in (b"1st", b"2nd", b"3rd"):
        time.sleep(0.02)
        (tmp_path / "down/x").write_bytes(data)
        shelf.sync_to_dir(tmp_path / "down", "shelf://b")
        assert shelf.tree("shelf://b") == {"x": data}


@pytest.mark.parametrize("damage", ["missing", "garbage", "another format", "a folder"])
def test_without_a_record_sizes_and_times_decide(shelf, here, tmp_path, damage):
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert len(records()) == 2
    for record in records():
        record.unlink()
        if damage == "garbage":
            record.write_bytes(b'{"format": 1, "files": [')
        elif damage == "another format":
            record.write_bytes(b'{"format": 99, "files": 5}')
        elif damage == "a folder":
            record.mkdir()
    shelf.forget()
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.requests["get"] + shelf.requests["put"] == 0
    (here / "0/file 0.tif").write_bytes(b"other")  # shorter, and younger
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == tree(here) == shelf.tree()


def test_what_sizes_and_times_found_equal_is_recorded_too(shelf, here, tmp_path):
    shelf.put({"x": b"old"})
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    for record in records():
        record.unlink()
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    then = shelf.path("shelf://a/x").stat().st_mtime
    shelf.put({"x": b"new"})
    os.utime(shelf.path("shelf://a/x"), (then, then))
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == {"x": b"new"}


def test_a_record_that_cannot_be_written_is_no_obstacle(shelf, here, tmp_path, monkeypatch):
    (tmp_path / "no folder").write_text("x")
    monkeypatch.setenv("RV_CACHE_DIR", str(tmp_path / "no folder"))
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_to_dir(here, "shelf://a")
    assert shelf.requests["put"] == len(FILES)


def test_storage_without_etags_is_synced_by_size_and_time(make_shelf, here, tmp_path):
    shelf = make_shelf(etags=False)
    for _ in range(2):
        shelf.sync_to_dir(here, "shelf://a")
        shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == FILES
    assert (shelf.requests["get"], shelf.requests["put"]) == (len(FILES), len(FILES))


def test_a_listing_that_knows_less_than_a_download_is_enough(shelf, tmp_path):
    """As web servers list: sizes and times, and no etags."""
    listed = type(shelf).list_files

    class Plain(type(shelf)):
        def list_files(self, uri, ext=""):
            for file in listed(self, uri, ext):
                info = rv.FileInfo(file.info.size, file.info.last_modified)
                yield rv.ListedFile(file.uri, file.name, info)

    plain = Plain(shelf.folder)
    plain.put({"x": b"1", "y": b"2"})
    for name in "xy":
        os.utime(plain.path(f"shelf://a/{name}"), (1_000_000_000, 1_000_000_000))
    for _ in range(3):
        plain.sync_from_dir("shelf://a", tmp_path / "down")
    assert plain.requests["get"] == 2
    plain.put({"x": b"3"})
    plain.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == {"x": b"3", "y": b"2"}
    assert plain.requests["get"] == 3


def test_storage_that_tells_the_etag_of_an_upload_is_not_listed_again(shelf, here):
    class Telling(type(shelf)):
        def copy_to(self, path, uri, on_progress=rv.ignore_progress):
            super().copy_to(path, uri, on_progress)
            return self.info_of(self.path(uri))

    telling = Telling(shelf.folder)
    telling.sync_to_dir(here, "shelf://a")
    assert telling.requests == {"list": 1, "listed": 1, "put": len(FILES)}
    telling.put({"0/file 0.tif": b"CONTENT 0"})
    telling.sync_to_dir(here, "shelf://a")
    assert telling.tree() == FILES


def test_what_others_changed_in_the_target_is_made_good(shelf, here, tmp_path):
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    shelf.put({"0/file 0.tif": b"CONTENT 0"})  # as large, and younger
    (tmp_path / "down/0/file 7.tif").write_bytes(b"CONTENT 7")
    shelf.sync_to_dir(here, "shelf://a")
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.tree() == tree(tmp_path / "down") == FILES


def test_a_download_has_the_time_of_its_source(shelf, tmp_path):
    shelf.put({"x": b"x"})
    os.utime(shelf.path("shelf://a/x"), (1_000_000_000, 1_000_000_000))
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert (tmp_path / "down/x").stat().st_mtime == 1_000_000_000


def test_the_files_that_stand_for_folders_are_not_moved_and_not_deleted(shelf, here, tmp_path):
    shelf.put({"": b"", "sub/": b"", "sub/x": b"x"})
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert tree(tmp_path / "down") == {"sub/x": b"x"}
    shelf.sync_to_dir(here, "shelf://a", delete=True)
    assert shelf.tree() == {"": b"", "sub/": b"", **FILES}


def test_small_files_are_many_at_once_and_large_ones_few(make_shelf, tmp_path):
    shelf = make_shelf(etags=False)
    barrier = threading.Barrier(40, timeout=60)

    def before(request: str, uri: str) -> None:
        if request == "get" and "small" in uri:
            barrier.wait()

    shelf.put({f"small {n}": b"x" for n in range(40)})
    shelf.before = before
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert shelf.most >= 40

    shelf.most = 0
    for n in range(6):
        with shelf.path(f"shelf://b/large {n}").open("wb") as stream:
            stream.truncate((32 << 20) + 1)
    pairs = threading.Barrier(2, timeout=60)
    shelf.before = lambda request, uri: pairs.wait() if request == "get" else None
    shelf.sync_from_dir("shelf://b", tmp_path / "large")
    assert 2 <= shelf.most <= 4


def test_progress_comes_from_one_thread_and_tells_files_and_bytes(shelf, here, tmp_path):
    seen: list[tuple[int, Progress]] = []
    enough = threading.Event()

    def on_progress(progress: Progress) -> None:
        seen.append((threading.get_ident(), progress))
        if len(seen) > 3:
            enough.set()

    shelf.sync_to_dir(here, "shelf://a", on_progress=on_progress)
    enough.clear()
    (here / "new").write_bytes(bytes(3 << 20))
    write(here, {"other": bytes(1000)})
    first, seen = seen, []
    shelf.before = lambda request, uri: enough.wait(60) if request == "put" else None
    shelf.sync_to_dir(here, "shelf://a", on_progress=on_progress)
    assert {thread for thread, _ in first + seen} == {threading.get_ident()}
    size = sum(map(len, FILES.values()))
    last = first[-1][1]
    assert (last.done, last.total, last.unit) == (100, 100, "file")
    assert last.values == {"bytes": size, "total_bytes": size}
    told = [progress for _, progress in seen]
    assert told[0].done == 100
    assert told[-1].done == told[-1].total == 102
    assert told[-1].values == {"bytes": (3 << 20) + 1000, "total_bytes": (3 << 20) + 1000}
    assert enough.is_set(), "nothing was told while a file took its time"
    assert [p.done for p in told] == sorted(p.done for p in told)


def test_what_the_callback_raises_ends_the_sync(shelf, here):
    class Enough(Exception):
        pass

    def on_progress(progress: Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        shelf.sync_to_dir(here, "shelf://a", on_progress=on_progress)
    shelf.forget()
    shelf.sync_to_dir(here, "shelf://a")
    assert shelf.tree() == FILES


def test_storage_hears_how_large_the_files_were_that_it_listed(shelf, here, tmp_path, monkeypatch):
    shelf.sync_to_dir(here, "shelf://a")
    heard: dict[str, int | None] = {}
    copy_listed = type(shelf).copy_listed

    def listen(self, uri, path, listed, *rest):
        heard[uri] = listed.size
        return copy_listed(self, uri, path, listed, *rest)

    monkeypatch.setattr(type(shelf), "copy_listed", listen)
    shelf.sync_from_dir("shelf://a", tmp_path / "down")
    assert heard == {f"shelf://a/{name}": len(data) for name, data in FILES.items()}
    assert tree(tmp_path / "down") == FILES


def test_transfers_that_are_given_up_publish_nothing_later(shelf, tmp_path):
    class Enough(Exception):
        pass

    class Slow(io.BytesIO):
        def read(self, size=-1):
            time.sleep(0.3)
            return super().read(size)

    class SlowShelf(type(shelf)):
        def open(self, uri, mode="rb"):
            return Slow(self.path(uri).read_bytes()) if mode == "rb" else super().open(uri, mode)

    def on_progress(progress: Progress) -> None:
        raise Enough

    slow = SlowShelf(shelf.folder)
    slow.put({"x": bytes(5 << 20)})
    with pytest.raises(Enough):
        slow.sync_from_dir("shelf://a", tmp_path / "down", on_progress=on_progress)
    for thread in threading.enumerate():
        if thread.name == "rv transfer":
            thread.join(60)
    assert list((tmp_path / "down").iterdir()) == []
