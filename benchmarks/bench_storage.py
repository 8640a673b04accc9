"""Storage against the libraries that people use: S3, HTTP and local copies; time and peak memory.

Targets: a large object within 1.1 times the best boto3 column and under 120 MB; 2,000 small ones
within 1.1 times the pool of 32 threads; a second sync of what is unchanged at least 20 times faster
than boto3, s3fs and cloudpathlib; HTTP within 1.1 times the best column; a local copy within 1.2
times `cp` with fsync.

``--quick`` is a look (64 MiB, 200 objects, once); ``--columns ours,boto3`` and ``--rows up,again``
are a part of it, any part of a title will do, as are ``--sections s3,http``. ``--faults`` makes the
table of what becomes of a transfer when the network fails.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import attrs
from peers import SCRATCH, peer

sys.path.insert(0, str(Path(__file__).resolve().parent / "storage"))

from measuring import Column, Section, measure, scratch_folder, table_of, versions
from rows import Data, http_rows, local_rows, s3_rows
from servers import nginx_server, s3_server

OURS = ["boto3", "botocore", "requests", "urllib3"]
PEERS = ["s3fs", "smart_open[s3]", "cloudpathlib[s3]", "obstore", "httpx", "pooch"]
LATENCY = 20
RATIOS = [
    ("ours / best boto3", "boto3"),
    ("ours / 32 threads", "32 threads"),
    ("ours / best of boto3, s3fs, cloudpathlib", "boto3|s3fs|cloudpathlib"),
    ("ours / best of all", ""),
]


def all_sections(
    args: argparse.Namespace, theirs: Path, stack: ExitStack, memory: Path
) -> list[Section]:
    """Every section, its servers running and filled until the stack is closed."""
    megabytes, count, reads = (64, 200, 100) if args.quick else (512, 2000, 500)
    rounds = 1 if args.quick else 3
    data = Data.make(memory, megabytes, count)
    s3 = stack.enter_context(s3_server(memory / "s3", [0, LATENCY]))
    s3.put("large.bin", data.large)
    s3.put("warm", b"warm")
    for name, content in data.small.items():
        s3.put(f"many/{name}", content)
    columns = [
        Column("ours", "s3_ours:Ours"),
        Column("boto3 manager", "s3_boto3:Manager"),
        Column("boto3, 32 threads", "s3_boto3:Pool"),
        Column("s3fs", "s3_s3fs:S3fs", theirs),
        Column("smart_open", "s3_smart_open:SmartOpen", theirs),
        Column("cloudpathlib", "s3_cloudpathlib:CloudPathlib", theirs),
        Column("obstore", "s3_obstore:Obstore", theirs),
    ]
    rows = s3_rows(data, s3, reads)
    near, far = (f"http://127.0.0.1:{port}" for port in s3.ports)
    sections = [
        Section("S3", near, rows, columns, "warm", rounds),
        Section(f"S3 with {LATENCY} ms latency", far, rows, columns, "warm", 1),
    ]
    if nginx := stack.enter_context(nginx_server(memory / "nginx")):
        url, files = nginx
        data.write(files / "many")
        shutil.copy(data.large, files)
        (files / "warm").write_bytes(b"warm")
        columns = [
            Column("ours", "http_ours:Ours"),
            Column("requests", "http_requests:Requests"),
            Column("urllib3", "http_requests:Urllib3"),
            Column("httpx", "http_httpx:Httpx", theirs),
            Column("pooch", "http_pooch:Pooch", theirs),
        ]
        rows = http_rows(data, reads)
        sections.append(Section("HTTP from nginx", url, rows, columns, "warm", rounds))
    else:
        print("nginx is not installed (apt-get install nginx-light): no rows of HTTP")
    columns = [Column("ours", "local_copy:Ours"), Column("cp, fsync", "local_copy:Cp")]
    disk = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
    on_disk = attrs.evolve(data, large=Path(shutil.copy(data.large, disk)))
    warm = disk / "warm"
    warm.write_bytes(b"warm")
    sections.append(Section("Local disk", "", local_rows(on_disk), columns, str(warm), rounds))
    return sections


def chosen(sections: list[Section], args: argparse.Namespace) -> list[Section]:
    def wanted(title: str, option: str) -> bool:
        return any(part in title.lower() for part in option.lower().split(","))

    found = []
    for section in sections:
        rows = [row for row in section.rows if wanted(row.title, args.rows)]
        columns = [column for column in section.columns if wanted(column.title, args.columns)]
        if rows and columns and wanted(section.title, args.sections):
            found.append(attrs.evolve(section, rows=rows, columns=columns))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--faults", action="store_true")
    for name in ("columns", "rows", "sections"):
        parser.add_argument(f"--{name}", default="")
    args = parser.parse_args()
    if args.faults:
        from faults import fault_table

        print(fault_table(peer("storage", *PEERS), args.columns, args.rows))
        return
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        theirs = peer("storage", *PEERS)
        print(f"{versions(Path(sys.executable), OURS)}; {versions(theirs, PEERS)}")
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch_folder())))
        sections = chosen(all_sections(args, theirs, stack, memory), args)
        if not sections:
            parser.error("nothing has these columns, rows and sections")
        for section in sections:
            scratch = SCRATCH if section.title == "Local disk" else memory
            print(table_of(section, measure(section, scratch), RATIOS), flush=True)


if __name__ == "__main__":
    main()
