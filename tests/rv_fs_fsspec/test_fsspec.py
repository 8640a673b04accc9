"""Storage that fsspec knows: found by its scheme, told what it may do, and true to every name."""

from __future__ import annotations

import logging
import pickle
import socket
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from rv_core.transfers import Retries

from rv_core import (
    AccessDeniedError,
    FileSystem,
    Kernel,
    NotFoundError,
    NotWritableError,
    PluginDependencyError,
    RVError,
    StorageError,
    TransferError,
    UnknownKeyError,
)
from rv_fs_fsspec import FsspecFileSystem

# What was imported before, and so would be known to be there.
REGISTRY: dict[str, type] = vars(sys.modules["fsspec.registry"])["_registry"]

OTHER = """
from rv_core import hookimpl
from rv_fs_fsspec import FsspecFileSystem

class Other(FsspecFileSystem):
    pass

other = Other("memory")

@hookimpl
def rv_filesystem(uri, mode, kernel):
    return other
"""


def told_by(error: BaseException) -> str:
    """All that an error tells, also where it is printed with its traceback or sent elsewhere."""
    told = "".join(traceback.format_exception(error)) + repr(error)
    return told + str(getattr(error, "hint", "")) + repr(pickle.loads(pickle.dumps(error)))


# Which schemes, and whose


def test_a_scheme_that_fsspec_knows_is_served(root: str, kernel: Kernel) -> None:
    kernel.files.write_str(f"{root}/a.txt", "hello")
    assert kernel.files.read_str(f"{root}/a.txt") == "hello"
    assert kernel.filesystem(root) is kernel.filesystem(root)


def test_a_scheme_that_nobody_knows_is_an_error_that_says_so() -> None:
    with pytest.raises(UnknownKeyError, match="xyzzy") as caught:
        Kernel().files.read_str("xyzzy://a/b")
    assert "installed:" in str(caught.value.hint)


@pytest.mark.parametrize(
    "uri",
    [
        "dir://etc/passwd",
        "filecache://etc/passwd",
        "generic://etc/passwd",
        "git:///etc:main@passwd",
        "local:///etc/passwd",
        "reference://etc/passwd",
        "rv://file/etc/passwd",
    ],
)
def test_there_is_no_other_way_to_local_files(uri: str) -> None:
    with pytest.raises(UnknownKeyError):
        Kernel().files.read_str(uri)


def test_a_known_scheme_whose_package_is_missing_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ossfs", "paramiko", "fsspec.implementations.sftp"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    monkeypatch.delitem(REGISTRY, "sftp", raising=False)
    kernel = Kernel()
    with pytest.raises(PluginDependencyError, match="ossfs") as caught:
        kernel.filesystem("oss://bucket/key")
    assert caught.value.hint == "python -m pip install ossfs"
    with pytest.raises(PluginDependencyError, match="paramiko") as caught:
        kernel.filesystem("sftp://host/file")
    assert caught.value.hint == 'python -m pip install "fsspec[sftp]"'


def test_where_rv_has_a_package_of_its_own_that_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.delitem(REGISTRY, "http", raising=False)
    with pytest.raises(PluginDependencyError) as caught:
        FsspecFileSystem("http")
    assert caught.value.hint == "python -m pip install rv-fs-http"


def test_a_plugin_for_the_scheme_goes_first_and_a_pin_turns_that_round(
    make_distribution: Callable[..., Path],
) -> None:
    groups = {"rv.filesystems.v1": {"memory": "acme_memory"}}
    place = make_distribution("acme-memory", groups, {"acme_memory.py": OTHER})
    path = [place, *sys.path]
    sys.path.insert(0, str(place))
    try:
        assert type(Kernel(path=path).filesystem("memory://x")).__name__ == "Other"
        pinned = Kernel(path=path, config={"rv": {"pins": {"memory": "rv-fs-fsspec"}}})
        assert type(pinned.filesystem("memory://x")) is FsspecFileSystem
        without = Kernel(path=path, disable=["acme-memory"])
        with pytest.raises(RVError, match="acme-memory"):  # disabled is not given to another
            without.filesystem("memory://x")
    finally:
        sys.path.remove(str(place))


def test_it_can_be_disabled() -> None:
    with pytest.raises(UnknownKeyError):
        Kernel(disable=["rv-fs-fsspec"]).filesystem("memory://x")


def test_a_kernel_can_be_told_to_have_it_alone() -> None:
    kernel = Kernel(plugins=["rv_fs_fsspec.plugin"])
    kernel.files.write_str("memory://alone/a", "1")
    again = Kernel.from_spec(pickle.loads(pickle.dumps(kernel.spec())))
    assert again.files.read_str("memory://alone/a") == "1"


# Settings


