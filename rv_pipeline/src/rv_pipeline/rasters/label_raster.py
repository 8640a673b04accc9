"""Labels that are a raster: a class for each pixel, as a number or as a color."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
from attrs.validators import optional
from rv_core.validators import number, text

from rv_core import UNLABELLED, ConfigError, DataError
from rv_pipeline._uris import Uris, as_uris, at_least

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ClassMap, Kernel, Window
    from rv_pipeline.rasters.source import RasterSource

logger = logging.getLogger(__name__)

_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_TOLERANCE: Final = 0.5  # px by which a label raster may lie off the scene's
_SHOWN: Final = 5  # of the values that no class has
_UNKNOWN: Final = 256  # beside the class ids 0..254 and 255

Values = Mapping[int, int]
"""Value, or color as 0xrrggbb -> class id, 255 for unlabelled."""


def _as_mapping(value: Mapping[Any, str | None]) -> dict[str, str | None]:
    return {str(key): name for key, name in value.items()}


@attrs.frozen(kw_only=True)
class RasterLabelConfig:
    """Labels drawn as a raster that lies where the scene's does, pixel on pixel.

    A raster of one band holds values, one of three (and an alpha band) colors.

    ``class_mapping``: value (or color, as ``#rrggbb``) -> class name; ``None`` for a name: pixels
    without a label. Where it is empty, values are class ids, and colors those of the class map.
    ``default_class``: the class of values and colors that the mapping does not have; without one
    they are an error.
    ``nodata``: the value of pixels without a label, where the file does not say it. A value that
    the mapping has is that class, whatever the file says.
    """

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    class_mapping: Mapping[str, str | None] = attrs.field(factory=dict, converter=_as_mapping)
    default_class: str | None = attrs.field(default=None, validator=optional(text()))
    nodata: float | None = attrs.field(default=None, validator=optional(number()))

    @class_mapping.validator
    def _check_mapping(self, _: attrs.Attribute[Any], value: Mapping[str, str | None]) -> None:
        for key in value:
            _value_of(key)
        if len({key.startswith("#") for key in value}) > 1:
            raise ConfigError("RasterLabelConfig.class_mapping has both values and colors")

    @classmethod
    def of(cls, value: RasterLabelConfig | str | os.PathLike[str]) -> RasterLabelConfig:
        """The config itself, or that of the file at this URI."""
        return value if isinstance(value, RasterLabelConfig) else cls(uris=value)


def _value_of(key: str) -> int:
    """A key of the mapping as a number; a color as 0xrrggbb."""
    if _HEX_COLOR.match(key):
        return int(key[1:], 16)
    try:
        return int(key)
    except ValueError:
        raise ConfigError(
            f"RasterLabelConfig.class_mapping has the key {key!r}",
            hint="keys are whole numbers, or colors such as '#ff0000'",
        ) from None


class LabelRaster:
    """Reads windows of class ids; a context manager. May be shared between threads."""

    def __init__(self, source: RasterSource, values: Values, default: int, classes: ClassMap):
        """``source``: of one band, or of red, green and blue. ``default``: the class id of values
        that are not in ``values``, or `_UNKNOWN`."""
        self._source = source
        self._values = values
        self._default = default
        self._classes = classes
        self._table: NDArray[np.uint16] | None = None

    @classmethod
    def open(
        cls, config: RasterLabelConfig, raster: RasterSource, classes: ClassMap, kernel: Kernel
    ) -> LabelRaster:
        """The labels of a scene's raster.

        What the scene's config does to the place of its pixels (crop, shift, resampling, which here
        takes the nearest pixel) is done to the labels too. Raises `NotFoundError` for a file that
        is missing, `DataError` for one that is not of the size, CRS and place of ``raster``, and
        `ConfigError` for a mapping that does not fit the file or the class map.
        """
        from rv_pipeline.rasters.source import RasterSource

        wanted = attrs.evolve(
            raster.config,
            uris=config.uris,
            channel_order=None,
            transformers=(),
            nodata=config.nodata,
            resampling="nearest",
        )
        source = RasterSource.open(wanted, kernel)
        mapped = {_value_of(key) for key in config.class_mapping}
        if any(file.nodata in mapped for file in source.files):
            source = RasterSource.open(attrs.evolve(wanted, nodata=math.nan), kernel)
        _check_lies_on(source, raster)
        values = _class_ids(config, source, classes)
        if config.nodata is None:
            _warn_of_hidden(source, values, classes)
        default = _UNKNOWN
        if config.default_class is not None:
            default = classes.id_of(config.default_class)
        return cls(source, values, default, classes)

    @classmethod
    def of_predictions(
        cls, uri: str, raster: RasterSource, classes: ClassMap, kernel: Kernel
    ) -> LabelRaster:
        """The class ids that were predicted of a scene's raster, and lie pixel on pixel where it
        lies now. Raises `NotFoundError`, and `DataError` like `open`."""
        from rv_pipeline.rasters.config import RasterConfig
        from rv_pipeline.rasters.source import RasterSource

        source = RasterSource.open(RasterConfig(uris=uri), kernel)
        try:
            _check_lies_on(source, raster)
        except DataError as error:
            raise DataError(error.message, hint="run PREDICT again") from error
        values = _class_ids(RasterLabelConfig(uris=uri), source, classes)
        return cls(source, values, _UNKNOWN, classes)

    def read(self, window: Window, background: int = UNLABELLED) -> NDArray[np.uint8]:
        """The class ids [H, W] of a window, 255 where there is no label.

        ``background``: of pixels without data, as beyond the raster; 255 all the same where some
        value stands for that class, so that the raster says itself where it is. Raises `DataError`
        where pixels have a value or color that is no class.
        """
        import numpy as np

        pixels, nodata = self._source.read(window)
        if pixels.shape[2] >= 3:
            red, green, blue = (pixels[:, :, band].astype(np.int32) for band in range(3))
            keys: NDArray[Any] = red << 16 | green << 8 | blue
        else:
            keys = pixels[:, :, 0]
        ids = self._looked_up(keys)
        if nodata is not None:
            said = background in self._values.values() or background == self._default
            ids[nodata] = UNLABELLED if said else background
        unknown = ids == _UNKNOWN
        if unknown.any():
            raise self._no_class(keys[unknown], window)
        return ids.astype(np.uint8)

    def _looked_up(self, keys: NDArray[Any]) -> NDArray[np.uint16]:
        import numpy as np

        # Colors, and values of few bits, by a table of all that there can be.
        sizes = {"uint8": 1 << 8, "uint16": 1 << 16}
        size = 1 << 24 if self._source.bands >= 3 else sizes.get(str(keys.dtype))
        if size is not None:
            if self._table is None:
                self._table = np.full(size, self._default, np.uint16)
                for value, class_id in self._values.items():
                    if 0 <= value < size:
                        self._table[value] = class_id
            found: NDArray[np.uint16] = self._table[keys]
            return found
        known = np.array(sorted(self._values), np.int64)
        ids = np.array([self._values[value] for value in known.tolist()], np.uint16)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[place] == keys, ids[place], np.uint16(self._default))

    def _no_class(self, keys: NDArray[Any], window: Window) -> DataError:
        import numpy as np

        colored = self._source.bands >= 3
        values, counts = np.unique(keys, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        shown = [
            f"{f'#{int(values[i]):06x}' if colored else f'{values[i]:g}'} ({counts[i]} px)"
            for i in order[:_SHOWN].tolist()
        ]
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        what = "colors" if colored else "values"
        return DataError(
            f"the label raster {self._source.uri} has {what} that are no class: "
            f"{', '.join(shown)}{more}, in the {window.width} x {window.height} px from column "
            f"{window.col_off}, row {window.row_off} on; the classes are {self._known(colored)}",
            hint="say in class_mapping which class each of them is, or give a default_class",
        )

    def _known(self, colored: bool) -> str:
        named = [
            f"{f'#{value:06x}' if colored else value} {self._classes.name_of(class_id)}"
            for value, class_id in self._values.items()
            if class_id != UNLABELLED
        ]
        return ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")

    def close(self) -> None:
        """Close the files that this thread opened; reading again opens them again."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _warn_of_hidden(source: RasterSource, values: Values, classes: ClassMap) -> None:
    """Many programs call 0 nodata, which is a class here: better to say so than to lose it."""
    hidden: Any = source.files[0].nodata_held
    class_id = values.get(hidden, UNLABELLED)
    if source.bands < 3 and class_id != UNLABELLED:
        logger.warning(
            "%s: %g is the file's nodata value, so its pixels are unlabelled and not of the class "
            "%r; name it in class_mapping if they are",
            source.uri,
            hidden,
            classes.name_of(class_id),
        )


