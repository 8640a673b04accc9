"""What the base class makes of the four primitives, on a storage plugin that has no more."""

from __future__ import annotations

import pickle

import pytest

import rv_core as rv
from rv_core import Kernel


@pytest.fixture
def kernel(memory_plugin):
    return Kernel(path=[memory_plugin("acme-mem", "mem")])


def test_text_and_bytes_round_trip(kernel):
    kernel.files.write_str("mem://a/ü b.txt", "größe")
    assert kernel.files.read_bytes("mem://a/ü b.txt") == "größe".encode()
    assert kernel.files.read_str("mem://a/ü b.txt") == "größe"


def test_existence_of_files_and_folders(kernel):
    kernel.files.write_str("mem://a/b/c.txt", "")
    exists = kernel.files.file_exists
    assert exists("mem://a/b/c.txt")
    assert exists("mem://a/b")
    assert not exists("mem://a/b", include_dir=False)
    assert not exists("mem://a/b/c")


def test_a_download_that_dies_leaves_the_old_file(kernel, tmp_path):
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(rv.NotFoundError):
        kernel.filesystem("mem://none").copy_from("mem://none", target)

    def stop(progress):
        raise KeyboardInterrupt

    kernel.files.write_str("mem://new", "new")
    with pytest.raises(KeyboardInterrupt):
        kernel.filesystem("mem://new").copy_from("mem://new", target, stop)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if p.name != "site"] == ["x"]


def test_copying_reports_its_progress(kernel, tmp_path):
    kernel.files.write_bytes("mem://big", bytes(3 << 20))
    seen = []
    kernel.files.copy("mem://big", "mem://copy", seen.append)
    assert [p.done for p in seen] == [1 << 20, 2 << 20, 3 << 20]
    assert {(p.total, p.unit) for p in seen} == {(3 << 20, "B")}


def test_sync_down_makes_the_folder_equal_and_keeps_what_is_unchanged(kernel, tmp_path):
    for name in ("bus/1", "bus/deep/2", "bush/3"):
        kernel.files.write_str(f"mem://{name}", name)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "extra").write_text("x")
    kernel.files.sync_from_dir("mem://bus", tmp_path / "here", delete=True)
    found = {
        str(p.relative_to(tmp_path / "here")) for p in (tmp_path / "here").rglob("*") if p.is_file()
    }
    assert found == {"1", "deep/2"}


DATED = """
from datetime import datetime, timezone

class Dated(MemoryFileSystem):
    def __init__(self):
        super().__init__()
        self.written, self.opened = {}, []
    def open(self, uri, mode="rb"):
        self.opened.append((mode, uri))
        if mode == "wb":
            self.written[uri] = datetime.now(timezone.utc)
        return super().open(uri, mode)
    def info(self, uri):
        return FileInfo(super().info(uri).size, self.written[uri])

STORAGE = Dated()
"""


@pytest.fixture
def dated(make_distribution, memory_storage):
    """A kernel whose ``mem://`` knows when files changed and which of them were opened."""
    entry = {"rv.filesystems.v1": {"mem": "acme_dated"}}
    source = memory_storage("mem") + DATED
    return Kernel(path=[make_distribution("acme-dated", entry, {"acme_dated.py": source})])


def test_what_is_unchanged_is_not_transferred_again(dated, tmp_path):
    opened = dated.filesystem("mem://x").opened
    (tmp_path / "up").mkdir()
    for name in ("a", "b"):
        (tmp_path / "up" / name).write_text(name)
    dated.files.sync_to_dir(tmp_path / "up", "mem://d")
    dated.files.sync_from_dir("mem://d", tmp_path / "down")
    assert len(opened) == 4
    dated.files.sync_to_dir(tmp_path / "up", "mem://d")
    dated.files.sync_from_dir("mem://d", tmp_path / "down")
    assert len(opened) == 4
    (tmp_path / "up" / "b").write_text("longer")
    dated.files.sync_to_dir(tmp_path / "up", "mem://d")
    dated.files.sync_from_dir("mem://d", tmp_path / "down")
    assert opened[4:] == [("wb", "mem://d/b"), ("rb", "mem://d/b")]
    assert (tmp_path / "down" / "b").read_text() == "longer"


def test_sync_down_from_nothing_deletes_nothing(kernel, tmp_path):
    (tmp_path / "extra").write_text("x")
    kernel.files.sync_from_dir("mem://nowhere", tmp_path, delete=True)
    assert (tmp_path / "extra").exists()


@pytest.mark.parametrize("key", ["../evil", "a/../../evil", "a\\..\\evil", "a//b", "./a", "nul\0"])
def test_keys_that_would_leave_the_folder_are_refused_and_the_rest_goes_on(kernel, tmp_path, key):
    kernel.files.write_str("mem://d/good", "good")
    kernel.files.write_str(f"mem://d/{key}", "evil")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("mine")
    with pytest.raises(rv.StorageError, match="that cannot be taken to"):
        kernel.files.sync_from_dir("mem://d", tmp_path / "here", delete=True)
    assert sorted(p.name for p in (tmp_path / "here").rglob("*")) == ["good", "mine"]
    assert not (tmp_path / "evil").exists()


