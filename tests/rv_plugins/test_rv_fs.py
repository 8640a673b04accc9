"""rv fs: files at any URI from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rv_core import Kernel

pytestmark = pytest.mark.slow  # a process for each command

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "in/sub").mkdir(parents=True)
    (folder / "in/a.tif").write_bytes(b"A" * 1000)
    (folder / "in/sub/b c.txt").write_bytes(b"\x00\xff\n")
    return folder


@pytest.fixture
def fs(work: Path) -> Run:
    def run(*args: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "rv_plugins", "fs", *args],
            capture_output=True, cwd=work, timeout=60, check=False,
        )  # fmt: skip

    return run


BOX = """
import os
from pathlib import Path
from rv_core import FileInfo, FileSystem, ListedFile, NotFoundError, hookimpl
from rv_core.local_files import failures, open_for_writing, walk

class Box(FileSystem):
    # box://x is a file in the folder RV_BOX_FOLDER.
    def path(self, uri):
        return os.path.join(os.environ["RV_BOX_FOLDER"], uri.removeprefix("box://"))
    def open(self, uri, mode="rb"):
        if mode != "rb":
            return open_for_writing(self.path(uri), uri)
        with failures("read", uri):
            return open(self.path(uri), "rb")
    def info(self, uri):
        with failures("read", uri):
            if not os.path.isfile(self.path(uri)):
                raise NotFoundError(f"nothing is at {uri}")
            found = os.stat(self.path(uri))
        return FileInfo(found.st_size, None, f"{found.st_mtime_ns}-{found.st_size}")
    def list_paths(self, uri, ext=""):
        for name, _ in walk(self.path(uri), uri):
            if name.endswith(ext):
                yield uri.rstrip("/") + "/" + name
    def delete(self, uri):
        with failures("delete", uri):
            os.unlink(self.path(uri))

BOXES = Box()

@hookimpl
def rv_filesystem(uri, mode, kernel):
    return BOXES
"""


@pytest.fixture
def box(
    work: Path, make_distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder behind box://, a storage system for the command to find."""
    entries = {"rv.filesystems.v1": {"box": "acme_box"}}
    site = make_distribution("acme-box", entries, {"acme_box.py": BOX})
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    monkeypatch.setenv("RV_BOX_FOLDER", str(work / "box"))
    return work / "box"


@pytest.fixture
def web(work: Path) -> Iterator[str]:
    """The folder of the test behind http://."""
    if "http" not in Kernel().keys("filesystems"):
        pytest.skip("http:// is served by another package, rv-fs-http, which is not installed")
    handler = partial(SimpleHTTPRequestHandler, directory=str(work))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_ls(fs: Run, work: Path) -> None:
    assert fs("ls", "in").stdout == b"in/a.tif\nin/sub/b c.txt\n"
    assert fs("ls", "in", "--ext", ".tif").stdout == b"in/a.tif\n"
    assert fs("ls").stdout == b"./in/a.tif\n./in/sub/b c.txt\n"
    assert fs("ls", f"file://{work}/in").stdout.endswith(b"/in/sub/b%20c.txt\n")
    long = fs("ls", "-l", "in").stdout.decode().splitlines()[0].split()
    assert long[0] == "1000"
    assert long[1].endswith("Z")
    assert long[2] == "in/a.tif"
    found = json.loads(fs("ls", "-l", "--json", "in").stdout)
    assert (found[0]["uri"], found[0]["size"]) == ("in/a.tif", 1000)
    assert json.loads(fs("ls", "--json", "in").stdout)[1] == {"uri": "in/sub/b c.txt"}
    done = fs("ls", "no")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no" in done.stderr


def test_ls_leaves_out_a_password_that_the_settings_may_hold(
    fs: Run, work: Path, box: Path
) -> None:
    (box / "me:HUSH@one").mkdir(parents=True)
    (box / "me:HUSH@one/a?b=c.tif").touch()
    for options in ((), ("-l",), ("--json",)):
        found = fs("ls", *options, "box://me:HUSH@one").stdout
        assert b"box://me@one/a?b=c.tif" in found
        assert b"HUSH" not in found
    missing = fs("ls", "box://me:HUSH@two")
    assert missing.returncode == 1
    assert b"HUSH" not in missing.stderr


def test_ls_of_a_name_that_is_not_text(fs: Run, work: Path) -> None:
    name = b"in/\xff.tif"
    (work / os.fsdecode(name)).touch()
    done = fs("ls", "in", "--ext", ".tif")
    assert done.stdout.splitlines() == [b"in/a.tif", name]


