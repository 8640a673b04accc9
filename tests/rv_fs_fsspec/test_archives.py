"""Archives inside other storage: read there, as they are now, and by the rules of that storage."""

from __future__ import annotations

import io
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from rv_core.testing import FileSystemContract, Put, Remove

from rv_core import (
    AccessDeniedError,
    FileSystem,
    Kernel,
    NotFoundError,
    NotWritableError,
    StorageError,
    hookimpl,
    scheme_of,
)

FILES = {"a.txt": b"one", "folder/b.txt": b"two", "folder/deep/c.bin": bytes(range(256)) * 5000}


def zipped(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def tarred(files: Mapping[str, bytes], mode: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mtime = 1_000_000_000
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


@pytest.fixture
def place(kernel: Kernel) -> str:
    """The URI of an archive that is yet to be written."""
    return f"memory://{uuid.uuid4().hex}/archive"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_files_in_an_archive_are_files(
    kernel: Kernel, place: str, tmp_path: Path, kind: str
) -> None:
    files, scheme = kernel.files, kind.partition(".")[0]
    archive = f"{place}.{kind}"
    data = zipped(FILES) if kind == "zip" else tarred(FILES, f"w:{kind.partition('.')[2]}")
    files.write_bytes(archive, data)
    for name, content in FILES.items():
        uri = f"{scheme}://{name}::{archive}"
        assert files.read_bytes(uri) == content
        assert files.info(uri).size == len(content)
        assert files.local_path(uri).read_bytes() == content
    listed = sorted(files.list_paths(f"{scheme}://::{archive}"))
    assert listed == sorted(f"{scheme}://{name}::{archive}" for name in FILES)
    assert list(files.list_paths(f"{scheme}://folder::{archive}", ".txt")) == [
        f"{scheme}://folder/b.txt::{archive}"
    ]
    files.sync_from_dir(f"{scheme}://folder::{archive}", tmp_path)
    assert (tmp_path / "deep" / "c.bin").read_bytes() == FILES["folder/deep/c.bin"]
    with files.open(f"{scheme}://folder/deep/c.bin::{archive}") as stream:
        stream.seek(1000)
        assert stream.read(10) == FILES["folder/deep/c.bin"][1000:1010]
    with pytest.raises(NotFoundError, match=f"{scheme}://nothing::{archive}"):
        files.read_bytes(f"{scheme}://nothing::{archive}")
    assert not files.file_exists(f"{scheme}://fold::{archive}")


def test_an_archive_far_away_is_read_there(kernel: Kernel, sftp_server: Any) -> None:
    (sftp_server.folder / "far.zip").write_bytes(zipped(FILES))
    assert kernel.files.read_bytes(f"zip://a.txt::{sftp_server.url}/far.zip") == b"one"
    with pytest.raises(NotFoundError) as caught:
        kernel.files.read_bytes(f"zip://b.txt::{sftp_server.url}/far.zip")
    assert "HUSH" not in str(caught.value)


def test_an_archive_is_what_it_is_now(kernel: Kernel, place: str) -> None:
    kernel.files.write_bytes(place, zipped({"a.txt": b"one"}))
    assert kernel.files.read_bytes(f"zip://a.txt::{place}") == b"one"
    kernel.files.write_bytes(place, zipped({"a.txt": b"two", "b.txt": b"new"}))
    assert kernel.files.read_bytes(f"zip://a.txt::{place}") == b"two"
    assert len(list(kernel.files.list_paths(f"zip://::{place}"))) == 2


def test_a_tar_whose_files_have_fixed_times_is_what_it_is_now(
    kernel: Kernel, place: str, tmp_path: Path
) -> None:
    uri = f"tar://folder/a.txt::{place}"
    kernel.files.write_bytes(place, tarred({"folder/a.txt": b"one"}, "w"))
    assert kernel.files.local_path(uri).read_bytes() == b"one"
    kernel.files.sync_from_dir(f"tar://folder::{place}", tmp_path)
    kernel.files.write_bytes(place, tarred({"folder/a.txt": b"two"}, "w"))
    assert kernel.files.local_path(uri).read_bytes() == b"two"
    kernel.files.sync_from_dir(f"tar://folder::{place}", tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"two"


def test_the_members_of_a_tar_that_was_made_in_its_folder_have_plain_names(
    kernel: Kernel, place: str, tmp_path: Path
) -> None:
    """As ``tar -C folder -cf x.tar .`` calls them."""
    (tmp_path / "here" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "deep" / "b").write_bytes(b"two")
    (tmp_path / "here" / "a").write_bytes(b"one")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "here", ".")
    archived = f"::{tmp_path / 'x.tar'}"
    assert sorted(kernel.files.list_paths(f"tar://{archived}")) == [
        f"tar://a{archived}",
        f"tar://deep/b{archived}",
    ]
    assert kernel.files.read_bytes(f"tar://deep/b{archived}") == b"two"
    kernel.files.sync_from_dir(f"tar://{archived}", tmp_path / "there")
    assert (tmp_path / "there" / "deep" / "b").read_bytes() == b"two"


def test_two_colons_in_a_name_are_part_of_it(
    kernel: Kernel, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.files.write_bytes(place, zipped({"a::b.txt": b"one", "a": b"two"}))
    listed = list(kernel.files.list_paths(f"zip://::{place}"))
    assert sorted(map(kernel.files.read_bytes, listed)) == [b"one", b"two"]
    assert kernel.files.read_bytes(f"zip://a::b.txt::{place}") == b"one"
    (tmp_path / "local.zip").write_bytes(zipped({"a": b"three"}))
    monkeypatch.chdir(tmp_path)
    assert kernel.files.read_bytes("zip://a::local.zip") == b"three"
    outer = f"{place}.outer"
    kernel.files.write_bytes(outer, zipped({"in/local.zip": zipped({"a": b"four"})}))
    assert kernel.files.read_bytes(f"zip://a::zip://in/local.zip::{outer}") == b"four"


def test_what_is_not_an_archive_is_an_error(kernel: Kernel, place: str) -> None:
    kernel.files.write_bytes(place, b"not a zip")
    for scheme in ("zip", "tar"):
        with pytest.raises(StorageError, match=f"{place} is no {scheme} archive"):
            kernel.files.read_bytes(f"{scheme}://a.txt::{place}")
    with pytest.raises(StorageError, match="which archive"):
        kernel.files.read_bytes("zip://a.txt")
    with pytest.raises(NotFoundError):
        kernel.files.read_bytes(f"zip://a.txt::{place}/nothing")


def test_what_may_not_be_read_may_not_be_read_through_an_archive_either(place: str) -> None:
    class Deny:
        denied = False

        @hookimpl(wrapper=True)
        def rv_filesystem(self, uri: str) -> Any:
            if self.denied and scheme_of(uri) == "memory":
                raise AccessDeniedError("memory: is not for you")
            return (yield)

    deny = Deny()
    kernel = Kernel(plugins=["rv_fs_fsspec.plugin", deny])
    kernel.files.write_bytes(place, zipped(FILES))
    assert kernel.files.read_bytes(f"zip://a.txt::{place}") == b"one"
    deny.denied = True
    with pytest.raises(AccessDeniedError, match="not for you"):
        kernel.files.read_bytes(f"zip://a.txt::{place}")


def test_archives_are_not_written(kernel: Kernel, place: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    uri = f"zip://a.txt::{place}"
    system = kernel.filesystem(uri)
    asked: list[Callable[[], object]] = [
        lambda: system.open(uri, "wb"),
        lambda: system.delete(uri),
        lambda: system.copy_to(tmp_path / "a", uri),
        lambda: kernel.filesystem(uri, "w"),
    ]
    for ask in asked:  # nothing is there: it is refused before anything is looked at
        with pytest.raises(NotWritableError):
            ask()


class TestZip(FileSystemContract):
    """A zip in memory, made anew for every file that the tests put into it."""

    test_the_borders_of_parts_are_no_borders_of_files = None  # one part is all there is
    capabilities = FileSystemContract.capabilities - {
        "any_key",
        "constant_memory",
        "delete",
        "exclusive",
        "last_modified",
        "many_files",
        "write",
    }
    refused_names = frozenset({"trailing slash"})

    @pytest.fixture
    def archive(self) -> str:
        return f"memory://{uuid.uuid4().hex}/archive.zip"

    lock = Lock()  # tests put files in from several threads

    @pytest.fixture
    def content(self) -> dict[str, bytes]:
        return {}

    @pytest.fixture
    def fs(self, kernel: Kernel, archive: str) -> FileSystem:
        kernel.files.write_bytes(archive, zipped({}))
        return kernel.filesystem(f"zip://::{archive}")

    @pytest.fixture
    def root(self, archive: str) -> str:
        return f"zip://root::{archive}"

    @pytest.fixture
    def put(self, kernel: Kernel, root: str, archive: str, content: dict[str, bytes]) -> Put:
        def put(name: str, data: bytes) -> str:
            with self.lock:
                content[f"root/{name}"] = data
                kernel.files.write_bytes(archive, zipped(content))
            return f"zip://root/{name}::{archive}"

        return put

    @pytest.fixture
    def remove(self, kernel: Kernel, archive: str, content: dict[str, bytes]) -> Remove:
        def remove(name: str) -> None:
            with self.lock:
                del content[f"root/{name}"]
                kernel.files.write_bytes(archive, zipped(content))

        return remove