def test_settings_are_those_of_the_scheme_and_of_its_other_names(
    sftp_server: Any, known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTP_PASSWORD", "hush/HUSH@1")
    (sftp_server.folder / "settings.txt").write_text("found")
    options = {
        "host": "127.0.0.1",
        "port": sftp_server.port,
        "username": "user",
        "password": {"env": "SFTP_PASSWORD"},
        "known_hosts": str(known_hosts),
    }
    kernel = Kernel(config={"fsspec": {"sftp": options}})
    assert kernel.files.read_str("sftp:///settings.txt") == "found"
    assert kernel.files.read_str("ssh:///settings.txt") == "found"
    again = Kernel.from_spec(pickle.loads(pickle.dumps(kernel.spec())))
    assert again.files.read_str("sftp:///settings.txt") == "found"
    assert "HUSH" not in repr([setting.shown() for setting in kernel.config.settings()])


def test_a_setting_that_the_implementation_does_not_know_is_an_error(sftp_server: Any) -> None:
    kernel = Kernel(config={"fsspec": {"ftp": {"hots": "127.0.0.1"}}})
    with pytest.raises(StorageError, match=r"ftp:///a: ftp:// needs to know 'host'"):
        kernel.files.read_str("ftp:///a")
    kernel = Kernel(config={"fsspec": {"sftp": {"usernme": "user"}}})
    with pytest.raises(StorageError, match="sftp:// has no setting 'usernme'") as caught:
        kernel.files.read_str(f"{sftp_server.url}/a")
    assert caught.value.hint == "correct it in [fsspec.sftp]"


# Who the server is, and what is told of us


def test_a_server_that_is_not_known_is_not_trusted(sftp_server: Any, tmp_path: Path) -> None:
    nobody = FsspecFileSystem("sftp", {"known_hosts": str(tmp_path / "none")})
    with pytest.raises(AccessDeniedError, match=r"not trusted.* has no key") as caught:
        nobody.read_bytes(f"{sftp_server.url}/x")
    assert "ssh-keyscan" in str(caught.value.hint)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    (tmp_path / "other").write_text(f"[127.0.0.1]:{sftp_server.port} {key}\n")
    another = FsspecFileSystem("sftp", {"known_hosts": str(tmp_path / "other")})
    with pytest.raises(AccessDeniedError, match=r"not trusted.* has another key"):
        another.read_bytes(f"{sftp_server.url}/x")
    anybody = FsspecFileSystem("sftp", {"host_key_policy": "auto_add"})
    with pytest.raises(NotFoundError):
        anybody.read_bytes(f"{sftp_server.url}/nothing here")


def test_a_login_without_credentials_is_refused_and_not_tried_again(
    kernel: Kernel, sftp_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where keys would be
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(AccessDeniedError) as caught:
        kernel.files.read_bytes(f"{sftp_server.plain}/x")
    assert "[fsspec.sftp]" in str(caught.value.hint)


def test_a_server_of_another_protocol_is_an_error_and_no_page_of_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    anybody = FsspecFileSystem("sftp", {"host_key_policy": "auto_add"})
    anybody._retries = Retries(attempts=1)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: listener.accept()[0].close())
        with caplog.at_level(logging.INFO), pytest.raises(TransferError, match="SSHException"):
            anybody.read_bytes(f"sftp://me:HUSH@127.0.0.1:{listener.getsockname()[1]}/x")
    assert [record.name for record in caplog.records if "paramiko" in record.name] == []


def test_a_host_that_is_not_there_is_an_error_at_once(kernel: Kernel) -> None:
    with pytest.raises(StorageError, match="its host has no address") as caught:
        kernel.files.read_bytes("sftp://no-such-host.invalid/x")
    assert not isinstance(caught.value, TransferError)


@pytest.mark.slow
def test_no_error_and_no_log_tells_a_password(
    kernel: Kernel, sftp_server: Any, ftp_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "HUSHHUSH"
    with pytest.raises(RVError) as caught:
        kernel.files.read_bytes(f"sftp://user:{wrong}@127.0.0.1:{sftp_server.port}/x")
    assert isinstance(caught.value, AccessDeniedError)
    told = told_by(caught.value)
    with pytest.raises(AccessDeniedError) as caught:
        kernel.files.write_bytes(f"ftp://user:{wrong}@127.0.0.1:{ftp_server.port}/x", b"")
    told += told_by(caught.value)
    for ask in (kernel.files.read_bytes, kernel.files.info, kernel.files.delete):
        for server in (sftp_server, ftp_server):
            with pytest.raises(NotFoundError) as missing:
                ask(f"{server.url}/nothing/here")
            told += told_by(missing.value)
    told += repr(kernel.filesystem(sftp_server.url)) + repr(vars(kernel.filesystem("ftp://x/y")))
    assert "nothing/here" in told
    assert "HUSH" not in told
    assert "HUSH" not in caplog.text


# Names


@pytest.mark.parametrize("name", ["a::b.txt", "?", "#", "a?b#c::d%41.txt", "*", "[ab]"])
def test_no_character_of_a_name_means_anything(kernel: Kernel, root: str, name: str) -> None:
    files = kernel.files
    others = ["a", "b", "a::b", "b.txt", "aA.txt"]
    for other in others:
        files.write_str(f"{root}/{other}", "another")
    files.write_str(f"{root}/{name}", "this one")
    assert files.read_str(f"{root}/{name}") == "this one"
    assert sorted(files.list_paths(root)) == sorted(f"{root}/{n}" for n in [*others, name])
    files.delete(f"{root}/{name}")
    assert sorted(files.list_paths(root)) == sorted(f"{root}/{n}" for n in others)
    assert all(files.read_str(f"{root}/{other}") == "another" for other in others)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://127.0.0.1/a ",
        "ftp://127.0.0.1/a/",
        "ftp://127.0.0.1/a\nb",
        "memory:////a",
        "memory://a/b/",
        "memory://x::s3://bucket/key",
        "sftp://127.0.0.1/a/../b",
        "sftp://127.0.0.1/a//b",
        "sftp://127.0.0.1/a/./b",
    ],
)
def test_what_would_reach_another_file_is_refused(uri: str, kernel: Kernel) -> None:
    for ask in (kernel.files.read_bytes, lambda uri: kernel.files.write_bytes(uri, b"")):
        with pytest.raises(StorageError) as caught:
            ask(uri)
        assert not isinstance(caught.value, TransferError)  # nothing was sent
        assert "\n" not in str(caught.value)


