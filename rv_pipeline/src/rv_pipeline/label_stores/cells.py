"""Labelled cells as GeoJSON: one polygon a cell, with its class and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_pipeline.label_stores.geojson import (
    Placement,
    class_properties,
    not_stored,
    quads,
    read_quads,
    write_features,
)
from rv_pipeline.windows import corners, from_corners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel, Window
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.config import Crs

_BATCH: Final = 5_000  # features formatted at a time


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
    crs: Crs = "EPSG:4326",
) -> None:
    """Write cells with the properties ``class_id``, ``class_name`` and, where there are scores,
    ``score`` (of that class) and ``scores`` (by class name). Cells without a class (-1) are left
    out.

    ``crs``: ``"EPSG:4326"``, or ``"image"``: the raster's. The file appears under its name once it
    is whole.
    """
    placement = Placement(raster, crs)
    write_features(uri, _features(cells, classes, placement), placement, kernel)


def _features(cells: Cells, classes: ClassMap, placement: Placement) -> Iterator[dict[str, Any]]:
    labelled = np.flatnonzero(np.asarray(cells.class_ids) >= 0)
    for start in range(0, len(labelled), _BATCH):
        chosen = labelled[start : start + _BATCH].tolist()
        points = corners([cells.windows[i] for i in chosen])
        yield from quads(points, (_properties(cells, i, classes) for i in chosen), placement)


def _properties(cells: Cells, index: int, classes: ClassMap) -> dict[str, Any]:
    class_id = int(cells.class_ids[index])
    properties = class_properties(classes, class_id)
    if cells.scores is not None:
        scores = [round(float(score), 6) for score in cells.scores[index]]
        properties["score"] = scores[class_id]
        properties["scores"] = dict(zip(classes.names, scores, strict=True))
    return properties


def read_cells(uri: str, raster: RasterSource, classes: ClassMap, kernel: Kernel) -> Cells:
    """The cells that `write_cells` wrote for this raster, to the pixel.

    Raises `NotFoundError` where there is no file, `DataError` where it holds something else or a
    class that is not in ``classes``.
    """
    found = read_quads(uri, raster, classes, kernel, "cells")
    by_name = [properties.get("scores") for properties in found.properties]
    scores = None
    if by_name and None not in by_name:
        try:
            rows = [[s[name] for name in classes.names] for s in by_name if s is not None]
            scores = np.array(rows, np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise not_stored(uri, "cells", error) from error
    return Cells(from_corners(found.corners), found.class_ids, scores)
