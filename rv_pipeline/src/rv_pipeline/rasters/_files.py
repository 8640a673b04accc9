"""What there is to know of a raster file before its pixels are read."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs
import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning

from rv_core import DataError
from rv_pipeline.rasters._gdal import READ_ERRORS, gdal_session, one_line
from rv_pipeline.windows import to_pixels

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

    from rv_pipeline.rasters._remote import RemoteFile

logger = logging.getLogger(__name__)

_PNG_TAIL_BYTES: Final = 1 << 16  # some programs append a little of their own

MaskKind = Literal["none", "nodata", "alpha", "mask"]
Stamp = tuple[int, int, int]
"""What changes when a local file does."""


@attrs.frozen(eq=False)
class RasterFile:
    """A raster file's header.

    ``uri`` is what the user calls the file, ``path`` where it lies; ``remote`` reads one that GDAL
    goes to the storage for, and then ``path`` is empty. ``stamp``: of the version on this machine
    that the header was read from. ``mask``: what tells pixels without data: nothing, the value
    ``nodata``, the alpha band (number ``alpha``, from 1), or a mask beside the bands. ``alphas``:
    the numbers, from 1, of all alpha bands. ``col_off``, ``row_off``: the place of the file's upper
    left pixel in its mosaic.
    """

    uri: str
    path: str
    width: int
    height: int
    count: int
    dtype: np.dtype[np.generic]
    crs: CRS | None
    transform: Affine
    mask: MaskKind
    nodata: float | None
    alphas: tuple[int, ...]
    stamp: Stamp | None = None
    remote: RemoteFile | None = None
    col_off: int = 0
    row_off: int = 0

    @property
    def nodata_held(self) -> float | int | None:
        """The nodata value as pixels can hold it; ``None`` where they cannot."""
        value = self.nodata
        if value is None:
            return None
        if self.dtype.kind == "f":
            with np.errstate(over="ignore"):
                held = np.float64(value).astype(self.dtype)
            return None if np.isinf(held) and not np.isinf(value) else value
        span = np.iinfo(str(self.dtype))
        holds = float(value).is_integer() and span.min <= value <= span.max
        return int(value) if holds else None

    def shown(self, message: str) -> str:
        """What GDAL says, with the file called as the user does, and without secrets."""
        if self.remote is not None:
            return self.remote.shown(message)
        return message.replace(self.path, self.uri)

    def check_unchanged(self) -> None:
        """Raises `DataError` where another file lies at the path by now."""
        if self.stamp is not None and stamp_of(self.path) != self.stamp:
            raise changed(self.uri)


def changed(uri: str) -> DataError:
    return DataError(
        f"the raster {uri} changed while it was in use",
        hint="let nothing write to it meanwhile, and run again",
    )


def stamp_of(path: str) -> Stamp | None:
    """``None`` for what is no file, such as a dataset inside of one, or is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116  # asked for each window
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def open_dataset(uri: str, path: str) -> DatasetReader:
    """The file, open for reading; raises `DataError` where it is not a raster."""
    try:
        with gdal_session(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pictures are welcome
            return rasterio.open(path)
    except READ_ERRORS as error:
        raise DataError(
            f"cannot read the raster {uri}: {one_line(error).replace(path, uri)}",
            hint="is it a whole image file, in a format that GDAL reads?",
        ) from error


def read_header(uri: str, path: str, nodata: float | None = None) -> RasterFile:
    """The header of a file; ``nodata`` takes the place of the file's own value.

    Raises `DataError` where the file is not a raster or has no pixels that can be used.
    """
    stamp = stamp_of(path)
    with open_dataset(uri, path) as dataset:
        if dataset.driver == "PNG":
            _check_png_is_whole(uri, path)
        return attrs.evolve(header_of(dataset, uri, nodata), path=path, stamp=stamp)


def header_of(dataset: DatasetReader, uri: str, nodata: float | None) -> RasterFile:
    """The header of an open file, without its path; otherwise as `read_header`."""
    if dataset.count == 0:
        raise DataError(
            f"the raster {uri} has no bands of its own",
            hint=f"name one of its subdatasets: {', '.join(dataset.subdatasets[:3])}",
        )
    dtype = np.result_type(*dataset.dtypes)
    if dtype.kind not in "uif":
        raise DataError(f"the raster {uri} has pixels of dtype {dtype}, which are no numbers")
    if dataset.transform.is_degenerate:
        raise DataError(f"the raster {uri} has a geotransform that cannot be inverted")
    if dataset.transform.is_identity and dataset.gcps[0]:
        logger.warning(
            "%s has ground control points and no geotransform: it is read as a picture without a "
            "place; warp it to give it one",
            uri,
        )
    alphas = tuple(
        band
        for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if meaning == ColorInterp.alpha and dataset.count > 1
    )
    value = dataset.nodata if nodata is None else nodata
    return RasterFile(
        uri=uri,
        path="",
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtype=dtype,
        crs=dataset.crs or None,
        transform=dataset.transform,
        mask=_mask_kind(dataset, value, alphas),
        nodata=value,
        alphas=alphas,
    )


def _check_png_is_whole(uri: str, path: str) -> None:
    """GDAL reads a PNG that was cut off without a word, and leaves the missing rows as they were
    in memory: so look for the chunk that ends every PNG."""
    with Path(path).open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _PNG_TAIL_BYTES))
        if b"IEND" not in stream.read():
            raise DataError(
                f"cannot read the raster {uri}: the PNG file ends before the image does",
                hint="the file was cut off: fetch or make it again",
            )


