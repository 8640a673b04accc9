"""A file as it looks on a grid of another resolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from rv_pipeline.rasters._files import RasterFile
    from rv_pipeline.rasters._grid import Grid

_PIXELS: Final = 'LOCAL_CS["pixels",UNIT["metre",1]]'
"""Both sides are in the file's pixel coordinates, whatever its georeference: nothing but the
size of pixels changes, and images without a CRS or with a rotated one are as any other."""


def resampled(
    dataset: DatasetReader, file: RasterFile, grid: Grid, resampling: str, mask_band: int | None
) -> WarpedVRT:
    """The part of the grid that a file covers (see `Grid.place_of`), read window by window.

    ``mask_band``: the number of the band that is 0 where there are no data; it is added where the
    file itself has none of that number. Otherwise pixels without data have the nodata value.
    """
    x0, y0, x1, y1 = grid.place_of(file)
    pixels = CRS.from_wkt(_PIXELS)
    # GDAL would guess the scale from the window that is read, which differs from one to the next.
    options: dict[str, Any] = {"XSCALE": 1 / grid.col_step, "YSCALE": 1 / grid.row_step}
    if mask_band is not None and mask_band > file.count:
        options["add_alpha"] = True
    elif file.alphas:
        options["src_alpha"] = mask_band or -1  # -1: whatever GDAL calls an alpha band is none
    if file.mask == "nodata":
        options["src_nodata"] = file.nodata_held
    elif file.dtype.kind == "f":
        options["src_nodata"] = math.nan  # which would spread into the pixels around
    return WarpedVRT(
        dataset,
        src_crs=pixels,
        crs=pixels,
        src_transform=Affine.identity(),
        transform=grid.source_of(file),
        width=x1 - x0,
        height=y1 - y0,
        resampling=Resampling[resampling],
        UNIFIED_SRC_NODATA="YES",  # one band of the nodata value is a color as any other
        **options,
    )
