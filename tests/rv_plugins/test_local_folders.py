"""Listing, syncing, copying and deleting keep within the folder they were given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rv_core.local_files import uri_of
from rv_plugins.local import LocalFileSystem

from rv_core import FileSystem, Kernel, NotFoundError, Progress, StorageError, hookimpl


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files, beside another that must not be touched."""
    for name in ("in/b.tif", "in/a/z.TXT", "in/a/y.tif", "in/a.tif", "in/a-b/c d.tif", "out/x.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "in/empty").mkdir()
    return tmp_path


def test_listing_is_recursive_sorted_and_spelled_as_asked(
    local: LocalFileSystem, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a-b/c d.tif", "a.tif", "a/y.tif", "a/z.TXT", "b.tif"]
    assert list(local.list_paths(f"{tree}/in")) == [f"{tree}/in/{name}" for name in names]
    assert list(local.list_paths(f"{tree}/in/", ext=".TXT")) == [f"{tree}/in/a/z.TXT"]
    uris = list(local.list_paths(f"file://{tree}/in"))
    assert uris[0] == f"file://{tree}/in/a-b/c%20d.tif"
    assert [local.read_str(uri) for uri in uris] == [f"in/{name}" for name in names]
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    assert list(local.list_paths(".", "b.tif")) == ["./in/b.tif"]
    assert list(local.list_paths("~/out")) == ["~/out/x.tif"]


def test_listing_a_file_lists_it_and_listing_nothing_lists_nothing(
    local: LocalFileSystem, tree: Path
) -> None:
    assert list(local.list_paths(f"{tree}/in/b.tif")) == [f"{tree}/in/b.tif"]
    assert list(local.list_paths(f"{tree}/in/b.tif", ext=".txt")) == []
    for nothing in ("no", "in/b.tif/no", "in/empty"):
        assert list(local.list_paths(f"{tree}/{nothing}")) == []
        assert not local.file_exists(f"{tree}/{nothing}")
    assert local.file_exists(f"{tree}/in")
    assert not local.file_exists(f"{tree}/in", include_dir=False)


def test_listing_does_not_follow_links_out(
    local: LocalFileSystem, tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree / "in/to_file").symlink_to(tree / "out/x.tif")
    (tree / "in/to_folder").symlink_to(tree / "out")
    (tree / "in/loop").symlink_to(tree / "in")
    (tree / "in/dangling").symlink_to(tree / "nowhere")
    (tree / "in/within").symlink_to(tree / "in/b.tif")
    found = [uri.removeprefix(f"{tree}/in/") for uri in local.list_paths(f"{tree}/in")]
    assert found == ["a-b/c d.tif", "a.tif", "a/y.tif", "a/z.TXT", "b.tif", "within"]
    assert "left out 4 symbolic link(s)" in caplog.text


def test_listing_tells_names_and_what_is_known(local: LocalFileSystem, tree: Path) -> None:
    for uri in (f"{tree}/in", uri_of(f"{tree}/in")):
        found = list(local.list_files(uri))
        assert [file.name for file in found] == [
            "a-b/c d.tif",
            "a.tif",
            "a/y.tif",
            "a/z.TXT",
            "b.tif",
        ]
        for file in found:
            assert file.info == local.info(file.uri)
            assert local.uri_below(uri, file.name) == file.uri
            assert local.name_below(uri, file.uri) == file.name
        assert [file.uri for file in found] == list(local.list_paths(uri))
        assert [f.name for f in local.list_files(uri, ".TXT")] == ["a/z.TXT"]
        (own,) = local.list_files(found[0].uri)
        assert (own.uri, own.name, own.info) == (found[0].uri, "c d.tif", found[0].info)
        assert list(local.list_files(f"{uri}/no")) == []


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX systems")
def test_pipes_and_unfinished_files_are_not_listed(local: LocalFileSystem, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with local.open(f"{tmp_path}/a", "wb") as stream:
        stream.write(b"x")
        assert len(names_in(tmp_path)) == 2
        assert list(local.list_paths(str(tmp_path))) == []
        assert list(local.list_files(str(tmp_path))) == []
        local.sync_from_dir(str(tmp_path), tmp_path.parent / "copy")
        assert not (tmp_path.parent / "copy").exists()


def test_a_folder_may_itself_be_reached_through_a_link(local: LocalFileSystem, tree: Path) -> None:
    (tree / "link").symlink_to(tree / "out")
    assert list(local.list_paths(f"{tree}/link")) == [f"{tree}/link/x.tif"]


@settings(max_examples=30)
@given(st.sets(st.text("abc-. ~%#?/é", min_size=1, max_size=8), max_size=6))
def test_a_listing_is_in_the_order_of_whole_names(names: set[str]) -> None:
    local = LocalFileSystem()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            parts = [part for part in name.split("/") if part.strip(".")]
            path = Path(folder, *parts)
            if not path.is_dir() and not any(parent.is_file() for parent in path.parents):
                local.write_bytes("/".join([folder, *parts]), b"")
        found = list(local.list_paths(folder))
        assert found == sorted(found, key=os.fsencode)
        assert len(found) == sum(path.is_file() for path in Path(folder).rglob("*"))


@pytest.mark.skipif(os.name == "nt", reason="paths end sooner there")
def test_folders_may_lie_deeper_than_python_calls_itself(
    local: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    depth = min(1200, (4000 - len(str(tmp_path))) // 2)
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("x").write_text("deep")
    os.chdir(tmp_path)
    try:
        (found,) = local.list_paths(str(tmp_path))
        assert local.read_str(found) == "deep"
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_info_tells_size_time_and_change(local: LocalFileSystem, tree: Path) -> None:
    uri = f"{tree}/in/b.tif"
    before = local.info(uri)
    assert before.size == 8
    assert before.last_modified is not None
    assert abs((datetime.now(UTC) - before.last_modified).total_seconds()) < 60
    assert local.info(uri) == before
    local.write_str(uri, "IN/B.TIF")
    assert local.info(uri).etag != before.etag
    assert local.last_modified(uri) == local.info(uri).last_modified


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="a disk that takes any time is needed")
def test_a_time_beyond_the_calendar_is_not_known(local: LocalFileSystem) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "a")
        path.write_text("x")
        os.utime(path, (1e12, 1e12))
        if path.stat().st_mtime != 1e12:
            pytest.skip("this disk does not keep such times")
        (found,) = local.list_files(folder)
        assert found.info == local.info(str(path))
        assert (found.info.size, found.info.last_modified) == (1, None)


def test_the_local_path_is_the_file_itself(local: LocalFileSystem, tree: Path) -> None:
    assert local.local_path(f"file://{tree}/in/a-b/c%20d.tif") == tree / "in/a-b/c d.tif"
    with pytest.raises(NotFoundError):
        local.local_path(f"{tree}/no")


def test_deleting_a_file_a_folder_and_a_link(local: LocalFileSystem, tree: Path) -> None:
    (tree / "link").symlink_to(tree / "out")
    (tree / "in/a/back").symlink_to(tree / "out")
    local.delete(f"{tree}/link/")
    assert not (tree / "link").is_symlink()
    local.delete(uri_of(f"{tree}/in/a"))
    local.delete(f"{tree}/in/b.tif")
    assert names_in(tree / "in") == ["a-b", "a.tif", "empty"]
    assert (tree / "out/x.tif").read_text() == "out/x.tif"
    for gone in ("in/a", "in/b.tif", "link"):
        with pytest.raises(NotFoundError):
            local.delete(f"{tree}/{gone}")


def test_deleting_what_holds_the_user_s_work_is_refused(
    local: LocalFileSystem, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tree / "people/me"
    home.mkdir(parents=True)
    (tree / "to_home").symlink_to(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tree / "in/a")
    refused = ["/", "//", "", ".", "..", "./", "../..", "~", "~/", str(home), f"{home}/../me/."]
    refused += [
        f"{tree}/people",
        f"{tree}/in",
        f"file://{tree}/in",
        "file:///",
        f"{tree}/to_home/.",
    ]
    for uri in refused:
        with pytest.raises(StorageError):
            local.delete(uri)
    assert (tree / "in/a/y.tif").exists()
    assert home.is_dir()
    local.delete(f"{tree}/to_home")
    assert home.is_dir()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege")
def test_places_that_no_file_can_be_copied_to_are_errors_of_storage(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    class Far(LocalFileSystem):
        is_local = False

    class Both:
        @staticmethod
        @hookimpl
        def rv_filesystem(uri: str, mode: str, kernel: Kernel) -> FileSystem:
            return Far() if uri.endswith("/x") else local

    files = Kernel(plugins=[Both]).files
    (tmp_path / "x").write_text("x")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for place in (f"{tmp_path}/one", f"{tmp_path}/{'n' * 300}", f"{tmp_path}/folder/"):
        with pytest.raises(StorageError, match="cannot write"):
            files.copy(f"{tmp_path}/x", place)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two", "x"]


@pytest.mark.skipif(os.name == "nt", reason="no folder in use can be removed there")
def test_a_working_folder_that_is_gone_is_in_nobody_s_way(
    local: LocalFileSystem, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tree / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotFoundError, match="cannot read x"):
        local.info("x")
    local.delete(f"{tree}/in/a")
    assert not (tree / "in/a").exists()


def test_copying_reports_progress_and_reaches_the_end(
    local: LocalFileSystem, tmp_path: Path
) -> None:
    data = os.urandom(20_000_001)
    (tmp_path / "a").write_bytes(data)
    seen: list[Progress] = []
    local.copy_to(tmp_path / "a", f"{tmp_path}/far/b", seen.append)
    local.copy_from(f"{tmp_path}/far/b", tmp_path / "new" / "c", seen.append)
    assert (tmp_path / "new/c").read_bytes() == data
    assert [p.done for p in seen if p.done == p.total] == [len(data)] * 2
    assert len(seen) >= 4


def test_copying_onto_itself_loses_nothing(local: LocalFileSystem, tree: Path) -> None:
    local.copy_to(tree / "in/b.tif", f"{tree}/in/b.tif")
    assert (tree / "in/b.tif").read_text() == "in/b.tif"


def test_copying_what_is_not_there_leaves_the_target(local: LocalFileSystem, tree: Path) -> None:
    with pytest.raises(NotFoundError):
        local.copy_from(f"{tree}/no", tree / "in/b.tif")
    with pytest.raises(NotFoundError):
        local.copy_to(f"{tree}/no", f"{tree}/in/b.tif")
    assert (tree / "in/b.tif").read_text() == "in/b.tif"


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc")
def test_a_file_without_a_size_is_copied_whole(local: LocalFileSystem, tmp_path: Path) -> None:
    local.copy_from("/proc/version", tmp_path / "version")
    assert (tmp_path / "version").read_bytes() == Path("/proc/version").read_bytes() != b""


@pytest.mark.parametrize("spelled", ["{}/in", "file://{}/in"])
def test_syncing_a_folder_there_and_back(local: LocalFileSystem, tree: Path, spelled: str) -> None:
    local.write_str(f"{tree}/in/100%25 é#.tif", "odd")
    local.sync_from_dir(spelled.format(tree), tree / "copy")
    local.sync_to_dir(tree / "copy", spelled.format(f"{tree}/back"))
    wanted = {
        p.relative_to(tree / "in"): p.read_text() for p in tree.glob("in/**/*") if p.is_file()
    }
    back = tree / "back/in"
    assert {p.relative_to(back): p.read_text() for p in back.rglob("*") if p.is_file()} == wanted
    assert len(wanted) == 6


def test_what_is_unchanged_is_left_alone(local: LocalFileSystem, tree: Path) -> None:
    for _ in range(2):
        local.sync_to_dir(tree / "in", f"{tree}/copy")
        local.sync_from_dir(f"{tree}/in", tree / "copy2")
    inodes = [(tree / copy / "a/y.tif").stat().st_ino for copy in ("copy", "copy2")]
    local.sync_to_dir(tree / "in", f"{tree}/copy")
    local.sync_from_dir(f"{tree}/in", tree / "copy2")
    assert [(tree / copy / "a/y.tif").stat().st_ino for copy in ("copy", "copy2")] == inodes


def test_syncing_writes_through_no_link(local: LocalFileSystem, tree: Path) -> None:
    """Links in the target that lead elsewhere do not carry the sync there."""
    (tree / "to").mkdir()
    (tree / "to/b.tif").symlink_to(tree / "out/x.tif")
    (tree / "from").mkdir()
    (tree / "from/b.tif").symlink_to(tree / "out/x.tif")
    local.sync_to_dir(tree / "in", f"{tree}/to")
    local.sync_from_dir(f"{tree}/in", tree / "from")
    assert (tree / "out/x.tif").read_text() == "out/x.tif"
    assert (tree / "to/b.tif").read_text() == (tree / "from/b.tif").read_text() == "in/b.tif"

    (tree / "to2").mkdir()
    (tree / "to2/a").symlink_to(tree / "out")
    (tree / "from2").mkdir()
    (tree / "from2/a").symlink_to(tree / "out")
    with pytest.raises(StorageError):
        local.sync_to_dir(tree / "in", f"{tree}/to2")
    with pytest.raises(StorageError):
        local.sync_from_dir(f"{tree}/in", tree / "from2")
    assert names_in(tree / "out") == ["x.tif"]


def test_syncing_takes_nothing_through_a_link(local: LocalFileSystem, tree: Path) -> None:
    (tree / "in/a/stolen").symlink_to(tree / "out")
    (tree / "in/a/stolen.tif").symlink_to(tree / "out/x.tif")
    local.sync_to_dir(tree / "in", f"{tree}/copy")
    local.sync_from_dir(f"{tree}/in", tree / "copy2")
    for copy in ("copy", "copy2"):
        assert names_in(tree / copy / "a") == ["y.tif", "z.TXT"]


def test_syncing_two_folders_by_their_uris(tree: Path) -> None:
    files = Kernel().files
    for source, target in (
        (f"{tree}/in", f"{tree}/new/one"),
        (uri_of(f"{tree}/in"), uri_of(f"{tree}/new/t w#o")),
        (f"{tree}/in/", f"file://{tree}/new/three/"),
    ):
        files.sync(source, target, delete=True)
        files.sync(source, target, delete=True)
    wanted = names_in(tree / "in/a"), (tree / "in/a-b/c d.tif").read_text()
    for copy in ("one", "t w#o", "three"):
        there = tree / "new" / copy
        assert (names_in(there / "a"), (there / "a-b/c d.tif").read_text()) == wanted
        assert (there / "b.tif").stat().st_mtime == (tree / "in/b.tif").stat().st_mtime
    with pytest.raises(NotFoundError, match="is not a folder"):
        files.sync(f"{tree}/none", f"{tree}/in", delete=True, allow_empty=True)
    with pytest.raises(StorageError, match="one folder is in the other"):
        files.sync(f"{tree}/in", f"{tree}/in/a")
    (tree / "link").symlink_to(tree / "in/a")
    with pytest.raises(StorageError, match="one folder is in the other"):
        files.sync(f"{tree}/in", f"{tree}/link/below")


def test_a_change_within_a_second_and_of_the_same_size_is_synced(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for data in ("one", "two", "six"):
        (tmp_path / "in/a").write_text(data)
        Kernel().files.sync(f"{tmp_path}/in", f"{tmp_path}/out")
        assert (tmp_path / "out/a").read_text() == data


def test_a_folder_that_cannot_be_read_deletes_nothing(tree: Path) -> None:
    code = """
        import os, sys
        from rv_core import AccessDeniedError, Kernel
        files = Kernel(config={"rv": {"cache_dir": sys.argv[2]}}).files
        files.sync(f"{sys.argv[1]}/in", f"{sys.argv[1]}/all is imported")
        if os.geteuid() == 0:
            os.setegid(65534), os.seteuid(65534)
        try:
            files.sync(f"{sys.argv[1]}/in", f"{sys.argv[1]}/to", delete=True)
        except AccessDeniedError as error:
            print(error)
    """
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        shutil.copytree(tree / "in", f"{name}/in")
        shutil.copytree(tree / "in", f"{name}/to")
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o777)
        (Path(name) / "in/a").chmod(0o700)
        argv = [sys.executable, "-c", textwrap.dedent(code), name, f"{name}/cache"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        (Path(name) / "in/a").chmod(0o777)
        assert "permission denied" in done.stdout, done.stderr
        assert names_in(Path(name) / "to/a") == ["y.tif", "z.TXT"]


def test_syncing_with_delete_removes_what_is_not_there(local: LocalFileSystem, tree: Path) -> None:
    (tree / "to/a").mkdir(parents=True)
    (tree / "to/a/extra").write_text("x")
    (tree / "to/link").symlink_to(tree / "out/x.tif")
    local.sync_to_dir(tree / "in", f"{tree}/to", delete=True)
    assert not (tree / "to/a/extra").exists()
    assert (tree / "out/x.tif").exists()
    (tree / "nothing").mkdir()
    local.sync_to_dir(tree / "nothing", f"{tree}/to", delete=True)
    assert (tree / "to/b.tif").exists()
    local.sync_to_dir(tree / "nothing", f"{tree}/to", delete=True, allow_empty=True)
    assert not (tree / "to/b.tif").exists()
