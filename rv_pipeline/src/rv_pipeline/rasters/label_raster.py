"""Labels given as a raster: a class for each pixel of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from rv_core import ConfigError
from rv_pipeline._uris import Uris, as_uris, at_least


def _as_mapping(value: Mapping[Any, str]) -> dict[str, str]:
    return {str(key): name for key, name in value.items()}


@attrs.frozen(kw_only=True)
class RasterLabelConfig:
    """Labels that are pixels of a raster with the scene's size and CRS.

    ``uris``: the file, or several that make a mosaic.
    ``class_mapping``: pixel value (as text) or color (``#rrggbb``) -> class name. Where it is
    empty, the values of a raster of one band are class ids, and the colors of one of three bands
    those of the class map.
    ``nodata``: the value of pixels without a label, where the files do not say it or are wrong.
    """

    type: ClassVar[str] = "raster"

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    class_mapping: Mapping[str, str] = attrs.field(factory=dict, converter=_as_mapping)
    nodata: float | None = attrs.field(default=None)

    @nodata.validator
    def _check_nodata(self, _: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"RasterLabelConfig.nodata must be a number, got {value!r}")
