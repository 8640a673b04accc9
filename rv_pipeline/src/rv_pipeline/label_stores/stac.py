"""What was predicted of a scene as a STAC item, so that a catalogue can show it.

Any task may call `write_item` once its files are written: the item lies beside them and names them
by relative links. It follows STAC 1.1 with the extensions projection and raster.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_core import StorageError

if TYPE_CHECKING:
    import pystac

    from rv_core import ClassMap, Kernel
    from rv_pipeline.rasters import RasterSource

COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOJSON: Final = "application/geo+json"
ITEM_SUFFIX: Final = ".stac.json"

_STEPS: Final = 21  # points on each side of a footprint, which bends in another CRS
_DEGREES: Final = 8  # decimals, about a millimetre


@attrs.frozen(kw_only=True)
class ItemAsset:
    """A file of the item: ``key`` names it in the item; ``name`` is that of the file, beside the
    item; ``media_type`` is `COG`, `GEOJSON` or another; ``roles`` are STAC's, such as ``data``.
    ``bands``: of a raster, one of `class_band` or `probability_bands` or the like each."""

    key: str
    name: str
    media_type: str
    title: str
    roles: Sequence[str] = ("data",)
    bands: Sequence[dict[str, Any]] = ()


def class_band() -> dict[str, Any]:
    """The band of a raster of class ids."""
    return {"name": "class", "data_type": "uint8", "nodata": 255, "raster:sampling": "area"}


def probability_bands(classes: ClassMap, steps: int) -> list[dict[str, Any]]:
    """The bands of a raster of probabilities stored as 0..steps, one per class."""
    scale = {"raster:scale": 1 / steps, "raster:offset": 0}
    return [{"name": name, "data_type": "uint8", "nodata": 255, **scale} for name in classes.names]


def write_item(
    folder: Path,
    stem: str,
    raster: RasterSource,
    classes: ClassMap,
    assets: Sequence[ItemAsset],
    kernel: Kernel,
    *,
    task: str,
) -> Path:
    """Write ``<stem>.stac.json`` into a local folder, and return its path.

    Where the raster lies on the earth, so does the item. A raster without CRS makes an item without
    geometry, which STAC allows: it cannot be found by place. Nothing in a raster says reliably when
    it was taken, and an item needs a time: it is that of the image's file.
    """
    import pystac

    geometry, bbox = _footprint(raster)
    taken, source = _time(raster, kernel)
    item = pystac.Item(
        id=stem,
        geometry=geometry,
        bbox=bbox,
        datetime=taken,
        properties={
            "title": f"{stem}: {task.lower().replace('_', ' ')}",
            "description": f"Predicted with RV; the time is {source}.",
            "rv:task": task,
            "rv:classes": list(classes.names),
        },
    )
    _project(item, raster)
    for asset in assets:
        made = pystac.Asset(
            href=f"./{asset.name}",
            title=asset.title,
            media_type=asset.media_type,
            roles=list(asset.roles),
        )
        if asset.bands:
            made.extra_fields["bands"] = [dict(band) for band in asset.bands]
        item.add_asset(asset.key, made)
    if any(name.startswith("raster:") for a in assets for band in a.bands for name in band):
        item.stac_extensions.append(_RASTER)
    path = folder / f"{stem}{ITEM_SUFFIX}"
    _write(path, item.to_dict(include_self_link=False, transform_hrefs=False))
    return path


def rename_asset(path: Path, old: str, new: str) -> None:
    """Say in a local item, if it is there, that the file ``old`` beside it is called ``new``."""
    if not path.is_file():
        return
    item = json.loads(path.read_text(encoding="utf-8"))
    for asset in item["assets"].values():
        if asset["href"] == f"./{old}":
            asset["href"] = f"./{new}"
    _write(path, item)


def _write(path: Path, item: dict[str, Any]) -> None:
    path.write_text(json.dumps(item, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


_RASTER: Final = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
"""The version for STAC 1.1, where bands are part of the core; pystac writes the one before it."""


def _project(item: pystac.Item, raster: RasterSource) -> None:
    """Where the pixels lie, by the projection extension."""
    from pystac.extensions.projection import ProjectionExtension

    projection = ProjectionExtension.ext(item, add_if_missing=True)
    projection.shape = [raster.height, raster.width]
    t = raster.transform
    projection.transform = [t.a, t.b, t.c, t.d, t.e, t.f]
    if raster.crs is None:
        return
    authority = raster.crs.to_authority()
    if authority:
        projection.code = ":".join(authority)
    else:
        projection.wkt2 = raster.crs.to_wkt(version="WKT2_2019")
    west, south, east, north = _bounds(_outline(raster, 1))
    projection.bbox = [west, south, east, north]


def _outline(raster: RasterSource, steps: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points [4 * steps, 2] along the raster's border, counterclockwise, in its CRS."""
    from rv_pipeline.windows import to_map

    along = np.linspace(0, 1, steps, endpoint=False)
    zeros, ones = np.zeros(steps), np.ones(steps)
    x = np.concatenate([zeros, along, ones, 1 - along]) * raster.width
    y = np.concatenate([along, ones, 1 - along, zeros]) * raster.height
    return to_map(np.stack([x, y], axis=1), raster.transform)


def _bounds(points: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    west, south = points.min(axis=0).tolist()
    east, north = points.max(axis=0).tolist()
    return west, south, east, north


def _footprint(raster: RasterSource) -> tuple[dict[str, Any] | None, list[float] | None]:
    """The raster's border in EPSG:4326 and the box around it; neither where it has no place there.

    The border keeps the points that a straight line between its corners would miss by a pixel. One
    across the date line is cut there (RFC 7946, 3.1.9), and its box is west > east (5.2).
    """
    import shapely

    from rv_pipeline.label_stores.geojson import to_lonlat

    way = to_lonlat(raster)
    if way is None:
        return None, None
    points = way(_outline(raster, _STEPS))
    if not np.isfinite(points).all():
        return None, None
    outline = shapely.Polygon(points)
    size = float(np.ptp(points, axis=0).max())
    outline = shapely.simplify(outline, size / max(raster.width, raster.height))
    outline = shapely.orient_polygons(shapely.set_precision(outline, 10.0**-_DEGREES))
    if outline.geom_type != "Polygon" or outline.is_empty:
        return None, None
    west, south, east, north = outline.bounds
    earth = shapely.box(-180, -90, 180, 90)
    if west < -180 or east > 180:
        turn = np.array([360.0 if west < -180 else -360.0, 0.0])
        here = shapely.intersection(outline, earth)
        there = shapely.transform(outline, lambda points: points + turn)
        parts = shapely.get_parts([here, shapely.intersection(there, earth)])
        outline = shapely.orient_polygons(shapely.MultiPolygon(list(parts)))
        west, east = (west + 360, east) if west < -180 else (west, east - 360)
    geometry: dict[str, Any] = json.loads(shapely.to_geojson(outline))
    return geometry, [round(value, _DEGREES) for value in (west, south, east, north)]


def _time(raster: RasterSource, kernel: Kernel) -> tuple[datetime, str]:
    """The best there is for when the image was taken, and what tells it."""
    try:
        changed = kernel.files.last_modified(raster.config.uris[0])
    except StorageError:
        changed = None
    if changed is None:
        return datetime(1970, 1, 1, tzinfo=UTC), "not known"
    return changed.astimezone(UTC).replace(microsecond=0), "that of the image's file"
