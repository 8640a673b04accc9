"""Exact percentiles of more values than memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGIT_BITS: Final = 16


class Percentiles:
    """Finds percentiles of values that pass by several times, 16 bits of them with each pass: one
    pass for dtypes of up to 16 bits, two for those of 32, four for float64.

    Values are looked up by keys, unsigned integers of the same order. A pass counts the next digit
    of those that begin with the digits found so far (radix selection), which takes half a megabyte
    for each order statistic that is looked for.
    """

    def __init__(self, dtype: np.dtype[Any], percentiles: Sequence[float]) -> None:
        self._dtype = dtype
        self._percentiles = tuple(percentiles)
        self._digit = min(_DIGIT_BITS, dtype.itemsize * 8)
        self._shift = dtype.itemsize * 8 - self._digit
        self._prefixes = [0]
        self._counts = self._no_counts()
        # The order statistics looked for: their rank among the values with a prefix, and which.
        self._targets: list[tuple[int, int]] | None = None
        self._weights: list[float] = []
        self.is_done = False

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """What is to be added to the counts of this pass for some of the values."""
        keys = _keys(values.astype(self._dtype, copy=False))
        bins = 1 << self._digit
        key = keys.dtype.type
        digits = ((keys >> key(self._shift)) & key(bins - 1)).astype(np.intp)
        if self._targets is None:
            return np.bincount(digits, minlength=bins)[np.newaxis]
        above = keys >> key(self._shift + self._digit)
        found = [
            np.bincount(digits[above == key(prefix)], minlength=bins) for prefix in self._prefixes
        ]
        return np.stack(found)

    def add(self, counts: NDArray[np.int64]) -> None:
        self._counts += counts

    def narrow(self) -> None:
        """End a pass: all values have been counted."""
        if self._targets is None:
            self._targets = self._first_targets(int(self._counts.sum()))
        ends = self._counts.cumsum(axis=1)
        prefixes: dict[int, int] = {}
        targets: list[tuple[int, int]] = []
        for rank, place in self._targets:
            digit = int(np.searchsorted(ends[place], rank, side="right"))
            before = int(ends[place, digit - 1]) if digit else 0
            prefix = self._prefixes[place] << self._digit | digit
            targets.append((rank - before, prefixes.setdefault(prefix, len(prefixes))))
        self._prefixes, self._targets = list(prefixes), targets
        self.is_done = self._shift == 0
        self._shift -= self._digit
        self._counts = self._no_counts()

    def values(self) -> list[float]:
        """The percentiles, between two values as numpy interpolates them."""
        assert self._targets is not None
        found = _values(self._prefixes, self._dtype)
        ends = [found[place] for _, place in self._targets]
        return [
            low + (high - low) * weight
            for low, high, weight in zip(ends[::2], ends[1::2], self._weights, strict=True)
        ]

    def _first_targets(self, total: int) -> list[tuple[int, int]]:
        targets: list[tuple[int, int]] = []
        for percentile in self._percentiles:
            position = percentile / 100 * (total - 1)
            low = int(position)
            targets += [(low, 0), (min(low + 1, total - 1), 0)]
            self._weights.append(position - low)
        return targets

    def _no_counts(self) -> NDArray[np.int64]:
        return np.zeros((len(self._prefixes), 1 << self._digit), np.int64)


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    """Unsigned integers in the order of the values."""
    unsigned = _unsigned(values.dtype)
    bits = np.ascontiguousarray(values).view(unsigned)
    if values.dtype.kind == "u":
        return bits
    sign = unsigned.type(1 << (values.dtype.itemsize * 8 - 1))
    if values.dtype.kind == "i":
        flipped: NDArray[Any] = bits ^ sign
        return flipped
    # Of IEEE 754 numbers the bits have the order of the values, backwards below zero.
    ordered: NDArray[Any] = np.where(bits & sign, ~bits, bits | sign)
    return ordered


def _values(keys: Sequence[int], dtype: np.dtype[Any]) -> list[float]:
    unsigned = _unsigned(dtype)
    bits = np.array(keys, unsigned)
    sign = unsigned.type(1 << (dtype.itemsize * 8 - 1))
    if dtype.kind == "i":
        bits = bits ^ sign
    elif dtype.kind == "f":
        bits = np.where(bits & sign, bits ^ sign, ~bits)
    return [float(value) for value in bits.view(dtype).tolist()]