def _check_lies_on(labels: RasterSource, raster: RasterSource) -> None:
    """Raises `DataError` where the labels' pixels are not the raster's."""
    import numpy as np

    from rv_pipeline.rasters._files import crs_name
    from rv_pipeline.windows import to_map, to_pixels

    def refuse(what: str, hint: str) -> None:
        raise DataError(f"the label raster {labels.uri} {what}", hint=hint)

    if (labels.width, labels.height) != (raster.width, raster.height):
        refuse(
            f"has {labels.width} x {labels.height} px, the raster {raster.uri} has "
            f"{raster.width} x {raster.height} px (width x height)",
            "the two must have the same pixels: warp or crop the labels to the raster",
        )
    if labels.crs is None:  # a picture beside the raster: pixel on pixel
        return
    if labels.crs != raster.crs:
        refuse(
            f"is in {crs_name(labels.crs)}, the raster {raster.uri} is in {crs_name(raster.crs)}",
            "warp the labels to the raster's CRS and pixels",
        )
    corners = np.array([(0, 0), (0, raster.height), (raster.width, 0)], np.float64)
    off = np.abs(to_pixels(to_map(corners, labels.transform), raster.transform) - corners).max()
    if off > _TOLERANCE:
        refuse(
            f"lies {off:,.1f} px away from the raster {raster.uri}",
            "the two must have the same pixels: warp or crop the labels to the raster",
        )


