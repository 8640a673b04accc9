"""Folders by the indexes that servers show of them: all that is below, and nothing else."""

# ruff: noqa: E501  the pages are as the servers make them

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rv_core.testing import Before, FaultProxy, Stall, Status
from rv_fs_http._index import Entry, entries_of

from rv_core import AccessDeniedError, Kernel, StorageError
from rv_fs_http import HttpFileSystem

FOLDER = "https://example.com/pub/data/"
NGINX = """<html>\r
<head><title>Index of /pub/data/</title></head>\r
<body>\r
<h1>Index of /pub/data/</h1><hr><pre><a href="../">../</a>\r
<a href="a%20folder/">a folder/</a>                                 01-Mar-2024 10:00                   -\r
<a href="100%25.tif">100%.tif</a>                                  29-Feb-2024 23:59               12345\r
<a href="a-name-so-long-that-it-is-cut-in-the-text-but-not-in-the-link.tif">a-name-so-long-that-it-is-cut-in-the-text-but-n..&gt;</a> 29-Feb-2024 23:59                   0\r
<a href="rounded.tif">rounded.tif</a>                               29-Feb-2024 23:59                 12M\r
</pre><hr></body>\r
</html>\r
"""
APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html>
 <head>
  <title>Index of /pub/data</title>
 </head>
 <body>
<h1>Index of /pub/data</h1>
<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a>  <a href="?C=M;O=A">Last modified</a> <hr>
<img src="/icons/back.gif" alt="[PARENTDIR]"> <a href="/pub/">Parent Directory</a>                             -
<img src="/icons/unknown.gif" alt="[   ]"> <a href="a&amp;b.tif">a&amp;b.tif</a>                 2024-02-29 23:59  512
<img src="/icons/folder.gif" alt="[DIR]"> <a href="sub/">sub/</a>                    2024-02-29 23:59    -
<hr></pre>
<address>Apache/2.4.57 (Debian) Server at <a href="mailto:admin@example.com">example.com</a> Port 443</address>
</body></html>
"""


def test_nginx_tells_sizes_unless_it_rounds_them() -> None:
    assert entries_of(NGINX.encode(), FOLDER) == [
        Entry("a folder", True),
        Entry("100%.tif", False, 12345),
        Entry("a-name-so-long-that-it-is-cut-in-the-text-but-not-in-the-link.tif", False, 0),
        Entry("rounded.tif", False),
    ]


def test_apache_tells_names() -> None:
    assert entries_of(APACHE.encode(), FOLDER) == [Entry("a&b.tif", False), Entry("sub", True)]


@pytest.mark.parametrize(
    "link",
    [
        *("../", "..", "./", ".", "/", "/pub/", "/pub/other/x.tif", "../other/x.tif", "#top", ""),
        *("?C=N;O=D", "x.tif?C=N", "x.tif#part", "deep/er/x.tif", "%2e%2e/", "%2E"),
        *("https://example.com:8443/pub/data/x.tif", "http://example.com/pub/data/x.tif"),
        *("//evil.example/pub/data/x.tif", "https://evil.example/pub/data/x.tif"),
        *("mailto:me@example.com", "javascript:alert(1)", "ftp://example.com/pub/data/x.tif"),
        "http://[",
    ],
)
def test_links_to_elsewhere_are_no_files(link: str) -> None:
    page = f"<title>Index of /pub/data/</title><a href='{link}'>x</a>"
    assert entries_of(page.encode(), FOLDER) == []


@pytest.mark.parametrize(
    "link",
    ["x y.tif", "./x%20y.tif", "/pub/data/x%20y.tif", "/pub/d%61ta/x%20y.tif", f"{FOLDER}x y.tif"],
)
def test_links_may_be_spelled_in_several_ways(link: str) -> None:
    page = f"<H1>Index of /pub/data/</H1><A HREF='{link}'>x</A><a href='{link}'>again</a>"
    assert entries_of(page.encode(), FOLDER) == [Entry("x y.tif", False)]


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<title>Welcome</title><a href='x.tif'>x</a>",
        b"<title>My index of things</title><a href='x.tif'>x</a>",
        b"[1, 2]",
        b'[{"name": "x"}]',
        b'[{"name": 5, "type": "file"}]',
        b'{"name": "x", "type": "file"}',
        b"[",
        b"[" * 100_000,
        b"\x89PNG\r\n\x1a\n\xff\xfe",
    ],
)
def test_another_page_is_no_index(page: bytes) -> None:
    assert entries_of(page, FOLDER) is None


def test_times_that_are_no_dates_are_not_known() -> None:
    page = b'[{"name": "x.tif", "type": "file", "mtime": 1700000000, "size": 5}]'
    assert entries_of(page, FOLDER) == [Entry("x.tif", False, 5)]


def test_a_file_is_not_read_to_its_end_to_see_that_it_is_no_index(
    http: HttpFileSystem, proxy: FaultProxy
) -> None:
    """Some servers do not mind a slash behind a file's name."""
    proxy.fail(Status(200, {}, b"II*\0" + bytes(10**6)), times=None)
    proxy.fail(Stall(10**5, 60), times=None)
    with pytest.raises(StorageError, match="does not list its files"):
        list(http.list_paths(f"{proxy.url}/big.tif/"))
    assert len(proxy.requests) == 1