def test_cat(fs: Run) -> None:
    assert fs("cat", "in/sub/b c.txt", "in/a.tif").stdout == b"\x00\xff\n" + b"A" * 1000
    done = fs("cat", "in/sub/b c.txt", "no")
    assert (done.returncode, done.stdout) == (1, b"\x00\xff\n")
    assert done.stderr.startswith(b"Error: cannot read no: ")
    assert b"it is a folder" in fs("cat", "in").stderr


def test_stat(fs: Run) -> None:
    lines = fs("stat", "in/a.tif").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["uri", "size", "last_modified", "etag"]
    (found,) = json.loads(fs("stat", "--json", "in/a.tif").stdout)
    assert found["size"] == 1000
    assert found["last_modified"].endswith("+00:00")
    assert fs("stat", "no").returncode == 1


def test_cp(fs: Run, work: Path) -> None:
    assert fs("cp", "in/a.tif", "new/b.tif").returncode == 0
    assert (work / "new/b.tif").read_bytes() == b"A" * 1000
    assert fs("cp", "in/a.tif", "in/sub/b c.txt", "new").returncode == 0
    assert sorted(p.name for p in (work / "new").iterdir()) == ["a.tif", "b c.txt", "b.tif"]
    assert fs("cp", f"file://{work}/in/sub/b%20c.txt", "fresh/").returncode == 0
    assert (work / "fresh/b c.txt").exists()
    assert fs("cp", "in/sub/b c.txt", f"file://{work}/spaced/").returncode == 0
    assert (work / "spaced/b c.txt").exists()
    done = fs("cp", "in/a.tif", "in/sub/b c.txt", "one-name")
    assert done.returncode == 2
    assert not (work / "one-name").exists()
    assert b"sync copies folders" in fs("cp", "in", "new/c").stderr
    assert fs("cp", "no", "new/b.tif").returncode == 1
    assert (work / "new/b.tif").read_bytes() == b"A" * 1000


@pytest.mark.slow
def test_cp_from_the_web(fs: Run, work: Path, web: str) -> None:
    assert fs("cp", f"{web}/in/sub/b%20c.txt?sig=x", ".").returncode == 0
    assert (work / "b c.txt").read_bytes() == b"\x00\xff\n"
    done = fs("cp", f"{web}/in/no.tif?sig=HUSH", "out/no.tif")
    assert done.returncode == 1
    assert b"404" in done.stderr
    assert b"HUSH" not in done.stderr
    assert list((work / "out").glob("*")) == []
    assert b"no file name" in fs("cp", f"{web}/in/..%2f", ".").stderr
    assert b"no file name" in fs("cp", f"{web}/", ".").stderr


def test_the_web_is_not_written(fs: Run, web: str) -> None:
    for args in (["cp", "in/a.tif", f"{web}/x"], ["rm", f"{web}/in/a.tif"],
                 ["sync", "in", f"{web}/x"]):  # fmt: skip
        done = fs(*args)
        assert done.returncode == 1
        assert b"cannot be written" in done.stderr


def test_sync(fs: Run, work: Path) -> None:
    assert fs("sync", "in", "copy").returncode == 0
    (work / "copy/extra").touch()
    assert fs("sync", "in", f"file://{work}/copy").returncode == 0
    assert (work / "copy/extra").exists()
    assert fs("sync", "--delete", "in", "copy").returncode == 0
    assert not (work / "copy/extra").exists()
    assert (work / "copy/sub/b c.txt").read_bytes() == b"\x00\xff\n"
    assert fs("sync", "--delete", "no", "copy").returncode == 1
    (work / "empty").mkdir()
    done = fs("sync", "--delete", "empty", "copy")
    assert done.returncode == 0
    assert b"empty holds no files: none of the 2 in copy were deleted" in done.stderr
    assert (work / "copy/a.tif").exists()
    assert fs("sync", "--delete", "--allow-empty", "empty", "copy").returncode == 0
    assert not (work / "copy/a.tif").exists()
    done = fs("sync", "in", "in/copy")
    assert done.returncode == 1
    assert b"one folder is in the other" in done.stderr