def test_a_uri_is_read_whatever_its_case() -> None:
    files = Kernel().files
    files.write_str("MEMORY://Case/A", "1")
    assert files.read_str("memory://Case/A") == "1"
    assert list(files.list_paths("MEMORY://Case")) == ["MEMORY://Case/A"]


# Implementations that nobody has heard of


class Shy(MemoryFileSystem):  # type: ignore[misc]
    """Somebody's own: without a listing of all, and with a folder that may not be read."""

    protocol = "shy"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    find = fsspec.AbstractFileSystem.find

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if path.endswith("/secret"):
            raise PermissionError(13, "Permission denied", path)
        return super().ls(path, detail, **kwargs)


class Chest(MemoryFileSystem):  # type: ignore[misc]
    """Somebody's own: nothing is put into it."""

    protocol = "chest"

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode != "rb":
            raise NotImplementedError
        return super()._open(path, mode, **kwargs)


@pytest.fixture
def shy() -> FileSystem:
    fsspec.register_implementation("shy", Shy, clobber=True)
    fsspec.register_implementation("chest", Chest, clobber=True)
    return Kernel().filesystem("shy://x")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    shy: FileSystem, tmp_path: Path
) -> None:
    shy.write_str("shy://root/open/a", "1")
    assert list(shy.list_paths("shy://root")) == ["shy://root/open/a"]
    shy.write_str("shy://root/secret/b", "2")
    with pytest.raises(AccessDeniedError, match="shy://root"):
        list(shy.list_paths("shy://root"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "b").write_text("kept")
    with pytest.raises(AccessDeniedError):
        shy.sync_from_dir("shy://root", tmp_path, delete=True)
    assert (tmp_path / "open" / "b").read_text() == "kept"
    with pytest.raises(AccessDeniedError):
        shy.delete("shy://root")
    assert shy.read_str("shy://root/open/a") == "1"


def test_what_an_implementation_cannot_do_is_told_as_such(shy: FileSystem) -> None:
    with pytest.raises(NotWritableError, match="chest://a"):
        Kernel().files.write_str("chest://a", "1")
    with pytest.raises(NotWritableError, match="github"):
        FsspecFileSystem("github").write_bytes("github://org:repo@main/a", b"")
    with pytest.raises(NotWritableError):
        FsspecFileSystem("github").delete("github://org:repo@main/a")
    with pytest.raises(NotWritableError):
        Kernel().filesystem("github://org:repo@main/a", "w")


def test_everything_is_not_deleted_at_once(kernel: Kernel, ftp_server: Any) -> None:
    kernel.files.write_str(f"{ftp_server.url}/stays", "1")
    for uri in (ftp_server.url, f"{ftp_server.url}/", "memory://"):
        with pytest.raises(StorageError, match="refusing to delete everything"):
            kernel.files.delete(uri)
    assert (ftp_server.folder / "stays").read_text() == "1"
