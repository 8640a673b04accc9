"""Where a raster holds data, found out by looking at as little of it as will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rv_core import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.rasters.source import RasterSource

    Ints = NDArray[np.int64]

_TILE: Final = 256  # px: what is read at a time, as large as the blocks of most files
_ROUNDING: Final = 1e-3  # px: places drawn in another CRS lie on a border but for this much


def holds_data(raster: RasterSource, places: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which places [N, 4] (x0, y0, x1, y1 in pixels, half-open) touch a pixel with data.

    A tile of the raster is read once at most, and only where a place touches it of which no pixel
    with data is known yet. What lies beyond the raster holds none. Raises `DataError` for a file
    that is damaged.
    """
    low = np.floor(places[:, :2] + _ROUNDING)
    high = np.maximum(np.ceil(places[:, 2:] - _ROUNDING), low + 1)
    ends = (raster.width, raster.height) * 2
    within = np.hstack([low, high]).clip(0, ends).astype(np.int64)
    there = (within[:, 0] < within[:, 2]) & (within[:, 1] < within[:, 3])
    if not raster.may_lack_data:
        return there
    found = np.zeros(len(places), np.bool_)
    tiles, members = _by_tile(within, np.flatnonzero(there))
    for (row, col), touching in zip((tiles * _TILE).tolist(), members, strict=True):
        asked = touching[~found[touching]]
        if not len(asked):
            continue
        width, height = min(_TILE, raster.width - col), min(_TILE, raster.height - row)
        _, nodata = raster.read_raw(Window(col, row, width, height))
        if nodata is None:
            found[asked] = True
        elif not nodata.all():
            parts = (within[asked] - (col, row, col, row)).clip(0, _TILE).tolist()
            found[asked] = [not nodata[y0:y1, x0:x1].all() for x0, y0, x1, y1 in parts]
    return found


def _by_tile(within: Ints, asked: Ints) -> tuple[Ints, list[Ints]]:
    """The tiles [T, 2] (row, col) that the places ``asked`` touch, row by row, and of each which
    places those are."""
    first, last = within[asked, :2] // _TILE, (within[asked, 2:] - 1) // _TILE
    across, down = (last - first + 1).T
    place = np.repeat(np.arange(len(asked)), across * down)
    turn = np.arange(len(place)) - np.repeat(
        np.cumsum(across * down) - across * down, across * down
    )
    rows = first[place, 1] + turn // across[place]
    cols = first[place, 0] + turn % across[place]
    order = np.lexsort((cols, rows))
    tiles, starts = np.unique(
        np.stack([rows, cols], axis=1)[order].reshape(-1, 2), axis=0, return_index=True
    )
    return tiles, np.split(asked[place[order]], starts[1:]) if len(tiles) else []
