"""The cache: one for all storage and all processes, whole files only, bounded, revalidated."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from rv_core._lock import locked
from rv_core.cache import Cache, unsigned

import rv_core as rv

# A storage plugin over urllib, whole enough for the cache; run in this process and in others.
WEB = """
import shutil
from urllib.request import Request, urlopen
from urllib.error import HTTPError
from rv_core import FileInfo, FileSystem, TransferError

class Web(FileSystem):
    def ask(self, request):
        try:
            return urlopen(request, timeout=60)
        except HTTPError as error:
            raise TransferError(f"the server answered {error.code}") from None
    def open(self, uri, mode="rb"):
        return self.ask(uri)
    def info(self, uri):
        with self.ask(Request(uri, method="HEAD")) as answer:
            return FileInfo(int(answer.headers["Content-Length"]), None, answer.headers["ETag"])
    def list_paths(self, uri, ext=""):
        return iter(())
    def delete(self, uri):
        raise NotImplementedError
"""


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # more clients at once than the five that the default lets wait

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b"version one"
        self.etag: str | None = '"1"'
        self.status = 200
        self.gets = 0
        self.hold = threading.Event()  # while set, a download stops in the middle
        self.started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/scene.tif"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.server.gets += 1
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        content = self.server.content
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        if body:
            half = len(content) // 2
            self.wfile.write(content[:half])
            self.wfile.flush()
            self.server.started.set()
            while self.server.hold.is_set() and not self.server._BaseServer__shutdown_request:
                threading.Event().wait(0.02)
            self.wfile.write(content[half:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.hold.clear()
    server.shutdown()
    server.server_close()


@pytest.fixture
def web(tmp_path):
    (tmp_path / "web_storage.py").write_text(WEB)
    scope: dict[str, type] = {}
    exec(WEB, scope)
    return scope["Web"]()


def in_another_process(tmp_path: Path, folder: Path, url: str) -> subprocess.Popen[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from web_storage import Web; from rv_core.cache import Cache\n"
        f"print(Cache({str(folder)!r}).fetch(Web(), {url!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_file_is_downloaded_once_and_keeps_its_name(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    path = cache.fetch(web, server.url)
    assert path.name == "scene.tif"
    assert path.read_bytes() == b"version one"
    assert cache.fetch(web, server.url) == path
    assert server.gets == 1


def test_a_changed_file_is_downloaded_again_and_the_old_version_goes(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.fetch(web, server.url)
    server.content, server.etag = b"version two, longer", '"2"'
    assert cache.fetch(web, server.url).read_bytes() == b"version two, longer"
    assert [entry.size for entry in cache.entries()] == [19]


def test_a_server_that_tells_nothing_of_versions_is_asked_every_time(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    server.etag = None
    cache.fetch(web, server.url)
    server.content = b"version 2!!"
    assert cache.fetch(web, server.url).read_bytes() == b"version 2!!"


def test_the_signature_of_a_url_is_no_part_of_what_it_names(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    one = cache.fetch(web, server.url + "?X-Amz-Signature=abc&X-Amz-Date=1")
    two = cache.fetch(web, server.url + "?X-Amz-Signature=def&X-Amz-Date=2")
    assert one == two
    assert server.gets == 1
    assert unsigned("https://user:pass@host/a?id=3&sig=x&se=9#f") == "https://host/a?id=3"
    signed = "https://host/a?id=3&Expires=9&Signature=x&Key-Pair-Id=k"
    assert unsigned(signed) == "https://host/a?id=3"
    assert unsigned("https://host/a?sr=4326&st=x") == "https://host/a?sr=4326&st=x"  # no signature
    assert not any(b"abc" in p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_two_processes_that_want_one_url_download_it_once(server, web, tmp_path):
    server.content = bytes(1 << 20)
    workers = [in_another_process(tmp_path, tmp_path / "cache", server.url) for _ in range(2)]
    paths = {worker.communicate(timeout=120)[0].strip() for worker in workers}
    assert len(paths) == 1
    assert Path(paths.pop()).stat().st_size == 1 << 20
    assert server.gets == 1


def test_16_threads_that_want_one_url_download_it_once(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(lambda _: cache.fetch(web, server.url), range(16)))
    assert len(paths) == 1
    assert server.gets == 1


def test_a_server_that_is_down_is_an_error_and_no_old_copy(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.fetch(web, server.url)
    server.status = 503
    with pytest.raises(rv.TransferError, match="503"):
        cache.fetch(web, server.url)
    server.status = 200
    assert cache.fetch(web, server.url).read_bytes() == b"version one"
    assert server.gets == 1


def test_the_storage_is_told_what_is_known_and_may_answer_in_one_request(server, web, tmp_path):
    asked = []

    class OneRequest(type(web)):
        def info(self, uri):
            raise AssertionError("a request too many")

        def copy_if_changed(self, uri, path, known, on_progress=rv.ignore_progress):
            asked.append(known)
            now = type(web).info(self, uri)
            if known == now:
                return None
            path.write_bytes(self.open(uri).read())
            return now

    cache = Cache(tmp_path / "cache")
    paths = {cache.fetch(OneRequest(), server.url) for _ in range(2)}
    server.content, server.etag = b"two", '"2"'
    Cache(tmp_path / "cache").fetch(OneRequest(), server.url)
    assert len(paths) == 1
    assert asked == [None, *[rv.FileInfo(11, None, '"1"')] * 2]


@pytest.mark.parametrize("damage", ["empty", "longer", "gone", "nothing known"])
def test_a_copy_that_is_damaged_is_had_again(server, web, tmp_path, damage):
    """As a power cut, or somebody who tidies up, may leave it."""
    cache = Cache(tmp_path / "cache")
    path = cache.fetch(web, server.url)
    if damage == "gone":
        path.unlink()
    elif damage == "nothing known":
        next(p for p in path.parent.iterdir() if p != path).write_bytes(b"")
    else:
        path.write_bytes(b"" if damage == "empty" else b"version one and more")
    assert list(cache.entries()) == []
    assert cache.fetch(web, server.url).read_bytes() == b"version one"
    assert len(list(cache.entries())) == 1


def test_a_killed_writer_leaves_nothing_in_the_way(server, web, tmp_path):
    server.content = bytes(1 << 20)
    server.hold.set()
    worker = in_another_process(tmp_path, tmp_path / "cache", server.url)
    assert server.started.wait(120)
    worker.kill()
    worker.wait(60)
    worker.stdout.close()
    server.hold.clear()
    cache = Cache(tmp_path / "cache")
    assert list(cache.entries()) == []
    assert cache.fetch(web, server.url).stat().st_size == 1 << 20
    left = sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert left == [".info.json", "lock", "scene.tif"]


def test_a_download_that_dies_keeps_nothing(server, web, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache")
    real = type(web).info
    monkeypatch.setattr(
        type(web), "info", lambda self, uri: rv.FileInfo(99, None, real(self, uri).etag)
    )
    with pytest.raises(rv.IntegrityError, match="should have 99 bytes, 11 arrived"):
        cache.fetch(web, server.url)
    assert list(cache.entries()) == []


@pytest.mark.parametrize(
    "name", ["字" * 120 + ".tif", "a" * 300 + ".tif", "..", "%2e%2e%2fx", "a b&c"]
)
def test_any_url_gets_a_name_that_file_systems_take(name, server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    path = cache.fetch(web, server.url.replace("scene.tif", quote(name, safe="%")))
    assert path.read_bytes() == b"version one"
    assert path.parent.parent.parent == tmp_path / "cache"
    assert path.suffix == Path(name).suffix


def test_a_cache_that_cannot_be_written_is_one_clear_error(server, web, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(rv.StorageError, match=r"scene\.tif cannot be kept in the cache") as caught:
        Cache(tmp_path / "cache").fetch(web, server.url)
    assert "RV_CACHE_DIR" in caught.value.hint


def test_a_file_replaced_between_question_and_download_is_tried_again(
    server, web, tmp_path, monkeypatch
):
    answers = [rv.FileInfo(99, None, '"0"'), web.info(server.url)]
    monkeypatch.setattr(type(web), "info", lambda self, uri: answers[min(1, server.gets)])
    path = Cache(tmp_path / "cache").fetch(web, server.url)
    assert path.read_bytes() == b"version one"
    assert server.gets == 2


def test_what_another_process_is_busy_with_is_not_evicted(server, web, tmp_path):
    cache = Cache(tmp_path / "cache", max_bytes=5)
    busy = cache.fetch(web, server.url)
    with locked(busy.parent.parent / "lock"):
        cache.fetch(web, server.url + "?id=2")
    assert busy.exists()
    cache.fetch(web, server.url + "?id=3")
    assert not busy.exists()


def test_the_least_recently_used_go_first(server, web, tmp_path):
    cache = Cache(tmp_path / "cache", max_bytes=25)  # room for two files of 11 bytes
    paths = [cache.fetch(web, server.url + f"?id={n}") for n in range(2)]
    for age, path in zip((100, 200), paths, strict=True):
        os.utime(path.parent, (age, age))
    cache.fetch(web, server.url + "?id=0")  # used again: now the younger one
    cache.fetch(web, server.url + "?id=2")
    assert [path.exists() for path in paths] == [True, False]
    assert sum(entry.size for entry in cache.entries()) <= 25


def test_a_file_larger_than_the_cache_is_still_had(server, web, tmp_path):
    cache = Cache(tmp_path / "cache", max_bytes=5)
    assert cache.fetch(web, server.url).exists()
    cache.fetch(web, server.url + "?id=2")
    assert len(list(cache.entries())) == 1


def test_a_checksum_is_verified_and_then_needs_no_network(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    good = "md5:" + hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    with pytest.raises(rv.IntegrityError, match="md5 0000"):
        cache.fetch(web, server.url, checksum="md5:" + "0" * 32)
    assert list(cache.entries()) == []
    path = cache.fetch(web, server.url, checksum=good)
    asked = server.gets
    server.shutdown()
    assert cache.fetch(web, server.url, checksum=good) == path
    assert server.gets == asked


def test_entries_tell_where_they_are_from_and_no_secret(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    path = cache.fetch(web, server.url + "?token=HUSH&id=1")
    (entry,) = cache.entries()
    assert (entry.path, entry.uri, entry.size) == (path, server.url, 11)
    files = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert not any(b"HUSH" in p.read_bytes() or "HUSH" in str(p) for p in files)


def test_names_with_question_marks_and_hashes_are_names_of_their_own_elsewhere():
    assert unsigned("s3://me:HUSH@bucket/a?b#c.tif") == "s3://me@bucket/a?b#c.tif"
    assert unsigned("s3://bucket/a@b") == "s3://bucket/a@b"
    assert unsigned("/plain/path?x") == "/plain/path?x"


def test_what_stands_for_a_user_may_be_a_place_of_its_own():
    one, two = "abfs://one@account/x", "abfs://two@account/x"
    assert unsigned(one) != unsigned(two)
    assert unsigned("https://me:HUSH@host/x") == unsigned("https://host/x")


@pytest.mark.parametrize("uri", ["https://[host/x", "other://\udcff"])
def test_what_is_no_url_is_an_error_of_storage(web, tmp_path, monkeypatch, uri):
    def info(self: object, uri: str) -> rv.FileInfo:
        raise rv.NotFoundError("nothing is there")

    monkeypatch.setattr(type(web), "info", info)
    with pytest.raises(rv.StorageError):
        Cache(tmp_path / "cache").fetch(web, uri)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege")
def test_a_cache_whose_disk_is_not_there_is_an_error_and_no_endless_wait(tmp_path):
    (tmp_path / "cache").symlink_to(tmp_path / "not mounted" / "cache")
    code = (
        "from rv_core.cache import Cache\n"
        "from rv_core import FileSystem, StorageError\n"
        "try: Cache().fetch(None, 'other://x')\n"
        "except StorageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RV_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "cannot be kept in the cache" in done.stdout, done.stderr


def test_clearing_all_or_some(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    names = ["scene.tif", "scene.tif.aux", "deep/a", "deep/b"]
    urls = {name: server.url.replace("scene.tif", name) for name in names}
    paths = {name: cache.fetch(web, url) for name, url in urls.items()}
    for name, age in zip(names, (10, 4000, 10, 4000), strict=True):
        os.utime(paths[name].parent, (time.time() - age, time.time() - age))

    def left():
        assert {entry.path for entry in cache.entries()} == {
            p for p in paths.values() if p.exists()
        }
        return sorted(name for name, path in paths.items() if path.exists())

    (gone,) = cache.clear(uri=urls["scene.tif"] + "?X-Amz-Signature=x")
    assert (gone.uri, gone.size) == (urls["scene.tif"], 11)
    assert left() == ["deep/a", "deep/b", "scene.tif.aux"]
    assert len(cache.clear(uri=server.url.replace("scene.tif", "deep"), older_than=3600)) == 1
    assert left() == ["deep/a", "scene.tif.aux"]
    assert len(cache.clear(older_than=3600)) == 1
    assert left() == ["deep/a"]
    cache.clear()
    assert left() == []
    assert [p for p in (tmp_path / "cache").iterdir() if p.name != "synced"] == [], (
        "no locks either"
    )
    assert cache.fetch(web, server.url).read_bytes() == b"version one"


def test_what_is_evicted_leaves_no_folder(server, web, tmp_path):
    cache = Cache(tmp_path / "cache", max_bytes=25)
    for n in range(6):
        cache.fetch(web, server.url + f"?id={n}")
    assert len(list((tmp_path / "cache").iterdir())) == len(list(cache.entries())) == 2


def test_records_of_syncs_are_no_entries_and_go_with_the_rest(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    record = tmp_path / "cache" / "synced" / f"{'a' * 32}.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    cache.fetch(web, server.url)
    assert len(list(cache.entries())) == 1
    cache.clear(uri=server.url)
    cache.clear(older_than=3600)
    assert record.exists()
    cache.clear()
    assert not record.exists()


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    cache = Cache(tmp_path / "none")
    assert list(cache.entries()) == cache.clear() == []
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_fetching_while_others_clear_always_gives_the_file(server, web, tmp_path):
    """Locks are removed with what they guard, and those who wait for them notice."""
    (tmp_path / "clear.py").write_text(
        "import sys; from rv_core.cache import Cache\n"
        "cache = Cache(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True: cache.clear()\n"
    )
    argv = [sys.executable, str(tmp_path / "clear.py"), str(tmp_path / "cache")]
    clearers = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for clearer in clearers:
            assert clearer.stdout.readline() == b"ready\n"
        with ThreadPoolExecutor(4) as pool:
            for path in pool.map(
                lambda n: Cache(tmp_path / "cache").fetch(web, f"{server.url}?id={n % 3}"),
                range(150),
            ):
                assert path.name == "scene.tif"
    finally:
        for clearer in clearers:
            clearer.kill()
            clearer.communicate()
    assert {clearer.returncode for clearer in clearers} <= {-9, 1 if os.name == "nt" else -9}


def test_a_lock_that_is_removed_keeps_nobody_in_or_out(tmp_path):
    path = tmp_path / "home" / "lock"
    inside, most = 0, 0
    counted = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        for _ in range(40):
            with locked(path):
                with counted:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.0005)
                with counted:
                    inside -= 1
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most == 1


def test_room_that_was_seen_is_filled_without_looking_again(server, web, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache", max_bytes=110)  # ten files of 11 bytes
    looked = []
    entries = Cache.entries
    monkeypatch.setattr(Cache, "entries", lambda self: looked.append(1) or entries(self))
    for number in range(12):
        cache.fetch(web, server.url + f"?id={number}")
    assert sum(entry.size for entry in entries(cache)) == 110
    assert len(looked) == 3  # at first, and for each file after the room was used up
