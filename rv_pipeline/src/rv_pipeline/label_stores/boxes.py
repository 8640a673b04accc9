"""Boxes as GeoJSON: one polygon of four corners a box, with its class and score."""

from __future__ import annotations

from collections.abc import Iterator
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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.config import Crs

_BATCH: Final = 5_000  # features formatted at a time


@attrs.frozen(eq=False)
class StoredBoxes:
    """Boxes of a scene: ``boxes`` float64 [M, 4] (ymin, xmin, ymax, xmax in pixels of the scene,
    half-open), ``class_ids`` int64 [M] (0..n-1), ``scores`` float32 [M] or ``None``."""

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)


def write_boxes(
    uri: str,
    found: StoredBoxes,
    raster: RasterSource,
    classes: ClassMap,
    kernel: Kernel,
    *,
    crs: Crs = "EPSG:4326",
) -> int:
    """Write boxes with the properties ``class_id``, ``class_name`` and, where there are scores,
    ``score``; returns how many. Of a class with a color, ``stroke`` and ``fill`` say how to draw
    it.

    Where a raster is turned, or the CRS is not its own, the polygons are not upright: their corners
    are those of the box, to a thousandth of a pixel. ``crs``: ``"EPSG:4326"``, or ``"image"``: the
    raster's. The file appears under its name once it is whole.
    """
    placement = Placement(raster, crs)
    return write_features(uri, _features(found, classes, placement), placement, kernel)


def _features(
    found: StoredBoxes, classes: ClassMap, placement: Placement
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(found), _BATCH):
        chosen = range(start, min(start + _BATCH, len(found)))
        # Upper left, lower left, lower right, upper right: counterclockwise where north is up.
        corners = found.boxes[chosen.start : chosen.stop][:, [1, 0, 1, 2, 3, 2, 3, 0]]
        properties = (_properties(found, index, classes) for index in chosen)
        yield from quads(corners.reshape(-1, 4, 2), properties, placement)


def _properties(found: StoredBoxes, index: int, classes: ClassMap) -> dict[str, Any]:
    properties = class_properties(classes, int(found.class_ids[index]))
    if found.scores is not None:
        properties["score"] = round(float(found.scores[index]), 6)
    return properties


def read_boxes(uri: str, raster: RasterSource, classes: ClassMap, kernel: Kernel) -> StoredBoxes:
    """The boxes that `write_boxes` wrote for this raster, to a thousandth of a pixel.

    Raises `NotFoundError` where there is no file, `DataError` where it holds something else or a
    class that is not in ``classes``.
    """
    stored = read_quads(uri, raster, classes, kernel, "boxes")
    low, high = stored.corners.min(axis=1), stored.corners.max(axis=1)
    boxes = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)
    values = [properties.get("score") for properties in stored.properties]
    scores = None
    if values and None not in values:
        try:
            scores = np.array(values, np.float32)
        except (TypeError, ValueError) as error:
            raise not_stored(uri, "boxes", error) from error
    return StoredBoxes(boxes, stored.class_ids, scores)