def test_sync_down_writes_through_no_symbolic_link(kernel, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(outside)
    kernel.files.write_str("mem://d/link/x", "evil")
    with pytest.raises(rv.StorageError, match="link/x"):
        kernel.files.sync_from_dir("mem://d", tmp_path / "here")
    assert list(outside.iterdir()) == []


def test_sync_up_uploads_deletes_and_protects_from_an_empty_source(kernel, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a").write_text("a")
    (source / "link").symlink_to(tmp_path)
    kernel.files.write_str("mem://d/old", "old")
    kernel.files.sync_to_dir(source, "mem://d", delete=True)
    assert list(kernel.files.list_paths("mem://d")) == ["mem://d/deep/a"]
    (source / "deep" / "a").unlink()
    kernel.files.sync_to_dir(source, "mem://d", delete=True)
    assert list(kernel.files.list_paths("mem://d")) == ["mem://d/deep/a"]
    kernel.files.sync_to_dir(source, "mem://d", delete=True, allow_empty=True)
    assert list(kernel.files.list_paths("mem://d")) == []


READ_ONLY = """
from rv_core import FileInfo, FileSystem, hookimpl
class Fs(FileSystem):
    writable = False
    def open(self, uri, mode="rb"): raise AssertionError("I/O")
    def info(self, uri): raise AssertionError("I/O")
    def list_paths(self, uri, ext=""): raise AssertionError("I/O")
    def delete(self, uri): raise AssertionError("I/O")
FS = Fs()
@hookimpl
def rv_filesystem(uri, mode, kernel):
    return FS
"""


def test_a_read_only_system_refuses_before_any_io(make_distribution, tmp_path):
    entry = {"rv.filesystems.v1": {"ro": "acme_ro"}}
    kernel = Kernel(path=[make_distribution("acme-ro", entry, {"acme_ro.py": READ_ONLY})])
    uses = [
        lambda: kernel.files.write_str("ro://u:secret@x?token=abc", "x"),
        lambda: kernel.files.delete("ro://u:secret@x?token=abc"),
        lambda: kernel.files.sync_to_dir(tmp_path, "ro://u:secret@x?token=abc"),
    ]
    for use in uses:
        with pytest.raises(rv.NotWritableError, match="ro://x cannot be written") as caught:
            use()
        assert "secret" not in str(caught.value)
        assert "abc" not in str(caught.value)


@pytest.mark.parametrize("name", ["ü" * 120, "a" * 255, ".hidden", "-"])
def test_a_download_takes_any_name_that_the_folder_takes(kernel, tmp_path, name):
    kernel.files.write_str("mem://x", "x")
    kernel.filesystem("mem://x").copy_from("mem://x", tmp_path / "here" / name)
    assert [p.name for p in (tmp_path / "here").iterdir()] == [name]


def test_a_download_to_where_nothing_can_be_written_is_one_clear_error(kernel, tmp_path):
    kernel.files.write_str("mem://x", "x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "folder", tmp_path / "file" / "below"):
        with pytest.raises(rv.StorageError, match=f"cannot write {target}"):
            kernel.filesystem("mem://x").copy_from("mem://x", target)


def test_a_transfer_that_ends_early_is_noticed_and_leaves_nothing(kernel, tmp_path, monkeypatch):
    kernel.files.write_str("mem://x", "half")
    monkeypatch.setattr(kernel.filesystem("mem://x"), "info", lambda uri: rv.FileInfo(8))
    with pytest.raises(rv.IntegrityError, match="mem://x should have 8 bytes, 4 arrived"):
        kernel.filesystem("mem://x").copy_from("mem://x", tmp_path / "here" / "x")
    assert list((tmp_path / "here").iterdir()) == []
    with pytest.raises(rv.IntegrityError):
        kernel.files.copy("mem://x", "mem://y")
    assert list(kernel.files.list_paths("mem://")) == ["mem://x"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:p@ss@host/x@2.png?token=abc#f", "https://host/x@2.png"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("s3://bucket/what? #1.tif", "s3://bucket/what? #1.tif"),
        ("sftp://me:p@host/x?token=abc#f", "sftp://host/x"),
        ("s3://AKIA:HU/SH@bucket/key", "s3://bucket/key"),
        ("https://me:HU?SH#H@host/x", "https://host/x"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("zip://a.zip::s3://k:HUSH@b/x", "zip://a.zip::s3://b/x"),
        ("/data/what?#1.tif", "/data/what?#1.tif"),
        ("file:///data/a?b", "file:///data/a?b"),
    ],
)
def test_what_is_shown_of_a_uri_holds_no_secret(uri, shown):
    assert rv.without_secrets(uri) == shown


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sftp://me:p%40ss@host:22/a:b@c?d#e", "sftp://me@host:22/a:b@c?d#e"),
        ("sftp://me:p@ss@host/x", "sftp://me@host/x"),
        ("s3://k:HU/SH@bucket/x", "s3://k@bucket/x"),
        ("abfs://container@account.example/x", "abfs://container@account.example/x"),
        ("https://me:HUSH@host/x?y=z", "https://host/x?y=z"),
        ("http://:HUSH@host/x", "http://host/x"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("zip://a.zip::sftp://me:HUSH@host/x.zip", "zip://a.zip::sftp://me@host/x.zip"),
        ("/data/a:b@c", "/data/a:b@c"),
        ("from ftp://a:HUSH@b/x to ftp://c:HUSH@d/y", "from ftp://a@b/x to ftp://c@d/y"),
        ("at http://host:80, ask me@host", "at http://host:80, ask me@host"),
    ],
)
def test_a_uri_without_its_password_is_usable_where_that_is_known(uri, shown):
    assert rv.without_password(uri) == shown


def test_no_error_tells_the_password_of_a_uri():
    error = rv.DataError("no chips at sftp://me:HUSH@host/x", hint="look at sftp://me:HUSH@host")
    for text in (
        str(error),
        error.message,
        error.hint,
        repr(error),
        str(pickle.loads(pickle.dumps(error))),
    ):
        assert "HUSH" not in text
    assert "sftp://me@host/x" in str(error)
