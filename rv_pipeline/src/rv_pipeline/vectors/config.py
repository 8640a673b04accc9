"""What may be said of labels. Plain data that spells JSON or YAML; where a tuple of URIs is asked
for, a single string is taken too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs.validators import optional
from rv_core.validators import choice, number, text

from rv_core import ConfigError
from rv_pipeline._uris import Uris, as_uris, at_least


def _as_mapping(value: Mapping[Any, str]) -> dict[str, str]:
    return {str(key): name for key, name in value.items()}


def _as_filters(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value


@attrs.frozen(kw_only=True)
class LabelConfig:
    """Labels drawn as vectors: GeoJSON in any CRS, or any other format that GDAL reads, such as
    GeoPackage, FlatGeobuf and Shapefile (zipped, or with its other files beside it); GeoParquet.

    The class of a feature is found so: the value of its property ``class_property`` is looked up in
    ``class_mapping``, and where it is not there is taken as a class name itself. A feature without
    that property (or with null) is of the ``default_class``. With ``class_filters``, a feature is
    instead of the first class whose filter it fits; one that fits none is of the ``default_class``,
    and no label where there is none.

    ``layer``: which one of files that have several.
    ``class_property``: ``None``: every feature is of the ``default_class``.
    ``class_mapping``: property value (as text) -> class name.
    ``class_filters``: class name -> Mapbox filter, such as ``["==", "kind", "house"]``,
    ``["all", ["has", "height"], [">", "height", 3]]`` or ``["in", ["get", "kind"], ["literal",
    ["house", "barn"]]]``; see `rv_pipeline.vectors.filters`.
    ``point_buffer``, ``line_buffer``: the distance in ``buffer_units`` (``"m"``: metres on the
    ground; ``"px"``: pixels) by which points and lines grow to each side into areas.
    """

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    class_property: str | None = attrs.field(default="class_name")
    class_mapping: Mapping[str, str] = attrs.field(factory=dict, converter=_as_mapping)
    class_filters: Mapping[str, Any] = attrs.field(factory=dict, converter=_as_filters)
    default_class: str | None = attrs.field(default=None, validator=optional(text()))
    layer: str | None = attrs.field(default=None, validator=optional(text()))
    point_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    line_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    buffer_units: Literal["m", "px"] = attrs.field(default="m", validator=choice(("m", "px")))

    @class_property.validator
    def _check_property(self, field: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None:
            text()(self, field, value)

    @class_filters.validator
    def _check_filters(self, _: attrs.Attribute[Any], value: Mapping[str, Any]) -> None:
        from rv_pipeline.vectors.filters import compiled

        if not isinstance(value, Mapping):
            raise ConfigError(
                f"LabelConfig.class_filters must map class names to filters, got {value!r}"
            )
        for name, expression in value.items():
            compiled(expression, name)
        if value and self.class_mapping:
            raise ConfigError(
                "LabelConfig.class_filters says the classes, and so does class_mapping",
                hint="keep one of them",
            )

    def __attrs_post_init__(self) -> None:
        if self.class_property is None and self.default_class is None and not self.class_filters:
            raise ConfigError(
                "LabelConfig has neither class_property nor default_class",
                hint="set default_class to the class that all features are of",
            )

    @classmethod
    def of(cls, value: LabelConfig | str | os.PathLike[str]) -> LabelConfig:
        """The config itself, or that of the file at this URI with its ``class_name`` property."""
        return value if isinstance(value, LabelConfig) else cls(uris=value)