def test_names_that_are_no_text_survive(http: HttpFileSystem) -> None:
    page = b"<title>Index of /</title><a href='gr%FC%DF.tif'>x</a>"
    (entry,) = entries_of(page, FOLDER) or []
    uri = http.uri_below(FOLDER, entry.name)
    assert uri == f"{FOLDER}gr%FC%DF.tif"
    assert http.name_below(FOLDER, uri) == entry.name


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.sampled_from(["", "?token=x"]))
def test_every_name_has_a_uri_and_every_uri_its_name(name: str, query: str) -> None:
    http = HttpFileSystem()
    folder = f"https://example.com/a%20b{query}"
    uri = http.uri_below(folder, name)
    assert http.name_below(folder, uri) == name
    assert uri.endswith(query)


@pytest.mark.parametrize("way", ["html", "json", "apache"])
def test_a_query_of_the_folder_goes_along(
    http: HttpFileSystem, server: Any, way: str, tmp_path: Path
) -> None:
    server.put("a/b c.txt", b"x")
    root = f"{server.url}/{way}?token=HUSH"
    assert list(http.list_paths(root)) == [f"{server.url}/{way}/a/b%20c.txt?token=HUSH"]
    http.sync_from_dir(root, tmp_path / "here")
    assert (tmp_path / "here/a/b c.txt").read_bytes() == b"x"
    assert all(path.endswith("?token=HUSH") for _, path, _ in server.requests)


@pytest.mark.parametrize("way", ["html", "json"])
def test_what_is_unchanged_costs_no_download(
    http: HttpFileSystem, server: Any, tmp_path: Path, way: str
) -> None:
    for n in range(20):
        server.put(f"{n % 2}/{n}.txt", b"x" * n)
    root = f"{server.url}/{way}"
    http.sync_from_dir(root, tmp_path / "here")
    server.requests.clear()
    http.sync_from_dir(root, tmp_path / "here")
    files = [headers["Range"] for _, path, headers in server.requests if not path.endswith("/")]
    assert files == ([] if way == "json" else ["bytes=0-0"] * 20)
    server.put("1/19.txt", b"y" * 19)
    http.sync_from_dir(root, tmp_path / "here")
    assert (tmp_path / "here/1/19.txt").read_bytes() == b"y" * 19


