"""What becomes of a transfer when the network, the server or the disk fails.

Each case is arranged on a proxy before a server that works; an object of 24 MiB is transferred over
a file that is there already. It should end as the file, whole, or as a clean error that leaves the
old file, within 30 s.
"""

from __future__ import annotations

import base64
import itertools
import os
import random
import shutil
import sys
import tempfile
import textwrap
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import attrs
from measuring import Column, header
from rows import digest_of, digest_of_file
from rv_core.testing import (
    Before,
    Chunked,
    Drip,
    FaultProxy,
    FlipByte,
    Gzip,
    IgnoreRange,
    NoLength,
    Reset,
    ResetUpload,
    Stall,
    Status,
    Truncate,
)
from servers import S3, nginx_server, s3_server
from stage import OLD, PATIENCE_SECONDS, End, Stage, digest, outcome, run, spoken, stage_at

MIB = 1 << 20
BIG = random.Random(4).randbytes(MIB) * 24
NEXT = BIG[::-1]
NAME = "big.bin"
LEAVES_OLD_FILES = ("pooch",)  # does not ask whether a file that is there has changed
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>the token has expired</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>"
FAILED = b"<Error><Code>InternalError</Code><Message>try again</Message></Error>"


@attrs.frozen
class Case:
    title: str
    arrange: Callable[[Stage], object]


@attrs.frozen
class Sync:
    """``keys`` below a prefix are synced; ``judge`` says in words what came of it."""

    title: str
    keys: list[str]
    arrange: Callable[[Stage], object] = lambda stage: None
    judge: Callable[[Stage], str] = lambda stage: ""


def replaced(after: int) -> Callable[[Stage], None]:
    """The object is another one from the next but ``after`` GET on."""

    def arrange(stage: Stage) -> None:
        stage.wholes.add(digest_of(NEXT))
        change = Before(lambda: stage.put(NAME, NEXT))
        stage.proxy.fail(change, method="GET", path=NAME, after=after)

    return arrange


def replaced_and_reset(stage: Stage) -> None:
    stage.proxy.fail(Reset(5 * MIB), method="GET", path=NAME)
    replaced(1)(stage)


def small_disk(stage: Stage) -> None:
    stage.small_disk = True


def killed(stage: Stage) -> None:
    stage.kill = True
    stage.proxy.fail(Stall(4 * MIB, 60), times=None, method="GET", path=NAME)


def fails(fault: object, **how: object) -> Callable[[Stage], object]:
    return lambda stage: stage.proxy.fail(fault, **{"method": "GET", "path": NAME} | how)


DOWNLOADS = [
    Case("reset once", fails(Reset(5 * MIB))),
    Case("reset always", fails(Reset(5 * MIB), times=None)),
    Case("truncated once", fails(Truncate(5 * MIB))),
    Case("truncated always", fails(Truncate(5 * MIB), times=None)),
    Case("503 three times", fails(Status(503, body=BUSY), times=3)),
    Case("429 with Retry-After: 2", fails(Status(429, {"Retry-After": "2"}, BUSY))),
    Case("stall once", fails(Stall(2 * MIB, 600))),
    Case("1 byte/s drip", fails(Drip(1), times=None)),
    Case("1 byte/s drip after the first MiB", fails(Drip(1, MIB), times=None)),
    Case("replaced between requests", replaced(1)),
    Case("replaced and reset", replaced_and_reset),
    Case("server ignores Range", fails(IgnoreRange(), times=None)),
    Case("HEAD 405", fails(Status(405), times=None, method="HEAD")),
    Case("403", fails(Status(403), times=None, method=None)),
    Case("404", fails(Status(404), times=None, method=None)),
    Case("kill -9 in mid-transfer", killed),
    Case("disk full", small_disk),
    Case("no Content-Length", fails(NoLength(), times=None)),
    Case("chunked", fails(Chunked(), times=None)),
]
FLIPPED = Case("a flipped byte, the server has a checksum", fails(FlipByte(MIB)))


def parts(stage: Stage, fault: object, **how: object) -> object:
    def of_the_file(request) -> bool:
        return request.method == "PUT" and "up.bin" in request.path

    return stage.proxy.fail(fault, when=of_the_file, **how)


UPLOADS = [
    Case("up: 503 three times", lambda s: parts(s, Status(503, body=BUSY), times=3)),
    Case("up: reset once", lambda s: parts(s, ResetUpload(3 * MIB))),
    Case("up: reset always", lambda s: parts(s, ResetUpload(3 * MIB), times=None)),
    Case(
        "up: 120 MiB completed with 200 and an error",
        lambda s: s.proxy.fail(
            Status(200, body=FAILED), times=None, method="POST", path="uploadId="
        ),
    ),
]


