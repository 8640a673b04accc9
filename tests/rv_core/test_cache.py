"""The cache: one for all storage and all processes, whole files only, bounded, revalidated."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
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
from rv_core import FileInfo, FileSystem

class Web(FileSystem):
    def open(self, uri, mode="rb"):
        return urlopen(uri, timeout=10)
    def info(self, uri):
        with urlopen(Request(uri, method="HEAD"), timeout=10) as answer:
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
        self.send_response(200)
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
    paths = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    assert len(paths) == 1
    assert Path(paths.pop()).stat().st_size == 1 << 20
    assert server.gets == 1


def test_16_threads_that_want_one_url_download_it_once(server, web, tmp_path):
    cache = Cache(tmp_path / "cache")
    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(lambda _: cache.fetch(web, server.url), range(16)))
    assert len(paths) == 1
    assert server.gets == 1


def test_a_killed_writer_leaves_nothing_in_the_way(server, web, tmp_path):
    server.content = bytes(1 << 20)
    server.hold.set()
    worker = in_another_process(tmp_path, tmp_path / "cache", server.url)
    assert server.started.wait(30)
    worker.kill()
    worker.wait(10)
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
    import os

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
