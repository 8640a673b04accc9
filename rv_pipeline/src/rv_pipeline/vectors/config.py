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


@attrs.frozen(kw_only=True)
class LabelConfig:
    """Labels drawn as vectors: GeoJSON in any CRS, or any other format that GDAL reads.

    The class of a feature is found so: the value of its property ``class_property`` is looked up in
    ``class_mapping``, and where it is not there is taken as a class name itself. A feature without
    that property (or with null) is of the ``default_class``.

    ``class_property``: ``None``: every feature is of the ``default_class``.
    ``class_mapping``: property value (as text) -> class name.
    ``point_buffer``, ``line_buffer``: the distance in ``buffer_units`` (``"m"``: metres on the
    ground; ``"px"``: pixels) by which points and lines grow to each side into areas.
    """

    uris: Uris = attrs.field(converter=as_uris, validator=at_least(1))
    class_property: str | None = attrs.field(default="class_name")
    class_mapping: Mapping[str, str] = attrs.field(factory=dict, converter=_as_mapping)
    default_class: str | None = attrs.field(default=None, validator=optional(text()))
    point_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    line_buffer: float | None = attrs.field(default=None, validator=optional(number(minimum=0)))
    buffer_units: Literal["m", "px"] = attrs.field(default="m", validator=choice(("m", "px")))

    @class_property.validator
    def _check_property(self, field: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None:
            text()(self, field, value)

    def __attrs_post_init__(self) -> None:
        if self.class_property is None and self.default_class is None:
            raise ConfigError(
                "LabelConfig has neither class_property nor default_class",
                hint="set default_class to the class that all features are of",
            )

    @classmethod
    def of(cls, value: LabelConfig | str | os.PathLike[str]) -> LabelConfig:
        """The config itself, or that of the file at this URI with its ``class_name`` property."""
        return value if isinstance(value, LabelConfig) else cls(uris=value)
