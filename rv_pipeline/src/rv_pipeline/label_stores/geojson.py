"""GeoJSON over a raster: from its pixels to coordinates of a file, and back.

What the stores of cells, boxes and polygons share. Coordinates are in EPSG:4326, as the GeoJSON
standard wants it (longitude first, and no ``crs`` member), or in the raster's CRS, which GDAL and
QGIS read from that member. For a raster without CRS they are its own (pixels: x right, y down), and
the file says so in the member ``coordinates``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from rv_core import DataError
from rv_pipeline.windows import to_map, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.tasks.config import Crs

logger = logging.getLogger(__name__)

_WGS84: Final = "EPSG:4326"
_STANDARD: Final = (("EPSG", "4326"), ("OGC", "CRS84"))  # what GeoJSON is in if it names no CRS
_LINES: Final = 1_000  # features that are written at a time
_PIXEL_SHARE: Final = 1e-3  # of a pixel: what coordinates are rounded to, at most


@attrs.frozen(eq=False, slots=False)
class Placement:
    """The way from a raster's pixels to the coordinates of a file in ``crs``."""

    raster: RasterSource
    crs: Crs

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel coordinates [..., 2] (x, y) as the file's, without the digits that mean less than a
        thousandth of a pixel."""
        flat = self._moved(points.reshape(-1, 2))
        return flat.round(self._decimals).reshape(points.shape)

    def members(self) -> dict[str, Any]:
        """The members of the file beside its features."""
        raster = self.raster
        members: dict[str, Any] = {"type": "FeatureCollection"}
        if raster.crs is None:
            if self.crs == _WGS84:
                logger.warning(
                    "%s has no CRS: what is found in it is written in its own coordinates",
                    raster.uri,
                )
            members["coordinates"] = (
                "pixels of the image: x right, y down from its upper left corner"
            )
            if not raster.transform.is_identity:
                members["coordinates"] = "those of the image's world file, which names no CRS"
        elif self.crs == "image" and (authority := raster.crs.to_authority()) not in _STANDARD:
            name = f"urn:ogc:def:crs:{authority[0]}::{authority[1]}" if authority else None
            members["crs"] = {
                "type": "name",
                "properties": {"name": name or str(raster.crs.to_wkt())},
            }
        return members

    def _moved(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        points = to_map(points, self.raster.transform)
        return points if self._way is None else self._way(points)

    @cached_property
    def _way(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
        return to_lonlat(self.raster) if self.crs == _WGS84 else None

    @cached_property
    def _decimals(self) -> int:
        """Enough for a thousandth of the shortest way from a pixel in the middle to the next."""
        x, y = self.raster.width // 2, self.raster.height // 2
        at, right, down = self._moved(np.array([(x, y), (x + 1, y), (x, y + 1)], np.float64))
        way = float(min(np.abs(right - at).max(), np.abs(down - at).max()))
        if not math.isfinite(way) or way <= 0:
            return 12
        return max(0, math.ceil(-math.log10(way * _PIXEL_SHARE)))


def to_lonlat(
    raster: RasterSource,
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """From coordinates [N, 2] of a raster's CRS to longitude and latitude [N, 2]; ``None`` where it
    has no CRS. Across the date line longitudes go on counting from those of the raster's centre, so
    that what lies on both sides stays in one piece."""
    if raster.crs is None:
        return None
    way = Transformer.from_crs(raster.crs.to_wkt(), _WGS84, always_xy=True)
    centre = to_map(np.array([[raster.width / 2, raster.height / 2]]), raster.transform)[0]
    middle = way.transform(*centre)[0]

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = way.transform(points[:, 0], points[:, 1])
        if math.isfinite(middle):
            lon = lon - 360 * np.rint((lon - middle) / 360)
        return np.column_stack([lon, lat])

    return move


def write_features(
    uri: str, features: Iterable[Mapping[str, Any] | str], placement: Placement, kernel: Kernel
) -> int:
    """Write GeoJSON features, one a line, as they come (as data, or as JSON already); returns how
    many there were. The file appears under its name once it is whole."""
    count = 0
    with kernel.files.open(uri, "wb") as stream:
        head = json.dumps(placement.members(), ensure_ascii=False)
        stream.write((head[:-1] + ', "features": [').encode())
        lines = (
            feature if isinstance(feature, str) else json.dumps(feature, ensure_ascii=False)
            for feature in features
        )
        while some := list(islice(lines, _LINES)):
            comma = ",\n"
            stream.write(((comma if count else "\n") + comma.join(some)).encode())
            count += len(some)
        stream.write(b"\n]}\n")
    return count


def quads(
    corners: NDArray[np.float64], properties: Iterable[Mapping[str, Any]], placement: Placement
) -> Iterator[dict[str, Any]]:
    """Features of four corners each: [N, 4, 2] (x, y) in pixel coordinates."""
    rings = placement.place(corners).tolist()
    for ring, members in zip(rings, properties, strict=True):
        yield {
            "type": "Feature",
            "properties": members,
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        }


def class_properties(classes: ClassMap, class_id: int) -> dict[str, Any]:
    """The properties that name a class; where it has a color, also how to draw it (simplestyle,
    which map viewers know). Raises `ConfigError` for an id that is not in the class map."""
    properties: dict[str, Any] = {"class_id": class_id, "class_name": classes.name_of(class_id)}
    color = classes.classes[class_id].color
    if color is not None:
        properties |= {"stroke": color, "fill": color, "fill-opacity": 0.2}
    return properties


@attrs.frozen(eq=False)
class Quads:
    """What was read: ``corners`` float64 [N, 4, 2] (x, y) in pixel coordinates, ``class_ids`` int64
    [N], and the ``properties`` [N]."""

    corners: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    properties: Sequence[Mapping[str, Any]]


def read_quads(
    uri: str, raster: RasterSource, classes: ClassMap, kernel: Kernel, what: str
) -> Quads:
    """The features of four corners that were written for this raster.

    ``what``: the plural that messages call them by. Raises `NotFoundError` where there is no file,
    `DataError` where it holds something else or a class that is not in ``classes``.
    """
    text = kernel.files.read_str(uri)
    try:
        data = json.loads(text)
        features = data["features"]
        rings = [feature["geometry"]["coordinates"][0][:4] for feature in features]
        properties = [feature["properties"] for feature in features]
        names = [members["class_name"] for members in properties]
        points = np.array(rings, np.float64).reshape(len(features) * 4, 2)
        source = data["crs"]["properties"]["name"] if data.get("crs") else _WGS84
        if raster.crs is not None:
            way = Transformer.from_crs(
                CRS.from_user_input(source), raster.crs.to_wkt(), always_xy=True
            )
            points = np.column_stack(way.transform(points[:, 0], points[:, 1]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, CRSError) as error:
        raise not_stored(uri, what, error) from error
    unknown = sorted({str(name) for name in names} - set(classes.names))
    if unknown:
        raise DataError(
            f"{uri} holds {what} of the class {unknown[0]!r}; the classes are "
            f"{', '.join(classes.names)}",
            hint="run PREDICT again with these classes",
        )
    corners = to_pixels(points, raster.transform).reshape(-1, 4, 2)
    ids = np.array([classes.id_of(name) for name in names], np.int64)
    return Quads(corners, ids, properties)


def not_stored(uri: str, what: str, error: Exception) -> DataError:
    """The error for a file that does not hold what it should."""
    return DataError(f"{uri} does not hold labelled {what}: {error!r}", hint="run PREDICT again")
