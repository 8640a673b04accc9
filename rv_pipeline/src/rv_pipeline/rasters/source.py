"""A raster to read windows from: one file, or several as a mosaic."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import numpy as np

from rv_core import ConfigError, DataError, Window
from rv_pipeline.rasters._files import RasterFile, arrange, open_dataset
from rv_pipeline.rasters._gdal import READ_ERRORS, gdal_session, one_line
from rv_pipeline.rasters._grid import grid_of
from rv_pipeline.rasters._quiet_logs import quiet
from rv_pipeline.rasters._remote import locate
from rv_pipeline.rasters.transformers import Transformer, make_transformer, result_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT

    from rv_core import Kernel
    from rv_pipeline.rasters.config import RasterConfig
    from rv_pipeline.statistics import RasterStats

    Pixels = tuple[NDArray[Any], NDArray[np.bool_] | None]

logger = logging.getLogger(__name__)

MAX_OPEN_FILES: Final = 64
"""Files of a mosaic that one thread keeps open at a time."""


@attrs.frozen(eq=False)
class _Opened:
    """What is read of a file: itself, or a view of ``source`` on another grid. ``turn``: of a
    remote file, when it was opened."""

    dataset: DatasetReader | WarpedVRT
    source: DatasetReader | None
    turn: int

    def close(self) -> None:
        for dataset in (self.dataset, self.source):
            if dataset is not None:
                with quiet(), suppress(*READ_ERRORS):
                    dataset.close()


class RasterSource:
    """Reads windows of a raster; memory does not depend on the raster's size.

    May be shared between threads, inherited by a forked process and sent to another one: each
    thread of each process opens the files for itself, at its first read.
    """

    def __init__(
        self,
        files: tuple[RasterFile, ...],
        config: RasterConfig,
        stats: RasterStats | None = None,
    ) -> None:
        """``files``: headers arranged in one grid, as `RasterSource.open` makes them."""
        first = files[0]
        self.files = files
        self.config = config
        self.stats = stats
        self.uri = first.uri if len(files) == 1 else f"{first.uri} (and {len(files) - 1} more)"
        self.grid = grid_of(files, config)
        self.width, self.height = self.grid.width, self.grid.height
        self.crs: CRS | None = first.crs
        self.transform = self.grid.transform
        self.channels = _channels(first, config)
        self.raw_dtype = first.dtype
        self._nodata = tuple(f.nodata_held for f in files)
        self._mask_bands = tuple(self._mask_band(f) for f in files)
        self._places = np.array([self.grid.place_of(f) for f in files])
        # Where a pixel of the raster is in the dataset that is read for a file.
        self._origins = self._places[:, :2].tolist()
        if not self.grid.is_resampled:
            left, top = self.grid.left, self.grid.top
            self._origins = [(f.col_off - left, f.row_off - top) for f in files]
        self._transformers: tuple[Transformer, ...] | None = None
        self._local = threading.local()

    @classmethod
    def open(
        cls, config: RasterConfig, kernel: Kernel, stats: RasterStats | None = None
    ) -> RasterSource:
        """The raster of a config, its headers read.

        Raises `NotFoundError` for a file that is missing, `DataError` for one that cannot be read
        or does not fit into the mosaic.
        """
        headers = [locate(uri, kernel, config) for uri in config.uris]
        return cls(arrange(headers), config, stats)

    @property
    def raw_bands(self) -> int:
        """The number of channels of what `read_raw` returns."""
        return len(self.channels)

    @property
    def bands(self) -> int:
        """The number of channels of what `read` returns."""
        return self._result[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what `read` returns."""
        return self._result[0]

    @property
    def _result(self) -> tuple[np.dtype[Any], int]:
        dtype, bands = self.raw_dtype, self.raw_bands
        for config in self.config.transformers:
            dtype, bands = result_of(config, dtype, bands)
        return dtype, bands

    @property
    def may_lack_data(self) -> bool:
        """Whether some of its pixels may be without data: what the headers say."""
        maskless = all(file.mask == "none" for file in self.files)
        gapless = len(self.files) == 1 and not self.grid.is_resampled
        return not (maskless and gapless) or self.raw_dtype.kind == "f"

    @property
    def extent(self) -> Window:
        """The window of the whole raster."""
        return Window(0, 0, self.width, self.height)

    def read(self, window: Window) -> Pixels:
        """The pixels [H, W, C] of a window and, where some are without data, which: bool [H, W].

        A window may reach beyond the raster. Pixels without data, there and inside, are 0.
        Raises `DataError` where the file is damaged.
        """
        pixels, nodata = self.read_raw(window)
        if self.config.transformers:
            for transform in self._made_transformers():
                pixels = transform(pixels, nodata)
        return pixels, nodata

    def read_raw(self, window: Window) -> Pixels:
        """`read` before the transformers: what statistics are made of."""
        with gdal_session():
            if len(self.files) == 1 and _inside(window, self.width, self.height):
                x, y = self._origins[0]
                return self._read_file(
                    0, window.col_off - x, window.row_off - y, window.width, window.height
                )
            return self._read_pieces(window)

    def _read_pieces(self, window: Window) -> Pixels:
        left, top = window.col_off, window.row_off
        right, bottom = left + window.width, top + window.height
        pixels = np.zeros((window.height, window.width, self.raw_bands), self.raw_dtype)
        missing = np.ones((window.height, window.width), np.bool_)
        x0, y0, x1, y1 = self._places.T
        for index in np.flatnonzero((x0 < right) & (x1 > left) & (y0 < bottom) & (y1 > top)):
            col, row = max(left, x0[index]), max(top, y0[index])
            width, height = min(right, x1[index]) - col, min(bottom, y1[index]) - row
            place = (slice(row - top, row - top + height), slice(col - left, col - left + width))
            x, y = self._origins[index]
            part, nodata = self._read_file(
                int(index), int(col) - x, int(row) - y, int(width), int(height)
            )
            fresh = missing[place] if nodata is None else missing[place] & ~nodata
            np.copyto(pixels[place], part, where=fresh[:, :, np.newaxis])
            missing[place] &= ~fresh
            if not missing.any():
                return pixels, None
        return pixels, missing

    def _read_file(self, index: int, col: int, row: int, width: int, height: int) -> Pixels:
        """A window that lies inside the dataset of a file, in that dataset's own pixels."""
        file = self.files[index]
        if file.remote is None:
            file.check_unchanged()
            return self._read_dataset(index, col, row, width, height)
        read = width * self.grid.col_step * height * self.grid.row_step
        share = read / (file.width * file.height)
        return file.remote.read(lambda: self._read_dataset(index, col, row, width, height), share)

    def _read_dataset(self, index: int, col: int, row: int, width: int, height: int) -> Pixels:
        file, mask_band = self.files[index], self._mask_bands[index]
        rows_cols = ((row, row + height), (col, col + width))
        bands = self.channels if mask_band is None else (*self.channels, mask_band)
        # GDAL fills the array pixel by pixel through the transposed view: no copy afterwards.
        pixels = np.empty((height, width, len(bands)), self.raw_dtype)
        mask = None
        try:
            dataset = self._dataset(index)
            dataset.read(bands, out=pixels.transpose(2, 0, 1), window=rows_cols)
            if file.mask == "mask" and mask_band is None:
                mask = dataset.read_masks(1, window=rows_cols) == 0
        except READ_ERRORS as error:
            raise DataError(
                f"cannot read the raster {file.uri} at column {col}, row {row}: "
                f"{file.shown(one_line(error.__cause__ or error))}",
                hint="the file is damaged or was cut off: fetch or make it again",
            ) from (error if file.remote is None else None)
        if mask_band is not None:
            mask = pixels[:, :, -1] == 0
            pixels = np.ascontiguousarray(pixels[:, :, :-1])
        return _clean(pixels, mask, self._nodata[index])

    def _mask_band(self, file: RasterFile) -> int | None:
        """The number of the band that is 0 where a file has no data; ``None``: none is read."""
        if file.mask == "alpha" and file.alphas[0] not in self.channels:  # chosen: it is pixels
            return file.alphas[0]
        return file.count + 1 if file.mask == "mask" and self.grid.is_resampled else None

    def _made_transformers(self) -> tuple[Transformer, ...]:
        if self._transformers is None:  # made late: ANALYZE opens rasters before it has statistics
            made: list[Transformer] = []
            dtype, bands = self.raw_dtype, self.raw_bands
            for config in self.config.transformers:
                made.append(make_transformer(config, self.stats, bands, dtype))
                dtype, bands = result_of(config, dtype, bands)
            self._transformers = tuple(made)
        return self._transformers

    def _dataset(self, index: int) -> DatasetReader | WarpedVRT:
        """The open file of this thread; the least recently used ones of a large mosaic close."""
        local = self._local
        if getattr(local, "pid", None) != os.getpid():
            # After a fork the parent's files share their offsets with ours: leave them alone.
            local.inherited = getattr(local, "open", None)
            local.open = OrderedDict()
            local.pid = os.getpid()
        files: OrderedDict[int, _Opened] = local.open
        remote = self.files[index].remote
        if (found := files.get(index)) is not None:
            if remote is None or remote.turn == found.turn:
                if len(self.files) > 1:
                    files.move_to_end(index)
                return found.dataset
            files.pop(index).close()  # by now it is read from elsewhere
        files[index] = opened = self._opened(self.files[index], self._mask_bands[index])
        if len(files) > MAX_OPEN_FILES:
            files.popitem(last=False)[1].close()
        return opened.dataset

    def _opened(self, file: RasterFile, mask_band: int | None) -> _Opened:
        turn = 0 if file.remote is None else file.remote.turn
        dataset = open_dataset(file.uri, file.path) if file.remote is None else file.remote.open()
        if not self.grid.is_resampled:
            return _Opened(dataset, None, turn)
        from rv_pipeline.rasters._resampling import resampled

        try:
            view = resampled(dataset, file, self.grid, self.config.resampling, mask_band)
        except BaseException:
            dataset.close()
            raise
        return _Opened(view, dataset, turn)

    def close(self) -> None:
        """Close the files that this thread opened; reading again opens them again."""
        if getattr(self._local, "pid", None) == os.getpid():
            for opened in self._local.open.values():
                opened.close()
            self._local.open.clear()
        for file in self.files:
            if file.remote is not None:
                file.remote.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.files, self.config, self.stats)

    def __repr__(self) -> str:
        shape = f"{self.height} x {self.width} x {self.bands}"
        return f"<RasterSource {self.uri}: {shape}, {self.dtype}>"