def _class_ids(config: RasterLabelConfig, source: RasterSource, classes: ClassMap) -> Values:
    """Which class each value or color of a file is."""
    colored = source.bands >= 3
    mapping = config.class_mapping
    if colored and str(source.dtype) != "uint8":
        raise DataError(
            f"the label raster {source.uri} has {source.bands} bands of {source.dtype}",
            hint="labels are one band of values, or three of uint8 colors",
        )
    if mapping:
        if any(key.startswith("#") for key in mapping) != colored:
            held, asked = ("colors", "values") if colored else ("values", "colors")
            raise ConfigError(
                f"the label raster {source.uri} holds {held}, and class_mapping has {asked}",
                hint="keys are whole numbers for one band, colors such as '#ff0000' for three",
            )
        return {
            _value_of(key): UNLABELLED if name is None else classes.id_of(name)
            for key, name in mapping.items()
        }
    if not colored:
        return {class_id: class_id for class_id in range(len(classes))} | {UNLABELLED: UNLABELLED}
    colors = {info.name: info.color for info in classes}
    missing = [name for name, color in colors.items() if color is None]
    if missing and config.default_class not in missing:
        raise ConfigError(
            f"the label raster {source.uri} holds colors, and the class {missing[0]!r} has none",
            hint="give each class its color (#rrggbb), or say in class_mapping which is which",
        )
    found: dict[int, int] = {}
    for name, color in colors.items():
        if color is None:
            continue
        other = found.setdefault(int(color[1:], 16), classes.id_of(name))
        if other != classes.id_of(name):
            raise ConfigError(f"the classes {classes.name_of(other)!r} and {name!r} are {color}")
    return found
