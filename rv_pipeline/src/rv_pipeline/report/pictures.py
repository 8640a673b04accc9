"""Pixels of any kind as pictures that a screen can show, of bounded size.

The rule: the first three bands are red, green and blue; of fewer, the first is grey. uint8 is shown
as it is. Of anything else each band is stretched so that its 2nd percentile over what is shown
becomes black and its 98th white. Pixels without data are transparent.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import numpy as np
from PIL import Image

from rv_core import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.rasters import RasterSource

PERCENTILES: Final = (2.0, 98.0)
MAX_SIDE: Final = 1600
"""Pixels on the long side of a picture, at most."""

_TILE: Final = 2048  # px: read at a time, so that memory does not grow with the scene
_QUALITIES: Final = (84, 76, 66)


@attrs.frozen
class Picture:
    """An encoded picture of ``width`` x ``height`` px; ``alt`` says what it shows."""

    media_type: str
    data: bytes = attrs.field(repr=False)
    width: int
    height: int
    alt: str = ""

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` URI."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@attrs.frozen(eq=False)
class Overview:
    """A scene made small: ``pixels`` [h, w, 1 or 3] of the raster's dtype or float32, ``nodata``
    bool [h, w], each pixel the mean of ``factor`` x ``factor`` of the raster's."""

    pixels: NDArray[Any]
    nodata: NDArray[np.bool_]
    factor: int


def read_overview(raster: RasterSource, max_side: int = MAX_SIDE, *, raw: bool = False) -> Overview:
    """What `shown` makes a picture of: the bands that are displayed, averaged over areas.

    Reads tile by tile. ``raw``: before the raster's transformers.
    """
    extent = raster.extent
    factor = max(1, -(-max(extent.width, extent.height) // max_side))
    height, width = -(-extent.height // factor), -(-extent.width // factor)
    dtype = raster.raw_dtype if raw else raster.dtype
    bands = 3 if raster.bands >= 3 else 1
    pixels = np.zeros((height, width, bands), dtype if factor == 1 else np.float32)
    nodata = np.ones((height, width), np.bool_)
    read = raster.read_raw if raw else raster.read
    for window in _tiles(extent, factor):
        part, missing = read(window)
        mean, empty = _averaged(part[:, :, :bands], missing, factor)
        top = (window.row_off - extent.row_off) // factor
        left = (window.col_off - extent.col_off) // factor
        place = (slice(top, top + mean.shape[0]), slice(left, left + mean.shape[1]))
        pixels[place], nodata[place] = mean, empty
    if dtype == np.uint8 and factor > 1:
        pixels = np.rint(pixels).astype(np.uint8)
    return Overview(pixels, nodata, factor)


def _tiles(extent: Window, factor: int) -> Iterator[Window]:
    step = max(1, _TILE // factor) * factor
    for row in range(0, extent.height, step):
        for col in range(0, extent.width, step):
            width, height = min(step, extent.width - col), min(step, extent.height - row)
            yield Window(extent.col_off + col, extent.row_off + row, width, height)


def _averaged(
    pixels: NDArray[Any], missing: NDArray[np.bool_] | None, factor: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Means over squares of the pixels that have data; squares at the far edges may be cut."""
    if factor == 1:
        return pixels, np.zeros(pixels.shape[:2], np.bool_) if missing is None else missing
    if missing is None and pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).reduce(factor)
        reduced = np.asarray(image).reshape(image.height, image.width, -1)
        return reduced, np.zeros(reduced.shape[:2], np.bool_)
    rows = np.arange(0, pixels.shape[0], factor)
    cols = np.arange(0, pixels.shape[1], factor)
    valid = np.ones(pixels.shape[:2], np.bool_) if missing is None else ~missing
    counts = np.add.reduceat(np.add.reduceat(valid, rows, 0, np.float32), cols, 1, np.float32)
    values = pixels * valid[:, :, np.newaxis]
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0, np.float32), cols, 1, np.float32)
    return sums / np.maximum(counts, 1)[:, :, np.newaxis], counts == 0


def shown(pixels: NDArray[Any], nodata: NDArray[np.bool_] | None = None) -> Image.Image:
    """Pixels [H, W, C] as an RGBA image by the rule above; without data: transparent."""
    height, width = pixels.shape[:2]
    bands = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1]
    if bands.dtype != np.uint8:
        bands = _stretched(bands, nodata)
    rgba = np.full((height, width, 4), 255, np.uint8)
    rgba[:, :, :3] = bands
    if nodata is not None:
        rgba[nodata] = 0
    return Image.fromarray(rgba)


def _stretched(bands: NDArray[Any], nodata: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    result = np.zeros(bands.shape, np.uint8)
    has_data = np.ones(bands.shape[:2], np.bool_) if nodata is None else ~nodata
    for band in range(bands.shape[2]):
        values = bands[:, :, band].astype(np.float64)
        finite = values[has_data & np.isfinite(values)]
        if not finite.size:
            continue
        low, high = np.percentile(finite, PERCENTILES)
        if high <= low:  # one value only: neither black nor white
            low, high = low - 1, low + 1
        scaled = (np.nan_to_num(values, nan=low) - low) / (high - low)
        result[:, :, band] = np.rint(np.clip(scaled, 0, 1) * 255)
    return result


def checkered(image: Image.Image, square: int = 8) -> Image.Image:
    """An RGB image in which what was transparent shows a checkerboard."""
    rows, cols = np.ogrid[: image.height, : image.width]
    dark = (rows // square + cols // square) % 2 == 0
    board = np.where(dark, np.uint8(200), np.uint8(228))
    under = Image.fromarray(board).convert("RGBA")
    return Image.alpha_composite(under, image.convert("RGBA")).convert("RGB")


def encode(
    image: Image.Image,
    kind: Literal["photo", "drawing"],
    max_bytes: int,
    alt: str = "",
) -> Picture:
    """The image as WebP: ``photo``: with loss; ``drawing``: without, for flat colors.

    What is larger than ``max_bytes`` is made coarser, and then smaller, until it fits.
    """
    while True:
        opaque = image.mode != "RGBA" or image.getchannel("A").getextrema() == (255, 255)
        image = image.convert("RGB") if opaque else image
        # Without loss, "quality" is how hard to try: more takes twice as long for one percent.
        for quality in _QUALITIES if kind == "photo" else (50,):
            stream = io.BytesIO()
            image.save(stream, "WEBP", quality=quality, lossless=kind == "drawing", method=2)
            if stream.tell() <= max_bytes or max(image.size) <= 64:
                return Picture("image/webp", stream.getvalue(), *image.size, alt)
        smaller = (max(1, image.width * 3 // 4), max(1, image.height * 3 // 4))
        filter_ = Image.Resampling.BOX if kind == "photo" else Image.Resampling.NEAREST
        image = image.resize(smaller, filter_)


def to_png(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()
