"""Where the pixels that are read lie: the files' own grid, cut, moved and resampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from affine import Affine

from rv_core import ConfigError
from rv_pipeline.windows import to_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rasterio.crs import CRS

    from rv_pipeline.rasters._files import RasterFile
    from rv_pipeline.rasters.config import RasterConfig

SAME_RESOLUTION: Final = 1e-6
"""Resolutions that differ by less, relatively, are the same: nothing is resampled."""


@attrs.frozen
class Grid:
    """The pixels of a raster: ``height`` x ``width`` of them, whose ``transform`` takes pixel
    coordinates to the CRS.

    The upper left corner of the first one lies at column ``left``, row ``top`` of the grid that the
    files make together, and each is as large as ``col_step`` x ``row_step`` pixels of theirs.
    """

    width: int
    height: int
    transform: Affine
    left: int
    top: int
    col_step: float
    row_step: float

    @property
    def is_resampled(self) -> bool:
        return (self.col_step, self.row_step) != (1.0, 1.0)

    def place_of(self, file: RasterFile) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the pixels of this grid, and within it, whose centres the file covers:
        those of files side by side do not overlap."""
        x0, x1 = _span(file.col_off - self.left, file.width, self.col_step, self.width)
        y0, y1 = _span(file.row_off - self.top, file.height, self.row_step, self.height)
        return x0, y0, x1, y1

    def source_of(self, file: RasterFile) -> Affine:
        """Takes pixel coordinates within `place_of` the file (from its corner on) to the file's
        own."""
        x0, y0, _, _ = self.place_of(file)
        left = self.left + x0 * self.col_step - file.col_off
        top = self.top + y0 * self.row_step - file.row_off
        return Affine(self.col_step, 0.0, left, 0.0, self.row_step, top)


def grid_of(files: Sequence[RasterFile], config: RasterConfig) -> Grid:
    """The grid of files that are arranged, as a config wants it.

    Raises `ConfigError` for a crop or a resolution that leaves nothing, and for metres where there
    is no CRS.
    """
    first = files[0]
    width = max(f.col_off + f.width for f in files)
    height = max(f.row_off + f.height for f in files)
    left = top = 0
    if (crop := config.extent_crop) is not None:
        left, right = round(crop.left * width), width - round(crop.right * width)
        top, bottom = round(crop.top * height), height - round(crop.bottom * height)
        if left >= right or top >= bottom:
            raise ConfigError(
                f"extent_crop leaves nothing of {first.uri}, which has {width} x {height} px"
            )
        width, height = right - left, bottom - top
    # The mosaic's origin, for which the first file stands somewhere in it.
    transform = _moved(first.transform, left - first.col_off, top - first.row_off)
    col_step, row_step = _steps(first, transform, width, height, config)
    if (col_step, row_step) != (1.0, 1.0):
        cols, rows = _centres(width / col_step), _centres(height / row_step)
        if cols < 1 or rows < 1:
            raise ConfigError(
                f"a resolution of {config.resolution:g} {config.resolution_units} leaves nothing "
                f"of {first.uri}: its {width} x {height} px are {width / col_step:.2g} x "
                f"{height / row_step:.2g} of such pixels",
                hint="resolution is the size of a pixel",
            )
        width, height = cols, rows
        t = transform
        transform = Affine(t.a * col_step, t.b * row_step, t.c, t.d * col_step, t.e * row_step, t.f)
    if config.shift is not None and any(config.shift):
        x, y = _shift(first, transform, width, height, config.shift)
        t = transform
        transform = Affine(t.a, t.b, t.c + x, t.d, t.e, t.f + y)
    return Grid(width, height, transform, left, top, col_step, row_step)


def _span(offset: int, length: int, step: float, size: int) -> tuple[int, int]:
    """The pixels whose centres lie between the ends of a length, in pixels of the files."""
    start, stop = _centres(offset / step), _centres((offset + length) / step)
    return min(max(0, start), size), max(0, min(stop, size))


def _centres(end: float) -> int:
    """The first pixel whose centre lies at this place or behind it."""
    return math.ceil(end - 0.5)


def _moved(transform: Affine, cols: int, rows: int) -> Affine:
    """The geotransform of a raster whose first pixel lies so many columns and rows further."""
    t = transform
    west, north = to_map(np.array([[cols, rows]], np.float64), t)[0].tolist()
    return Affine(t.a, t.b, west, t.d, t.e, north)


def _steps(
    file: RasterFile, transform: Affine, width: int, height: int, config: RasterConfig
) -> tuple[float, float]:
    """How many of the file's pixels one pixel is wide and high."""
    if config.resolution is None:
        return 1.0, 1.0
    if config.resolution_units == "m":
        _check_crs(file, "resolution", "set resolution_units to 'crs': there it is in pixels")
        sizes = _metres(file.crs, transform, width, height)
    else:
        t = transform
        sizes = float(np.hypot(t.a, t.d)), float(np.hypot(t.b, t.e))
    col_step, row_step = (config.resolution / size for size in sizes)
    if max(abs(col_step - 1), abs(row_step - 1)) < SAME_RESOLUTION:
        return 1.0, 1.0
    return col_step, row_step


def _check_crs(file: RasterFile, what: str, hint: str) -> None:
    if file.crs is None:
        raise ConfigError(
            f"the {what} of {file.uri} cannot be in metres: the raster has no CRS", hint=hint
        )


def _metres(crs: CRS | None, transform: Affine, width: int, height: int) -> tuple[float, float]:
    """The width and height of a pixel in metres: those of the CRS's plane, or on the ground at the
    raster's centre where it is in degrees."""
    assert crs is not None
    t = transform
    if not crs.is_geographic:
        metres = _metres_per_unit(crs)
        return float(np.hypot(t.a, t.d)) * metres, float(np.hypot(t.b, t.e)) * metres
    from pyproj import Geod

    x, y = width / 2, height / 2
    centre, right, below = _lonlat(crs, transform, np.array([[x, y], [x + 1, y], [x, y + 1]]))
    geod = Geod(ellps="WGS84")
    return (
        float(geod.inv(*centre, *right)[2]),
        float(geod.inv(*centre, *below)[2]),
    )


def _shift(
    file: RasterFile, transform: Affine, width: int, height: int, metres: tuple[float, float]
) -> tuple[float, float]:
    """What a shift in metres is in units of the CRS."""
    _check_crs(file, "shift", "give the image a georeference, or its labels other coordinates")
    assert file.crs is not None
    x, y = metres
    if not file.crs.is_geographic:
        unit = _metres_per_unit(file.crs)
        return x / unit, y / unit
    from pyproj import Geod

    ((lon, lat),) = _lonlat(file.crs, transform, np.array([[width / 2, height / 2]]))
    moved_lon, moved_lat, _ = Geod(ellps="WGS84").fwd(
        lon, lat, np.degrees(np.arctan2(x, y)), np.hypot(x, y)
    )
    per_unit = _degrees_per_unit(file.crs)
    return float(moved_lon - lon) / per_unit, float(moved_lat - lat) / per_unit


def _metres_per_unit(crs: CRS) -> float:
    return float(crs.linear_units_factor[1])


def _degrees_per_unit(crs: CRS) -> float:
    return float(np.degrees(crs.units_factor[1]))


def _lonlat(crs: CRS, transform: Affine, pixels: NDArray[Any]) -> list[tuple[float, float]]:
    """Longitude and latitude in degrees, on the CRS's own ellipsoid: the difference to another is
    nothing here."""
    points = to_map(pixels.astype(np.float64), transform) * _degrees_per_unit(crs)
    return [(x, y) for x, y in points.tolist()]