def test_a_server_that_shows_no_folders_says_so(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, tmp_path: Path
) -> None:
    server.put("folder/file.txt", b"x")
    plain = f"{proxy.url}/plain/folder"
    for ask in (lambda: list(http.list_paths(plain)), lambda: http.sync_from_dir(plain, tmp_path)):
        with pytest.raises(AccessDeniedError, match="do not list their files"):
            ask()
    with pytest.raises(AccessDeniedError):
        http.file_exists(plain)
    proxy.fail(Status(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"), times=None)
    for ask in (
        lambda: list(http.list_paths(f"{proxy.url}/site/?sig=HUSH")),
        lambda: http.sync_from_dir(f"{proxy.url}/site/?sig=HUSH", tmp_path),
    ):
        with pytest.raises(StorageError, match="does not list its files") as caught:
            ask()
        assert "HUSH" not in f"{caught.value} {caught.value.hint}"


def test_a_file_that_is_not_there_is_no_folder_either(
    http: HttpFileSystem, proxy: FaultProxy, server: Any
) -> None:
    """Some servers show a page of their own for every folder that they do not have."""
    page = Status(200, {"Content-Type": "text/html"}, b"<h1>Nothing here</h1>")
    proxy.fail(page, times=None, when=lambda request: request.path.endswith("/"))
    assert not http.file_exists(f"{proxy.url}/plain/missing")
    server.put("file.txt", b"x")
    uri = f"{proxy.url}/plain/file.txt"
    assert list(http.list_paths(uri)) == [uri]


EVIL = ["../escaped", "..", "/absolute", "a/../../escaped", "b\\..\\..\\escaped", "nul\0", "a//b"]


@pytest.mark.parametrize("way", ["json", "html"])
def test_names_that_lead_out_of_the_folder_are_refused_by_name(
    http: HttpFileSystem, server: Any, proxy: FaultProxy, tmp_path: Path, way: str
) -> None:
    server.put("good.txt", b"good")
    server.put("escaped", b"evil")
    if way == "json":
        listed = [{"name": name, "type": "file", "size": 4} for name in [*EVIL, "good.txt"]]
        listed += [{"name": "../up", "type": "directory"}]
        page = json.dumps(listed)
    else:
        names = ["..%2Fescaped", "%2Fabsolute", "..%5C..%5Cescaped", "nul%00", "../escaped"]
        links = "".join(f"<a href='{name}'>x</a>" for name in [*names, "good.txt", "..%2Fup/"])
        page = f"<title>Index of /html/folder/</title>{links}"
    proxy.fail(Status(200, {}, page.encode()), times=None, path=f"/{way}/folder/")
    server.put("folder/good.txt", b"good")
    here = tmp_path / "outer" / "here"
    here.mkdir(parents=True)
    (here / "mine").write_bytes(b"mine")
    with pytest.raises(StorageError) as caught:
        http.sync_from_dir(f"{proxy.url}/{way}/folder", here, delete=True)
    assert "escaped" in str(caught.value)
    found = {p.relative_to(tmp_path / "outer").as_posix() for p in (tmp_path / "outer").rglob("*")}
    assert found <= {"here", "here/mine", "here/good.txt"}
    assert "here/mine" in found, "it deleted by a listing that holds names it refused"
    assert not [r.path for r in proxy.requests if "up/" in r.path], "it left the folder"


@pytest.mark.parametrize("way", ["html", "json"])
def test_folders_that_lead_in_circles_end(
    http: HttpFileSystem, server: Any, tmp_path: Path, way: str
) -> None:
    server.put("a/file.txt", b"x")
    server.put("a/b/file.txt", b"x")
    (server.files / "a/b/again").symlink_to("..")
    (server.files / "a/b/and again").symlink_to("../..")
    with pytest.raises(StorageError, match="circles"):
        list(http.list_paths(f"{server.url}/{way}"))
    assert len(server.requests) < 200
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine").write_bytes(b"mine")
    with pytest.raises(StorageError, match="circles"):
        http.sync_from_dir(f"{server.url}/{way}", tmp_path / "here", delete=True)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["mine"]


def test_a_server_that_makes_up_folders_without_end_is_left(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    class Deeper(Status):
        def instead(self) -> Any:
            Deeper.count += 1
            page = f"<title>Index of x</title><a href='{Deeper.count}/'>x</a>"
            return Status(200, {}, page.encode()).instead()

    Deeper.count = 0  # type: ignore[attr-defined]
    proxy.fail(Deeper(200), times=None)
    with pytest.raises(StorageError, match="circles"):
        list(http.list_paths(f"{proxy.url}/x"))


def test_a_folder_that_goes_away_meanwhile_is_left_out(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    server.put("a/file.txt", b"x")
    server.put("b/file.txt", b"x")
    proxy.fail(Before(lambda: server.remove("b/file.txt")), path="/json/b/")
    assert [p.rpartition("json/")[2] for p in http.list_paths(f"{proxy.url}/json")] == [
        "a/file.txt"
    ]


def test_a_folder_in_it_that_is_refused_is_an_error(
    http: HttpFileSystem, server: Any, proxy: FaultProxy
) -> None:
    server.put("a/file.txt", b"x")
    server.put("b/file.txt", b"x")
    proxy.fail(Status(403), times=None, path="/json/b/")
    with pytest.raises(AccessDeniedError):
        list(http.list_paths(f"{proxy.url}/json"))


def test_the_files_of_a_kernel_list_and_sync(server: Any, tmp_path: Path) -> None:
    server.put("a b/c.txt", b"x")
    files = Kernel().files
    assert list(files.list_paths(f"{server.url}/html")) == [f"{server.url}/html/a%20b/c.txt"]
    files.sync_from_dir(f"{server.url}/html", tmp_path / "here")
    assert (tmp_path / "here/a b/c.txt").read_bytes() == b"x"


def test_asking_for_a_listing_alone_asks_nothing(
    http: HttpFileSystem, make_http: Callable[..., HttpFileSystem], server: Any
) -> None:
    server.put("a.txt", b"x")
    http.list_paths(f"{server.url}/html")
    assert server.requests == []
    list(http.list_paths(f"{server.url}/html"))
    assert [path for _, path, _ in server.requests] == ["/html/"]
