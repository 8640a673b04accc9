"""What is moved, and how it is seen that it arrived: the rows of the tables."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import attrs
from servers import S3

SMALL_BYTES = 16 * 1024


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def digests_below(folder: Path) -> dict[str, str]:
    """By file names alone: each library has its own idea of what a folder is copied into."""
    return {path.name: digest_of_file(path) for path in folder.rglob("*.bin")}


@attrs.frozen
class Data:
    """A large file, and small ones in folders of a hundred."""

    large: Path
    digest: str
    small: dict[str, bytes]

    @classmethod
    def make(cls, folder: Path, megabytes: int, count: int) -> Data:
        draw = random.Random(3)  # the same data in every run
        block, digest = draw.randbytes(1 << 20), hashlib.sha256()
        large = folder / "large.bin"
        with large.open("wb") as sink:
            for number in range(megabytes):
                chunk = number.to_bytes(8, "big") + block[8:]
                digest.update(chunk)
                sink.write(chunk)
        small = {f"{n // 100:03d}/{n:06d}.bin": draw.randbytes(SMALL_BYTES) for n in range(count)}
        return cls(large, digest.hexdigest(), small)

    @property
    def size(self) -> str:
        return f"{self.large.stat().st_size >> 20} MiB"

    def write(self, folder: Path) -> None:
        for name, content in self.small.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def joined(self, count: int) -> str:
        return digest_of(b"".join(list(self.small.values())[:count]))


@attrs.frozen
class Row:
    """``call`` of a column with ``args``, of a folder and a name that no other measurement has.

    ``right``: whether it did what it should, by the folder, the name and what the worker said.
    ``before`` and ``after`` are not timed. ``primed``: the same call went before, in the same
    folder; then ``change`` is called, and the call made once more, which must notice it.
    """

    title: str
    call: str
    args: Callable[[Path, str], list]
    right: Callable[[Path, str, dict], bool]
    before: Callable[[Path], object] = lambda folder: None
    after: Callable[[], object] = lambda: None
    primed: bool = False
    change: Callable[[], object] = lambda: None


def s3_rows(data: Data, s3: S3, reads: int) -> list[Row]:
    """Of a server that holds ``large.bin`` and the small objects below ``many/``."""
    names = [f"many/{name}" for name in data.small]
    first = names[0]
    now = dict(data.small)

    def many_right(folder: Path, name: str, said: dict) -> bool:
        want = {Path(name).name: digest_of(content) for name, content in now.items()}
        return digests_below(folder / "got") == want

    def large_right(folder: Path, name: str, said: dict) -> bool:
        return digest_of(s3.get(f"up/{name}")) == data.digest

    def many_sent(folder: Path, name: str, said: dict) -> bool:
        return all(s3.get(f"up/{name}/{key}") == content for key, content in data.small.items())

    def change() -> None:
        """Another version of one object, of the same size; and back."""
        key = first.removeprefix("many/")
        now[key] = now[key][::-1]
        s3.put(first, now[key])

    def clear() -> None:
        s3.clear("up/")

    many = f"{len(names)} x 16 KiB"
    return [
        Row(
            f"{data.size} down",
            "download",
            lambda folder, name: ["large.bin", str(folder / "got.bin")],
            lambda folder, name, said: digest_of_file(folder / "got.bin") == data.digest,
        ),
        Row(
            f"{data.size} up",
            "upload",
            lambda folder, name: [str(data.large), f"up/{name}"],
            large_right,
            after=clear,
        ),
        Row(
            f"{many} down",
            "download_all",
            lambda folder, name: ["many/", str(folder / "got")],
            many_right,
        ),
        Row(
            f"{many} again, unchanged",
            "download_all",
            lambda folder, name: ["many/", str(folder / "got")],
            many_right,
            primed=True,
            change=change,
        ),
        Row(
            f"{many} up",
            "upload_all",
            lambda folder, name: [str(folder / "files"), f"up/{name}/"],
            many_sent,
            before=lambda folder: data.write(folder / "files"),
            after=clear,
        ),
        Row(
            f"{reads} reads of 16 KiB",
            "read_each",
            lambda folder, name: [names[:reads]],
            lambda folder, name, said: said["digest"] == data.joined(reads),
        ),
    ]


def http_rows(data: Data, reads: int) -> list[Row]:
    """Of a server that holds the same files under the same names."""
    down, *_, small = s3_rows(data, S3([]), reads)
    return [down, small]


def local_rows(data: Data) -> list[Row]:
    return [
        Row(
            f"{data.size} copied",
            "download",
            lambda folder, name: [str(data.large), str(folder / "got.bin")],
            lambda folder, name, said: digest_of_file(folder / "got.bin") == data.digest,
            before=lambda folder: os.sync(),  # nobody waits for what others wrote
        )
    ]
