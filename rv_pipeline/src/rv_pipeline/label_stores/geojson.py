"""Labelled cells as GeoJSON: one polygon a cell, with its class and scores."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from rv_core import DataError
from rv_pipeline.windows import corners, from_corners, to_map, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel, Window
    from rv_pipeline.rasters import RasterSource

logger = logging.getLogger(__name__)

CellsCrs = Literal["image", "EPSG:4326"]

_WGS84: Final = "EPSG:4326"
_BATCH: Final = 5_000  # features formatted at a time
_PIXEL_SHARE: Final = 1e-3  # of a pixel: what coordinates are rounded to


@attrs.frozen(eq=False)
class Cells:
    """Labelled cells of a scene: ``windows`` [N], ``class_ids`` int64 [N] (0..n-1), ``scores``
    float32 [N, n] or ``None``."""

    windows: Sequence[Window]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32] | None = None


def write_cells(
    uri: str,
    cells: Cells,
    raster: RasterSource,
    classes: ClassMap,
    kernel: Kernel,
    *,
    crs: CellsCrs = "EPSG:4326",
) -> None:
    """Write cells with the properties ``class_id``, ``class_name`` and, where there are scores,
    ``score`` (of that class) and ``scores`` (by class name). Cells without a class (-1) are left
    out.

    ``crs``: ``"EPSG:4326"``, as the GeoJSON standard wants it, or ``"image"``: the raster's, named
    in the ``crs`` member that GDAL and QGIS read. For a raster without CRS the coordinates are its
    own (pixels: x right, y down), and the file says so in the member ``coordinates``.

    The file appears under its name once it is whole.
    """
    with kernel.files.open(uri, "wb") as stream:
        stream.write(_head(raster, crs).encode())
        separator = "\n"
        for feature in _features(cells, raster, classes, crs):
            stream.write(f"{separator}{feature}".encode())
            separator = ",\n"
        stream.write(b"\n]}\n")


def _head(raster: RasterSource, crs: CellsCrs) -> str:
    members: dict[str, Any] = {"type": "FeatureCollection"}
    if raster.crs is None:
        if crs == _WGS84:
            logger.warning(
                "%s has no CRS: its cells are written in its own coordinates", raster.uri
            )
        members["coordinates"] = "pixels of the image: x right, y down from its upper left corner"
        if not raster.transform.is_identity:
            members["coordinates"] = "those of the image's world file, which names no CRS"
    elif crs == "image":
        members["crs"] = {"type": "name", "properties": {"name": _crs_urn(raster)}}
    return json.dumps(members)[:-1] + ', "features": ['


def _crs_urn(raster: RasterSource) -> str:
    assert raster.crs is not None
    authority = raster.crs.to_authority()
    if authority:
        return f"urn:ogc:def:crs:{authority[0]}::{authority[1]}"
    return str(raster.crs.to_wkt())


def _features(
    cells: Cells, raster: RasterSource, classes: ClassMap, crs: CellsCrs
) -> Iterator[str]:
    """The cells as JSON, one at a time."""
    transformer = None
    if raster.crs is not None and crs == _WGS84:
        transformer = Transformer.from_crs(raster.crs.to_wkt(), _WGS84, always_xy=True)
    labelled = np.flatnonzero(np.asarray(cells.class_ids) >= 0)
    for start in range(0, len(labelled), _BATCH):
        chosen = labelled[start : start + _BATCH]
        windows = [cells.windows[i] for i in chosen]
        points = to_map(corners(windows).reshape(-1, 2), raster.transform)
        if transformer is not None:
            points = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
        rings = _rounded(points.reshape(-1, 4, 2), windows[0])
        for ring, index in zip(rings.tolist(), chosen.tolist(), strict=True):
            class_id = int(cells.class_ids[index])
            properties: dict[str, Any] = {
                "class_id": class_id,
                "class_name": classes.name_of(class_id),
            }
            if cells.scores is not None:
                scores = [round(float(score), 6) for score in cells.scores[index]]
                properties["score"] = scores[class_id]
                properties["scores"] = dict(zip(classes.names, scores, strict=True))
            yield json.dumps(
                {
                    "type": "Feature",
                    "properties": properties,
                    "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                },
                ensure_ascii=False,
            )


def _rounded(rings: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Coordinates without the digits that mean less than a thousandth of a pixel."""
    edge = np.abs(rings[0, 1] - rings[0, 0]).max() / window.height
    finite = math.isfinite(edge) and edge > 0
    decimals = max(0, math.ceil(-math.log10(edge * _PIXEL_SHARE))) if finite else 12
    return rings.round(decimals)


def read_cells(uri: str, raster: RasterSource, classes: ClassMap, kernel: Kernel) -> Cells:
    """The cells that `write_cells` wrote for this raster, to the pixel.

    Raises `NotFoundError` where there is no file, `DataError` where it holds something else or a
    class that is not in ``classes``.
    """
    text = kernel.files.read_str(uri)
    try:
        data = json.loads(text)
        features = data["features"]
        rings = [feature["geometry"]["coordinates"][0][:4] for feature in features]
        names = [feature["properties"]["class_name"] for feature in features]
        points = np.array(rings, np.float64).reshape(-1, 2)
        source = data["crs"]["properties"]["name"] if data.get("crs") else _WGS84
        by_name = [feature["properties"].get("scores") for feature in features]
        scores = None
        if by_name and None not in by_name:
            scores = np.array([[s[n] for n in classes.names] for s in by_name], np.float32)
        if raster.crs is not None:
            way = Transformer.from_crs(
                CRS.from_user_input(source), raster.crs.to_wkt(), always_xy=True
            )
            points = np.column_stack(way.transform(points[:, 0], points[:, 1]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, CRSError) as error:
        raise DataError(
            f"{uri} does not hold labelled cells: {error!r}", hint="run PREDICT again"
        ) from error
    unknown = sorted(set(names) - set(classes.names))
    if unknown:
        raise DataError(
            f"{uri} holds cells of the class {unknown[0]!r}; the classes are "
            f"{', '.join(classes.names)}",
            hint="run PREDICT again with these classes",
        )
    ids = np.array([classes.id_of(name) for name in names], np.int64)
    windows = from_corners(to_pixels(points, raster.transform).reshape(-1, 4, 2))
    return Cells(windows, ids, scores)
