"""The outlines of equal pixels as polygons.

Each pixel has four sides; a side between different values is an edge, directed so that its pixel
lies to the right. Edges in a straight line are one run, and the runs follow each other around the
pixels into rings: at the end of a run either the pixel ahead has another value, and the ring turns
right around its own pixel, or the pixel ahead to the left has the same value too, and the ring
turns left. All of it is array arithmetic; there is no step per pixel or per corner.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
"""The sides of a pixel; followed east, south, west and north."""


@attrs.frozen(eq=False)
class _Runs:
    """Straight runs of edges [M]: ``side``; ``first`` and ``last``, the pixels of their ends as
    they are followed; ``x`` and ``y``, where they start. Those of one side lie together, from
    ``starts[side]`` on, in order of the pixel that is at their upper or left end, ``low``, counted
    along the runs' direction."""

    side: Ints
    first: Ints
    last: Ints
    x: Ints
    y: Ints
    low: Ints
    starts: Ints


def trace(
    mask: NDArray[np.uint8], nothing: int = 255, corner: tuple[int, int] = (0, 0)
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Polygons [N] in pixel coordinates (x = column, y = row), and their values [N].

    ``corner``: (x, y) of the mask's upper left corner. One polygon for each group of equal pixels
    that are connected by their sides, valid, with its holes, corners only. Pixels of the value
    ``nothing`` are in none.
    """
    padded = np.pad(mask, 1, constant_values=nothing)
    runs = _find_runs(padded, nothing)
    if len(runs.side) == 0:
        return np.empty(0, object), np.empty(0, np.uint8)
    following = _follow(padded, runs)
    ring = _least(following)
    if _part_at_pinches(padded, runs, following, ring):
        ring = _least(following)
    order, starts = _in_order(following, ring)
    return _polygons(padded, runs, order, starts, corner)


def _find_runs(padded: NDArray[np.uint8], nothing: int) -> _Runs:
    """All runs; pixels are numbered row by row in the padded mask."""
    width = padded.shape[1]
    found = []
    for side in range(4):
        # Columns are scanned as rows of the transposed mask.
        level = side in (_TOP, _BOTTOM)
        values = padded if level else np.ascontiguousarray(padded.T)
        beside = np.roll(values, 1 if side in (_TOP, _LEFT) else -1, axis=0)
        edge = (values != beside) & (values != nothing)
        joined = edge[:, 1:] & edge[:, :-1] & (values[:, 1:] == values[:, :-1])
        begins, ends = edge.copy(), edge.copy()
        begins[:, 1:] &= ~joined
        ends[:, :-1] &= ~joined
        low, high = np.flatnonzero(begins), np.flatnonzero(ends)
        across = values.shape[1]
        pixels = [key if level else key % across * width + key // across for key in (low, high)]
        if side in (_BOTTOM, _LEFT):
            pixels.reverse()
        first, last = pixels
        x = first % width - 1 + (side in (_RIGHT, _BOTTOM))
        y = first // width - 1 + (side in (_BOTTOM, _LEFT))
        found.append((np.full(len(low), side), first, last, x, y, low))
    side_of, first_of, last_of, x_of, y_of, low_of = map(np.concatenate, zip(*found, strict=True))
    starts = np.cumsum([0, *(len(rows[0]) for rows in found)])
    return _Runs(side_of, first_of, last_of, x_of, y_of, low_of, starts)


def _steps(width: int) -> tuple[Ints, Ints]:
    """From a pixel to the one ahead, and from there to the one on the left, by side."""
    return np.array([1, width, -1, -width]), np.array([-width, 1, width, -1])


def _follow(padded: NDArray[np.uint8], runs: _Runs) -> Ints:
    """The run [M] that comes after each run around its own pixels."""
    values = padded.reshape(-1)
    ahead_by, left_by = _steps(padded.shape[1])
    ahead = runs.last + ahead_by[runs.side]
    turns_left = values[ahead] == values[runs.last]
    pixel = np.where(turns_left, ahead + left_by[runs.side], runs.last)
    side = (runs.side + np.where(turns_left, 3, 1)) % 4
    following = np.empty(len(runs.side), np.int64)
    at = np.empty(values.shape, np.int32)
    for number, (start, stop) in enumerate(pairwise(runs.starts.tolist())):
        at[runs.first[start:stop]] = np.arange(start, stop)
        chosen = side == number
        following[chosen] = at[pixel[chosen]]
    return following


def _least(following: Ints) -> Ints:
    """The least run [M] of the ring that each run is on.

    Each round looks twice as far ahead. Where one changes nothing, the runs along a ring that
    looked no further than to each other agree, and together they saw all of it.
    """
    least, ahead = np.arange(len(following)), following
    while True:
        lower = np.minimum(least, least[ahead])
        if np.array_equal(lower, least):
            return least
        least, ahead = lower, ahead[ahead]


def _part_at_pinches(padded: NDArray[np.uint8], runs: _Runs, following: Ints, ring: Ints) -> bool:
    """Part rings that touch themselves where two of their pixels meet at a corner only, as rings of
    valid polygons must not: the two runs that end there exchange what follows them.

    Such corners never interleave along a ring, since it does not cross itself: parting it at one
    leaves the others as they are. Returns whether there were any.
    """
    values = padded.reshape(-1)
    ahead_by, left_by = _steps(padded.shape[1])
    ahead = runs.last + ahead_by[runs.side]
    own = values[runs.last]
    pinched = np.flatnonzero((values[ahead] != own) & (values[ahead + left_by[runs.side]] == own))
    after = following[pinched]
    corner = (runs.y[after] * padded.shape[1] + runs.x[after]) * 256 + own[pinched]
    pinched = pinched[np.argsort(corner, kind="stable")]
    one, other = pinched[0::2], pinched[1::2]
    same = ring[one] == ring[other]
    one, other = one[same], other[same]
    following[one], following[other] = following[other], following[one]
    return len(one) > 0


def _in_order(following: Ints, ring: Ints) -> tuple[Ints, Ints]:
    """The runs in the order of their rings, each from its least run on, and where in it each ring
    starts. ``ring``: what `_least` says."""
    everyone = np.arange(len(following))
    before = np.empty_like(following)
    before[following] = everyone
    roots = np.flatnonzero(ring == everyone)
    # Steps back to the ring's least run: each round goes twice as far.
    steps = (ring != everyone).astype(np.int64)
    before[roots] = roots
    while not np.array_equal(before, ring):
        steps += steps[before]
        before = before[before]
    lengths = np.bincount(ring, minlength=len(ring))[roots]
    starts = np.cumsum(lengths) - lengths
    start_of = np.empty_like(following)
    start_of[roots] = starts
    order = np.empty_like(following)
    order[start_of[ring] + steps] = everyone
    return order, starts


def _polygons(
    padded: NDArray[np.uint8], runs: _Runs, order: Ints, starts: Ints, corner: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    x, y = runs.x[order], runs.y[order]
    lengths = np.diff(starts, append=len(order))
    ring = np.repeat(np.arange(len(starts)), lengths)
    after = np.arange(1, len(order) + 1)
    after[starts + lengths - 1] = starts
    is_hole = np.add.reduceat(x * y[after] - x[after] * y, starts) < 0
    owner = _owners(padded, runs, order, starts, ring, is_hole)
    # Rings sorted by the polygon they belong to, its outer ring first; each ends where it began.
    sorted_rings = np.lexsort((is_hole, owner))
    lengths = lengths[sorted_rings]
    ends = np.cumsum(lengths + 1)
    places = np.arange(ends[-1]) - np.repeat(ends - lengths - 1, lengths + 1)
    places %= np.repeat(lengths, lengths + 1)
    places += np.repeat(starts[sorted_rings], lengths + 1)
    points = (np.stack([x[places], y[places]], axis=1) + corner).astype(np.float64)
    outer = np.flatnonzero(~is_hole[sorted_rings])
    polygons: NDArray[Any] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        points,
        (np.concatenate([[0], ends]), np.concatenate([outer, [len(sorted_rings)]])),
    )
    first = runs.first[order[starts[sorted_rings[outer]]]]
    return polygons, padded.reshape(-1)[first]


def _owners(
    padded: NDArray[np.uint8],
    runs: _Runs,
    order: Ints,
    starts: Ints,
    ring: Ints,
    is_hole: NDArray[np.bool_],
) -> Ints:
    """The outer ring that each ring belongs to.

    From the leftmost point of a hole one goes left through pixels of its polygon, up to where they
    end: at the outer ring, or at another hole that lies further left.
    """
    holes = np.flatnonzero(is_hole)
    owner = np.arange(len(starts))
    if len(holes) == 0:
        return owner
    height, width = padded.shape
    # The leftmost run of each hole that goes along the right side of its pixels.
    candidates = np.flatnonzero(is_hole[ring] & (runs.side[order] == _RIGHT))
    candidates = candidates[np.lexsort((runs.x[order[candidates]], ring[candidates]))]
    _, chosen = np.unique(ring[candidates], return_index=True)
    pixel = runs.first[order[candidates[chosen]]]
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    changes = changes // (width - 1) * width + changes % (width - 1) + 1
    begin = changes[np.searchsorted(changes, pixel, "right") - 1]
    left = slice(runs.starts[_LEFT], runs.starts[_LEFT + 1])
    key = begin % width * height + begin // width  # as the runs of left sides are sorted
    at_left = runs.starts[_LEFT] + np.searchsorted(runs.low[left], key, "right") - 1
    ring_of_run = np.empty(len(order), np.int64)
    ring_of_run[order] = ring
    owner[holes] = ring_of_run[at_left]
    while is_hole[owner].any():
        owner = owner[owner]
    return owner