def all_there(count: int) -> Callable[[Stage], str]:
    def judge(stage: Stage) -> str:
        found = sum(1 for path in (stage.folder / "got").rglob("*.bin") if path.stat().st_size == 4)
        return "" if found == count else f", {found} of {count}"

    return judge


def escaped(stage: Stage) -> str:
    out = [
        p for p in stage.folder.parent.rglob("evil.bin") if stage.folder / "got" not in p.parents
    ]
    return ", **written outside of the folder**" if out else ""


def link(stage: Stage) -> None:
    (stage.folder / "outside").mkdir()
    (stage.folder / "got").mkdir()
    (stage.folder / "got" / "sub").symlink_to(stage.folder / "outside")


def through_link(stage: Stage) -> str:
    through = any((stage.folder / "outside").iterdir())
    return ", **written through the link**" if through else ""


def expiring(stage: Stage) -> None:
    """A program gives the credentials, new ones each time; the first are good for 50 requests."""
    program = stage.home / "credentials.py"
    program.write_text(
        textwrap.dedent(
            """
            import datetime, json, pathlib
            count = pathlib.Path(__file__).with_name("count")
            number = int(count.read_text()) + 1 if count.exists() else 1
            count.write_text(str(number))
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
            found = {"Version": 1, "AccessKeyId": f"number{number}", "SessionToken": "HUSH"}
            found |= {"SecretAccessKey": "HUSH-KEY", "Expiration": until.isoformat()}
            print(json.dumps(found))
            """
        )
    )
    config = stage.home / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    stage.environment = {"AWS_CONFIG_FILE": str(config)}
    stage.environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    stage.proxy.fail(
        Status(400, body=EXPIRED),
        times=None,
        after=50,
        when=lambda request: "number1/" in (request.headers["Authorization"] or ""),
    )


def second_page(stage: Stage) -> None:
    busy = Status(503, body=BUSY)
    stage.proxy.fail(busy, times=3, when=lambda request: "continuation-token=" in request.path)


MANY = [f"{number:04d}.bin" for number in range(1500)]
SYNCS = [
    Sync("sync: 1,500 keys", MANY, judge=all_there(1500)),
    Sync("sync: 503 three times on the second page", MANY, second_page, all_there(1500)),
    Sync("sync: credentials expire", MANY[:200], expiring, all_there(200)),
    Sync("sync: a key with ../", ["good.bin", "../../evil.bin"], judge=escaped),
    Sync("sync: a link among the folders", ["good.bin", "sub/x.bin"], link, through_link),
]


def redirected(stage: Stage, where: str) -> None:
    stage.proxy.fail(Status(302, {"Location": where}), times=None)


HTTP_ONLY = [
    Case("forced gzip", fails(Gzip(), times=None)),
    Case("redirected in a circle", lambda s: redirected(s, f"/plain/{NAME}?signature=HUSH")),
    Case("redirected to file://", lambda s: redirected(s, "file:///etc/passwd")),
]


def download(stage: Stage, column: Column, server: str, name: str) -> str:
    end = run(stage, column, server, "download", [name, str(stage.target)])
    return outcome(stage, end, digest(stage.target))


def upload(stage: Stage, column: Column, server: str, s3: S3, source: Path) -> str:
    s3.put("up.bin", OLD)
    end = run(stage, column, server, "upload", [str(source), "up.bin"])
    stage.target.unlink()
    return outcome(stage, end, digest_of(s3.get("up.bin")))


def sync(stage: Stage, column: Column, server: str, case: Sync) -> str:
    end: End = run(stage, column, server, "download_all", ["keys/", str(stage.folder / "got")])
    if end.hung:
        return f"hangs > {PATIENCE_SECONDS} s"
    said = case.judge(stage) + spoken(end)
    return (f"error ({end.error})" if end.error else "done") + said


def wanted(title: str, option: str) -> bool:
    return any(part in title for part in option.split(","))