def _channels(file: RasterFile, config: RasterConfig) -> tuple[int, ...]:
    """The numbers, from 1, of the bands to read."""
    if config.channel_order is None:
        if file.alphas:
            logger.info(
                "%s: band %d is an alpha band: it tells which pixels have data, and is not read as "
                "a channel; channel_order can change that",
                file.uri,
                file.alphas[0] - 1,
            )
        return tuple(b for b in range(1, file.count + 1) if b not in file.alphas)
    beyond = [c for c in config.channel_order if c >= file.count]
    if beyond:
        raise ConfigError(
            f"channel_order asks for band {beyond[0]} of {file.uri}, which has {file.count} bands",
            hint=f"bands are counted from 0: 0..{file.count - 1}",
        )
    return tuple(c + 1 for c in config.channel_order)


def _inside(window: Window, width: int, height: int) -> bool:
    return (
        window.col_off >= 0
        and window.row_off >= 0
        and window.col_off + window.width <= width
        and window.row_off + window.height <= height
    )


def _clean(
    pixels: NDArray[Any], mask: NDArray[np.bool_] | None, nodata: float | int | None
) -> Pixels:
    """Pixels without data set to 0, and which they are.

    A pixel is without data where the mask says so, or where all its bands are ``nodata`` or not
    finite; a single band that is not finite is set to 0.
    """
    if nodata is not None and not math.isnan(nodata):
        mask = _or(mask, _all_bands(pixels, nodata))
    if pixels.dtype.kind == "f":
        broken = ~np.isfinite(pixels)
        if broken.any():
            mask = _or(mask, broken.all(axis=-1))
            pixels[broken] = 0
    if mask is None or not mask.any():
        return pixels, None
    pixels[mask] = 0
    return pixels, mask


def _all_bands(pixels: NDArray[Any], value: float) -> NDArray[np.bool_] | None:
    """Where every band has the value; band by band, which is many times faster than ``all``."""
    same: NDArray[np.bool_] = pixels[:, :, 0] == value
    for band in range(1, pixels.shape[2]):
        if not same.any():
            return None
        same &= pixels[:, :, band] == value
    return same


def _or(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b
