"""The way of coordinates from a vector file to the pixels of a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from rv_core import ConfigError, DataError
from rv_pipeline.rasters._files import crs_name
from rv_pipeline.windows import to_map, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.rasters import RasterSource

WGS84: Final = "EPSG:4326"
BEYOND: Final = 1e18
"""The coordinate given to points that cannot be projected."""


@attrs.frozen
class Projection:
    """Takes geometries from ``source`` (what a vector file calls its CRS) to a raster's pixels.

    A raster without CRS has vectors in its own coordinates: pixels, or those of its world file.
    """

    raster: RasterSource
    source: str

    @classmethod
    def between(cls, uri: str, source: str | None, raster: RasterSource) -> Projection:
        """Raises `DataError` where the file is in another CRS than the raster can be in."""
        source = source or WGS84  # what GeoJSON means where it says nothing
        way = cls(raster, source)
        if raster.crs is None and not way.is_lonlat:
            raise DataError(
                f"{uri} is in {_name(source)}, but the raster {raster.uri} has no CRS",
                hint="give the raster a georeference, or the vectors in its pixel coordinates "
                "(x right, y down) and without a CRS",
            )
        return way

    @property
    def is_lonlat(self) -> bool:
        """Whether the file's coordinates are degrees of EPSG:4326, as GeoJSON has them."""
        return CRS.from_user_input(self.source).equals(
            CRS.from_user_input(WGS84), ignore_axis_order=True
        )

    @property
    def crs_text(self) -> str:
        """What to call the raster's coordinates in a message."""
        return "pixel coordinates" if self.raster.crs is None else crs_name(self.raster.crs)

    def to_pixels(self, geometries: NDArray[Any], flip: bool = False) -> NDArray[Any]:
        """The geometries in pixel coordinates; points that cannot be projected lie `BEYOND`.

        ``flip``: with x and y exchanged first.
        """
        transformer = self._transformer(self.source)

        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            points = points[:, ::-1] if flip else points
            if transformer is not None:
                points = _apply(transformer, points)
            return to_pixels(points, self.raster.transform)

        moved: NDArray[Any] = shapely.transform(geometries, move)
        return moved

    def grown(self, geometries: NDArray[Any], metres: float) -> NDArray[Any]:
        """Points and lines as areas that reach so many metres to each side, in pixels.

        They grow in a plane that touches the earth at the scene's centre (azimuthal equidistant),
        so that a metre is a metre whatever the CRS of raster and file.
        """
        if self.raster.crs is None:
            raise ConfigError(
                f"labels on {self.raster.uri} cannot grow by metres: the raster has no CRS",
                hint="set buffer_units to 'px'",
            )
        lon, lat = self.lonlat(np.array([[self.raster.width / 2, self.raster.height / 2]]))[0]
        plane = CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")
        there = _transformer(self.source, plane)
        back = _transformer(plane, self.raster.crs.to_wkt())
        flat = shapely.transform(geometries, lambda points: _apply(there, points))
        areas = shapely.buffer(flat, metres)
        moved: NDArray[Any] = shapely.transform(
            areas, lambda points: to_pixels(_apply(back, points), self.raster.transform)
        )
        return moved

    def lonlat(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Longitude and latitude [N, 2] of pixel coordinates [N, 2] of a raster with CRS."""
        assert self.raster.crs is not None
        points = to_map(pixels, self.raster.transform)
        return _apply(_transformer(self.raster.crs.to_wkt(), WGS84), points)

    def metres_between(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        """The distance on the ground between two points [2] in pixel coordinates; infinite where
        one of them is not on the earth."""
        (lon1, lat1), (lon2, lat2) = self.lonlat(np.stack([one, other]))
        if max(abs(lat1), abs(lat2)) > 90:
            return float("inf")
        return float(Geod(ellps="WGS84").inv(lon1, lat1, lon2, lat2)[2])

    def _transformer(self, source: str) -> Transformer | None:
        crs = self.raster.crs
        return None if crs is None else _transformer(source, crs.to_wkt())


def _transformer(source: str | CRS, target: str | CRS) -> Transformer:
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise DataError(
            f"there is no way from {_name(source)} to {_name(target)}: {error}",
            hint="a CRS of some site only has no place on the earth: give raster and vectors the "
            "same one",
        ) from error


def _apply(transformer: Transformer, points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    # Infinity would turn into NaN further on, and a ring of NaN does not close.
    moved[~np.isfinite(moved).all(axis=1)] = BEYOND
    return moved


def _name(crs: str | CRS) -> str:
    parsed = CRS.from_user_input(crs)
    authority = parsed.to_authority()
    return ":".join(authority) if authority else parsed.name