def _mask_kind(dataset: DatasetReader, nodata: float | None, alphas: tuple[int, ...]) -> MaskKind:
    if nodata is not None:
        return "nodata"
    if alphas:
        return "alpha"
    if any(MaskFlags.per_dataset in flags for flags in dataset.mask_flag_enums):
        return "mask"
    return "none"


def arrange(files: Sequence[RasterFile]) -> tuple[RasterFile, ...]:
    """The files with their places in one grid of pixels, that of the first file's resolution.

    Raises `DataError` naming two files that do not fit together. A file that lies a fraction of a
    pixel off the grid is moved onto it.
    """
    if len(files) == 1:
        return tuple(files)
    first = files[0]
    for file in files:
        _check_fits(first, file)
    corners = np.array([(f.transform.c, f.transform.f) for f in files])
    cols, rows = np.rint(to_pixels(corners, first.transform)).astype(int).T.tolist()
    return tuple(
        attrs.evolve(file, col_off=col - min(cols), row_off=row - min(rows))
        for file, col, row in zip(files, cols, rows, strict=True)
    )


def _check_fits(first: RasterFile, other: RasterFile) -> None:
    def refuse(what: str, a: object, b: object) -> None:
        raise DataError(
            f"{first.uri} and {other.uri} make no mosaic: their {what} differs, {a} and {b}",
            hint="warp or translate them to the same first, or make them scenes of their own",
        )

    if first.transform.is_identity or other.transform.is_identity:
        raise DataError(
            f"{first.uri} and {other.uri} make no mosaic: one has no georeference",
            hint="make them scenes of their own",
        )
    if first.crs != other.crs:
        refuse("CRS", crs_name(first.crs), crs_name(other.crs))
    a, b = first.transform, other.transform
    drift = max(other.width, other.height) * max(
        abs(x - y) for x, y in zip((a.a, a.b, a.d, a.e), (b.a, b.b, b.d, b.e), strict=True)
    )
    if drift > 0.5 * abs(a.determinant) ** 0.5:  # half a pixel at the far end
        refuse("resolution", (a.a, a.e), (b.a, b.e))
    if first.count != other.count:
        refuse("number of bands", first.count, other.count)
    if first.dtype != other.dtype:
        refuse("dtype", first.dtype, other.dtype)


def crs_name(crs: CRS | None) -> str:
    """How to call a CRS in a message: ``EPSG:32633``, or the name in its WKT."""
    if crs is None:
        return "no CRS"
    authority = crs.to_authority()
    if authority:
        return ":".join(authority)
    parts = crs.to_wkt().split('"')
    return parts[1] if len(parts) > 1 else "an unnamed CRS"
