"""TFRecord framing and the ``tf.train.Example`` message, without TensorFlow.

A worker that cuts chips would spend seconds and hundreds of megabytes on importing TensorFlow,
for two small formats: https://www.tensorflow.org/tutorials/load_data/tfrecord gives the framing,
tensorflow/core/example/feature.proto the message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = bytes | str | int | float | Sequence[int] | Sequence[float]

CASTAGNOLI: Final = 0x82F63B78
"""The polynomial of CRC-32C (RFC 3720), bits reversed."""

BLOCK: Final = 1024
"""Bytes whose checksum is looked up at once; the table takes BLOCK KiB."""

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3


def frame(record: bytes) -> bytes:
    """A record as a TFRecord file holds it: its length and its bytes, each with a checksum."""
    length = struct.pack("<Q", len(record))
    return b"".join(
        (
            length,
            struct.pack("<I", _masked_crc(length)),
            record,
            struct.pack("<I", _masked_crc(record)),
        )
    )


def _masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C, block by block: the register after a block is the old one moved on by the block's
    length, xor the contribution of each byte, which its value and its place decide."""
    import numpy as np

    values = np.frombuffer(data, np.uint8)
    first = len(values) % BLOCK
    register = _advance(0xFFFFFFFF, values[:first])
    if len(values) >= BLOCK:
        table, offsets = _table()
        blocks = values[first:].reshape(-1, BLOCK)
        contributions = np.bitwise_xor.reduce(table[blocks + offsets], axis=1)
        for contribution in contributions.tolist():
            register = _moved_by_block(register) ^ contribution
    return register ^ 0xFFFFFFFF


def _advance(register: int, values: NDArray[np.uint8]) -> int:
    """The register after fewer bytes than a block has."""
    import numpy as np

    if len(values) < 4:
        step = _byte_table()
        for value in values.tolist():
            register = (register >> 8) ^ step[(register ^ value) & 0xFF]
        return register
    table, offsets = _table()
    mixed = values.copy()
    mixed[:4] ^= np.frombuffer(struct.pack("<I", register), np.uint8)
    return int(np.bitwise_xor.reduce(table[mixed + offsets[BLOCK - len(values) :]]))


def _moved_by_block(register: int) -> int:
    """The register after a block of zeros: its four bytes count as the block's first."""
    a, b, c, d = _first_tables()
    return (
        a[register & 0xFF]
        ^ b[(register >> 8) & 0xFF]
        ^ c[(register >> 16) & 0xFF]
        ^ d[register >> 24]
    )


@cache
def _byte_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (CASTAGNOLI if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return table


@cache
def _table() -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """The contribution of a byte's value at each place of a block, flat, and where each place's
    256 values begin in it."""
    import numpy as np

    step = np.array(_byte_table(), np.uint32)
    rows = np.empty((BLOCK, 256), np.uint32)
    rows[-1] = step
    for place in range(BLOCK - 2, -1, -1):
        later = rows[place + 1]
        rows[place] = (later >> np.uint32(8)) ^ step[later & 0xFF]
    return rows.ravel(), np.arange(BLOCK, dtype=np.intp) * 256


@cache
def _first_tables() -> list[list[int]]:
    table, _ = _table()
    return table[: 4 * 256].reshape(4, 256).tolist()


def example(features: Mapping[str, Value]) -> bytes:
    """A serialized ``tf.train.Example`` of these features; numbers may be lists."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _feature(value)))
        for name, value in features.items()
    )
    return _field(1, entries)


def _feature(value: Value) -> bytes:
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, bytes):
        return _field(_BYTES, _field(1, value))
    values: Sequence[Any] = value if isinstance(value, Sequence) else [value]
    if any(isinstance(v, float) for v in values):
        return _field(_FLOATS, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(_INTEGERS, _field(1, b"".join(_varint(int(v)) for v in values)))


def _field(number: int, content: bytes) -> bytes:
    """A field of wire type 2: its tag, its length, its bytes."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # two's complement, as int64 is sent
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
