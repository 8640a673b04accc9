"""The checksums that S3 keeps of objects, and what they are compared with.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html: of the whole
object, or *composite*: the checksum of the parts' checksums, followed by how many parts there are.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import attrs
from awscrt import checksums as crt

from rv_core import IntegrityError

BLOCK_BYTES: Final = 1 << 20
_KINDS: Final = {"COMPOSITE": True, "FULL_OBJECT": False}
_NAMES: Final = ("CRC64NVME", "CRC32C", "CRC32", "SHA256", "SHA1")


class Digest(Protocol):
    """As those of hashlib."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc:
    """A CRC that grows with what it has seen."""

    def __init__(self, of: Callable[[Any, int], int], size: int) -> None:
        self._of = of
        self._size = size
        self.value = 0

    def update(self, data: bytes | memoryview) -> None:
        self.value = self._of(data, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(self._size, "big")


_DIGESTS: Final[Mapping[str, Callable[[], Digest]]] = {
    "CRC64NVME": lambda: Crc(crt.crc64nvme, 8),
    "CRC32C": lambda: Crc(crt.crc32c, 4),
    "CRC32": lambda: Crc(crt.crc32, 4),
    "SHA256": lambda: hashlib.sha256(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
}


@attrs.frozen
class Checksum:
    """What the server says of an object: ``value`` in base64; ``composite``: of the parts'
    checksums, ``None`` where that is not told; ``parts``: how many there are, where it is told."""

    algorithm: str
    value: str
    composite: bool | None = False
    parts: int | None = None


class Tally:
    """Compares what goes by with the checksum of the whole, as long as it comes in order."""

    def __init__(self, expected: Checksum, size: int, shown: str) -> None:
        self._expected = expected
        self._size = size
        self._shown = shown
        self._digest = _DIGESTS[expected.algorithm]()
        self._seen = 0

    @property
    def complete(self) -> bool:
        """Whether all went by and was right."""
        return self._seen == self._size

    def saw(self, start: int, data: bytes) -> None:
        """Raises `IntegrityError` at the end of what is not the object."""
        if start != self._seen or not data:
            return
        self._digest.update(data)
        self._seen += len(data)
        if self.complete and _text(self._digest) != self._expected.value:
            raise damaged(self._shown, self._expected.algorithm)


def told(answer: Mapping[str, Any]) -> Checksum | None:
    """The checksum in an answer of GetObject, HeadObject, PutObject or CompleteMultipartUpload."""
    kind = answer.get("ChecksumType")
    for name in _NAMES:
        if found := answer.get(f"Checksum{name}"):
            value, _, parts = found.partition("-")
            if parts.isdecimal():
                return Checksum(name, value, True, int(parts))
            if kind in _KINDS:
                return Checksum(name, value, _KINDS[kind])
            # Of an object of parts it may be either; such objects' etags tell how many.
            return Checksum(name, value, None if "-" in answer.get("ETag", "") else False)
    return None


def of_blocks(algorithm: str, blocks: Iterable[bytes | memoryview]) -> Digest:
    digest = _DIGESTS[algorithm]()
    for block in blocks:
        digest.update(block)
    return digest


def of_file(path: Path, algorithm: str, part_sizes: Iterable[int] | None = None) -> str:
    """The checksum of a file in base64; with ``part_sizes`` in bytes, of the parts' checksums."""
    with path.open("rb", buffering=0) as stream:
        # Read, not mapped: the pages of a map count as memory of this process.
        if part_sizes is None:
            return _text(of_blocks(algorithm, _blocks(stream, path.stat().st_size)))
        whole = _DIGESTS[algorithm]()
        for size in part_sizes:
            whole.update(of_blocks(algorithm, _blocks(stream, size)).digest())
        return _text(whole)


def damaged(shown: str, algorithm: str) -> IntegrityError:
    return IntegrityError(
        f"{shown} arrived damaged: its {algorithm} checksum is not the one the server keeps",
        hint="try again; if it happens again, the object or the network is damaged",
    )


def text_of(checksum: int, size: int = 8) -> str:
    return base64.b64encode(checksum.to_bytes(size, "big")).decode()


def _text(digest: Digest) -> str:
    return base64.b64encode(digest.digest()).decode()


def _blocks(stream: Any, size: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(min(BLOCK_BYTES, max(size, 1))))
    while size > 0 and (count := stream.readinto(buffer[: min(len(buffer), size)])):
        size -= count
        yield buffer[:count]