def s3_cases(columns: list[Column], place: Path, rows: str) -> list[list[str]]:
    source, large = place / "source.bin", place / "large.bin"
    source.write_bytes(BIG)
    large.write_bytes(BIG * 5)  # which everyone sends in parts
    lines = []
    with s3_server(place / "s3", [0]) as s3:

        def staged():
            s3.put(NAME, BIG)
            return stage_at(s3.ports[0], s3.put, s3.get, BIG)

        def line(case: Case | Sync, do: Callable[[Stage, Column, str], str]) -> None:
            cells: list[str] = []
            if not wanted(case.title, rows):
                return
            for column in columns:
                with staged() as stage:
                    case.arrange(stage)
                    cells.append(do(stage, column, stage.proxy.url))
                print(f"{case.title}: {column.title}: {cells[-1]}", file=sys.stderr)
            lines.append([case.title, *cells])

        for case in DOWNLOADS:
            line(case, lambda stage, column, url: download(stage, column, url, NAME))
        checksum = base64.b64encode(zlib.crc32(BIG).to_bytes(4, "big")).decode()

        def with_checksum(stage: Stage, column: Column, url: str) -> str:
            s3.put(NAME, BIG, {"x-amz-checksum-crc32": checksum})
            return download(stage, column, url, NAME)

        line(FLIPPED, with_checksum)
        for case in UPLOADS:
            path = large if "120 MiB" in case.title else source

            def send(stage: Stage, column: Column, url: str, path: Path = path) -> str:
                stage.wholes = {digest_of_file(path)}
                return upload(stage, column, url, s3, path)

            line(case, send)
        for keys in SYNCS:
            s3.clear("keys/")
            for key in keys.keys:
                s3.put(f"keys/{key}", b"four")
            line(keys, lambda stage, column, url, keys=keys: sync(stage, column, url, keys))
    return lines


def http_cases(columns: list[Column], place: Path, rows: str) -> list[list[str]]:
    lines = []
    with ExitStack() as stack:
        nginx = stack.enter_context(nginx_server(place / "nginx"))
        if nginx is None:
            return []
        url, files = nginx
        port = int(url.split(":")[2].partition("/")[0])

        clock = itertools.count(int(time.time()) - 100_000)

        def put(name: str, data: bytes) -> None:
            """Each version has a second of its own: nginx tells them apart by time and size."""
            (files / "part").write_bytes(data)
            os.utime(files / "part", (when := next(clock), when))
            (files / "part").replace(files / name)

        def staged(column: Column):
            put(NAME, BIG)
            old = None if column.title in LEAVES_OLD_FILES else OLD
            return stage_at(port, put, lambda name: (files / name).read_bytes(), BIG, old)

        name = f"{NAME}?signature=HUSH"
        for case in [*DOWNLOADS, *HTTP_ONLY]:
            cells = []
            if not wanted(case.title, rows):
                continue
            for column in columns:
                with staged(column) as stage:
                    case.arrange(stage)
                    cells.append(download(stage, column, f"{stage.proxy.url}/plain", name))
                print(f"HTTP: {case.title}: {column.title}: {cells[-1]}", file=sys.stderr)
            lines.append([case.title, *cells])
        elsewhere = "redirected to another host"
        cells = []
        for column in columns if wanted(elsewhere, rows) else []:
            with staged(column) as stage, FaultProxy(port) as other:
                redirected(stage, f"http://localhost:{other.port}/plain/{NAME}")
                said = download(stage, column, f"{stage.proxy.url}/plain", name)
                sent = any(request.headers["Authorization"] for request in other.requests)
                cells.append(said + (", **credentials sent along**" if sent else ""))
        if cells:
            lines.append([elsewhere, *cells])
    return lines


def fault_table(theirs: Path, titles: str, rows: str) -> str:
    """Two tables in markdown."""
    s3 = [
        Column("ours", "s3_ours:Ours"),
        Column("boto3 manager", "s3_boto3:Manager"),
        Column("s3fs", "s3_s3fs:S3fs", theirs),
    ]
    web = [
        Column("ours", "http_ours:Ours"),
        Column("requests", "http_requests:Requests"),
        Column("pooch", "http_pooch:Pooch", theirs),
    ]
    lines = []
    place = Path(tempfile.mkdtemp())
    try:
        for title, columns, cases in (("S3", s3, s3_cases), ("HTTP", web, http_cases)):
            chosen = [column for column in columns if wanted(column.title, titles)]
            if chosen and (found := cases(chosen, place, rows)):
                lines += [f"\n### {title}: what becomes of a transfer\n"]
                lines += header(["", *(column.title for column in chosen)])
                lines += ["| " + " | ".join(line) + " |" for line in found]
    finally:
        shutil.rmtree(place)
    return "\n".join(lines)