@pytest.mark.slow
def test_sync_and_cp_with_and_between_remote_folders(fs: Run, work: Path, box: Path) -> None:
    assert fs("sync", "in", "box://one").returncode == 0
    assert fs("sync", "box://one/", "box://two").returncode == 0
    assert fs("sync", "box://two", f"file://{work}/down").returncode == 0
    assert (work / "down/sub/b c.txt").read_bytes() == b"\x00\xff\n"
    (box / "two/extra").touch()
    assert fs("sync", "--delete", "box://one", "box://two").returncode == 0
    assert sorted(p.name for p in (box / "two").iterdir()) == ["a.tif", "sub"]
    done = fs("sync", "--delete", "box://none", "box://two")
    assert done.returncode == 1
    assert b"there are no files below box://none" in done.stderr
    assert (box / "two/a.tif").exists()
    assert fs("sync", "--delete", "--allow-empty", "box://none", "box://two").returncode == 0
    assert not list(box.glob("two/**/*.tif"))
    assert fs("cp", "box://one/a.tif", "box://one/sub/b c.txt", "box://three/").returncode == 0
    assert (box / "three/b c.txt").read_bytes() == b"\x00\xff\n"
    assert fs("cp", "box://one/sub/b c.txt", ".").returncode == 0
    assert (work / "b c.txt").exists()
    (work / "link").symlink_to("target")
    assert fs("cp", "box://one/a.tif", "link").returncode == 0
    assert (work / "link").is_symlink()
    assert (work / "target").read_bytes() == b"A" * 1000
    if Path("/dev/stdout").exists():
        for source in ("box://one/a.tif", "in/a.tif"):
            assert fs("cp", source, "/dev/stdout").stdout == b"A" * 1000
    assert b"ends in no file name" in fs("cp", "box://one/", "new/").stderr
    assert b"box://one is a folder" in fs("cp", "box://one", "new").stderr
    long = fs("ls", "-l", "box://one").stdout.decode().splitlines()
    assert [line.split()[0] for line in long] == ["1000", "3"]


def test_names_that_cannot_be_taken_are_told_at_the_end(fs: Run, work: Path, box: Path) -> None:
    (box / "one").mkdir(parents=True)
    for name in ("good", "a\\b"):
        (box / "one" / name).write_text("x")
    done = fs("sync", "box://one", "down")
    assert done.returncode == 1
    assert b"1 name(s) that cannot be taken to down: 'a\\\\b'" in done.stderr
    assert [p.name for p in (work / "down").iterdir()] == ["good"]


def test_the_cache_is_listed_and_cleared(fs: Run, work: Path, box: Path) -> None:
    def cache(*args: str) -> subprocess.CompletedProcess[bytes]:
        argv = [sys.executable, "-m", "rv_plugins", "cache", *args]
        return subprocess.run(argv, capture_output=True, cwd=work, timeout=60, check=False)

    folder = os.environ["RV_CACHE_DIR"]
    assert (
        cache("ls").stdout.decode() == f"0 B in 0 files, of 21.5 GB that may be kept in {folder}\n"
    )
    fs("sync", "in", "box://in")
    get = "import sys, rv_core as rv; [rv.Kernel().files.local_path(u) for u in sys.argv[1:]]"
    urls = ["box://in/a.tif", "box://in/sub/b c.txt"]
    subprocess.run([sys.executable, "-c", get, *urls], check=True, cwd=work)
    lines = cache("ls").stdout.decode().splitlines()
    assert lines[0].split() == ["SIZE", "USED", "URL"]
    assert sorted(line.split("  ")[-1] for line in lines[1:3]) == urls
    assert "1.0 kB" in "".join(lines[1:3])
    assert lines[3].startswith("1.0 kB in 2 files, of 21.5 GB")
    found = json.loads(cache("ls", "--json").stdout)
    assert (found["folder"], len(found["entries"])) == (folder, 2)
    assert {entry["url"] for entry in found["entries"]} == set(urls)
    assert all(Path(entry["path"]).is_file() for entry in found["entries"])
    assert cache("clear", "--older-than", "1h").stdout == b"removed 0 files, 0 B\n"
    assert cache("clear", "--older-than", "soon").returncode == 2
    assert cache("clear", "box://in/sub").stdout == b"removed 1 files of box://in/sub, 3 B\n"
    (gone,) = json.loads(cache("clear", "--json").stdout)
    assert gone["url"] == "box://in/a.tif"
    assert json.loads(cache("ls", "--json").stdout)["entries"] == []


def test_rm(fs: Run, work: Path) -> None:
    (work / "link").symlink_to(work / "in")
    assert fs("rm", "link").returncode == 0
    done = fs("rm", "in")
    assert done.returncode == 1
    assert b"-r" in done.stderr
    assert fs("rm", "in/a.tif").returncode == 0
    assert (work / "in/sub/b c.txt").exists()
    assert fs("rm", "-r", "in").returncode == 0
    assert not (work / "in").exists()
    assert fs("rm", "in").returncode == 1
    assert fs("rm", "-r", ".").returncode == 1
    assert work.exists()


def test_an_unknown_scheme_is_one_line_with_a_hint(fs: Run) -> None:
    done = fs("cat", "nosuch://bucket/key?sig=HUSH")
    assert done.returncode == 1
    error, hint = done.stderr.decode().splitlines()
    assert "nosuch" in error
    assert hint.startswith("Hint: ")
    assert "HUSH" not in error + hint
