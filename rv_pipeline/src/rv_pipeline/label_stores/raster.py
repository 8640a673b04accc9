"""Segmentation as rasters: Cloud-Optimized GeoTIFFs put together from parts.

A part is the local file of a block: band 1 holds class ids (255: nothing was predicted), further
bands, where they are wanted, the probability of each class. The parts become one virtual mosaic,
and GDAL copies that tile by tile: memory depends on neither the scene nor the number of parts.

Probabilities are stored as uint8, 0..254 for 0..1, and 255 where there are none; the file says so
by ``scale`` and ``offset``, which GDAL and QGIS apply.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from xml.etree import ElementTree as ET

import numpy as np

from rv_core import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Window
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.task import Part

PROBABILITY_STEPS: Final = 254
"""The stored value of probability 1."""

TILE: Final = 512
"""Height and width of the tiles of files and parts."""

_COPY_CACHE_BYTES: Final = 32 << 20
_DRAWN_AS: Final = ("red", "green", "blue", "alpha")


class PartWriter:
    """Writes the part of a block, row by row; a context manager."""

    def __init__(self, path: Path, block: Window, probability_bands: int = 0) -> None:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        self._block = block
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._file = rasterio.open(
                path,
                "w",
                driver="GTiff",
                width=block.width,
                height=block.height,
                count=1 + probability_bands,
                dtype="uint8",
                interleave="band",
                tiled=True,
                blockxsize=TILE,
                blockysize=TILE,
                compress="deflate",
                zlevel=1,
                sparse_ok=True,
                bigtiff="if_safer",
            )

    def write(
        self,
        window: Window,
        class_ids: NDArray[np.uint8],
        probabilities: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write ``class_ids`` [H, W] and stored probabilities [n, H, W] of a window, in the
        coordinates of the scene, that lies in the block."""
        left = window.col_off - self._block.col_off
        top = window.row_off - self._block.row_off
        place = ((top, top + window.height), (left, left + window.width))
        self._file.write(class_ids, 1, window=place)
        if probabilities is not None:
            bands = list(range(2, 2 + len(probabilities)))
            self._file.write(probabilities, bands, window=place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def stored_probabilities(
    probabilities: NDArray[np.float32], missing: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Probabilities [n, H, W] as they are stored; ``missing`` [H, W]: where there are none."""
    scaled = np.clip(probabilities, 0, 1) * np.float32(PROBABILITY_STEPS)
    stored: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    stored[:, missing] = UNLABELLED
    return stored


def best_classes(
    probabilities: NDArray[np.float32], missing: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The most probable class [H, W] of probabilities [n, H, W], the first of equals; 255 where
    they are ``missing`` [H, W]."""
    best = probabilities[0].copy()
    ids = np.zeros(best.shape, np.uint8)
    for class_id in range(1, len(probabilities)):
        better = probabilities[class_id] > best
        ids[better] = class_id
        np.maximum(best, probabilities[class_id], out=best)
    ids[missing] = UNLABELLED
    return ids


def write_classes(
    path: Path, raster: RasterSource, classes: ClassMap, parts: Sequence[Part]
) -> None:
    """The class ids as one band with the classes' colors, nodata 255, overviews by nearest pixel.

    The tag ``RV_CLASSES`` holds the names in the order of their ids, as JSON.
    """
    vrt = _mosaic(raster, {"RV_CLASSES": json.dumps(classes.names)})
    band = _band(vrt, 1, "Palette")
    table = ET.SubElement(band, "ColorTable")
    colors = [(*rgb, 255) for rgb in _colors(classes)]
    for entry in [*colors, *[(0, 0, 0, 0)] * (256 - len(colors))]:
        ET.SubElement(table, "Entry", {f"c{i}": str(c) for i, c in enumerate(entry, start=1)})
    for part in parts:
        _source(band, part, 1)
    _copy_as_cog(vrt, path, "nearest")


def write_probabilities(
    path: Path, raster: RasterSource, classes: ClassMap, parts: Sequence[Part]
) -> None:
    """One band a class, named after it, of uint8-scaled probabilities; averaged in overviews."""
    tags = {
        "RV_CLASSES": json.dumps(classes.names),
        "RV_PROBABILITY": f"value / {PROBABILITY_STEPS}; {UNLABELLED}: no data",
    }
    vrt = _mosaic(raster, tags)
    for number, name in enumerate(classes.names, start=1):
        band = _band(vrt, number, "Gray" if number == 1 else "Undefined")
        ET.SubElement(band, "Description").text = name
        ET.SubElement(band, "Offset").text = "0"
        ET.SubElement(band, "Scale").text = repr(1 / PROBABILITY_STEPS)
        for part in parts:
            _source(band, part, number + 1)
    _copy_as_cog(vrt, path, "average")


def write_rgb(path: Path, raster: RasterSource, classes: ClassMap, parts: Sequence[Part]) -> None:
    """The classes in their colors as red, green, blue and alpha: a picture that needs no color
    table; transparent where nothing was predicted."""
    vrt = _mosaic(raster, {})
    colors = [(*rgb, 255) for rgb in _colors(classes)]
    for channel, meaning in enumerate(_DRAWN_AS):
        band = _band(vrt, channel + 1, meaning.capitalize(), nodata=None)
        values = [f"{i}:{color[channel]}" for i, color in enumerate(colors)]
        table = ",".join([*values, f"{len(colors)}:0", f"{UNLABELLED}:0"])
        for part in parts:
            _source(band, part, 1, table)
    _copy_as_cog(vrt, path, "nearest")


def _colors(classes: ClassMap) -> list[tuple[int, int, int]]:
    from rv_pipeline.report.palette import colors_of, rgb_of

    return [rgb_of(color) for color in colors_of(classes)]


def _mosaic(raster: RasterSource, tags: dict[str, str]) -> ET.Element:
    """A virtual dataset of GDAL's (VRT) that lies where the raster does."""
    size = {"rasterXSize": str(raster.width), "rasterYSize": str(raster.height)}
    vrt = ET.Element("VRTDataset", size)
    if raster.crs is not None:
        ET.SubElement(vrt, "SRS").text = raster.crs.to_wkt(version="WKT2_2019")
    t = raster.transform
    if not t.is_identity:
        numbers = (t.c, t.a, t.b, t.f, t.d, t.e)
        ET.SubElement(vrt, "GeoTransform").text = ", ".join(map(repr, numbers))
    metadata = ET.SubElement(vrt, "Metadata")
    for name, text in tags.items():
        ET.SubElement(metadata, "MDI", key=name).text = text
    return vrt


def _band(
    vrt: ET.Element, number: int, meaning: str, nodata: int | None = UNLABELLED
) -> ET.Element:
    band = ET.SubElement(vrt, "VRTRasterBand", dataType="Byte", band=str(number))
    if nodata is not None:
        ET.SubElement(band, "NoDataValue").text = str(nodata)
    ET.SubElement(band, "ColorInterp").text = meaning
    return band


def _source(band: ET.Element, part: Part, number: int, table: str | None = None) -> None:
    """A band of a part as a piece of a band of the mosaic; ``table``: which values become which."""
    source = ET.SubElement(band, "SimpleSource" if table is None else "ComplexSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(part.path)
    ET.SubElement(source, "SourceBand").text = str(number)
    block = part.block
    size = {"xSize": str(block.width), "ySize": str(block.height)}
    ET.SubElement(
        source,
        "SourceProperties",
        RasterXSize=size["xSize"],
        RasterYSize=size["ySize"],
        DataType="Byte",
        BlockXSize=str(TILE),
        BlockYSize=str(TILE),
    )
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    place = {"xOff": str(block.col_off), "yOff": str(block.row_off)}
    ET.SubElement(source, "DstRect", {**place, **size})
    if table is not None:
        ET.SubElement(source, "LUT").text = table


def _copy_as_cog(vrt: ET.Element, path: Path, resampling: str) -> None:
    import rasterio
    import rasterio.shutil

    from rv_pipeline.rasters import gdal_session

    options: dict[str, Any] = {
        "BLOCKSIZE": TILE,
        "COMPRESS": "DEFLATE",
        "LEVEL": 3,  # half the time of the default 6, for a fifth more bytes
        "OVERVIEW_RESAMPLING": resampling.upper(),
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    mosaic = path.with_name(f".{path.name}.vrt")
    try:
        ET.ElementTree(vrt).write(mosaic, encoding="utf-8")
        # Each block is read once: a large cache would only fill up with the mosaic's.
        with gdal_session(), rasterio.Env(GDAL_CACHEMAX=_COPY_CACHE_BYTES):
            rasterio.shutil.copy(mosaic, path, driver="COG", **options)
    finally:
        mosaic.unlink(missing_ok=True)
