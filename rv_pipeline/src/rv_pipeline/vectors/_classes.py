"""Which class a feature is of."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from rv_core import DataError
from rv_pipeline.vectors.filters import GEOMETRY_TYPE, compiled, properties_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import ClassMap
    from rv_pipeline.vectors._files import VectorFile
    from rv_pipeline.vectors.config import LabelConfig

logger = logging.getLogger(__name__)

NO_CLASS: Final = -1
"""In the place of a class id: no label."""

_KINDS: Final = ("Point", "LineString", "Polygon")


def columns_for(config: LabelConfig) -> list[str]:
    """The properties that say the class."""
    if config.class_filters:
        return sorted(set().union(*map(properties_of, config.class_filters.values())))
    return [] if config.class_property is None else [config.class_property]


def check_classes(config: LabelConfig, classes: ClassMap) -> None:
    """Raises `ConfigError` for a class that a config names and there is not."""
    for name in (*config.class_mapping.values(), *config.class_filters, config.default_class):
        if name is not None:
            classes.id_of(name)


def lacks_class(config: LabelConfig, file: VectorFile) -> bool:
    """Whether the property that says the class is on none of a file's features, and nothing else
    says it."""
    said = config.class_filters or config.default_class is not None
    return not said and config.class_property not in file.columns and len(file.geometries) > 0


def no_class(uri: str, config: LabelConfig, names: Sequence[str]) -> DataError:
    """The error for a file that `lacks_class`. ``names``: of the properties that it has."""
    name = str(config.class_property)
    close = get_close_matches(name.lower(), [n.lower() for n in names], n=1)
    meant = next((f"did you mean {n!r}? " for n in names if n.lower() in close), "")
    return DataError(
        f"{uri} holds features without the property {name!r}; "
        + (f"they have {', '.join(names)}" if names else "they have no properties"),
        hint=f"{meant}set class_property to the one that names the class, or a default_class",
    )


def class_ids(
    uri: str, file: VectorFile, classes: ClassMap, config: LabelConfig
) -> NDArray[np.int64]:
    """The class id of each feature [N], or `NO_CLASS`.

    Raises `DataError` for one whose property names no class.
    """
    if config.class_filters:
        return _by_filters(uri, file, classes, config)
    name = config.class_property
    values = [None] * len(file.geometries) if name is None else file.column(name)
    known: dict[str | None, int] = {}
    ids = np.empty(len(values), np.int64)
    for index, value in enumerate(values):
        text = _as_text(value)
        if text not in known:
            known[text] = _class_id(uri, text, classes, config)
        ids[index] = known[text]
    return ids


def _by_filters(
    uri: str, file: VectorFile, classes: ClassMap, config: LabelConfig
) -> NDArray[np.int64]:
    filters = [
        (classes.id_of(name), compiled(expression, name))
        for name, expression in config.class_filters.items()
    ]
    default = NO_CLASS if config.default_class is None else classes.id_of(config.default_class)
    names = list(file.columns)
    kinds = [_KINDS[d] if d >= 0 else None for d in shapely.get_dimensions(file.geometries)]
    ids = np.full(len(file.geometries), default, np.int64)
    for index, kind in enumerate(kinds):
        feature = {name: file.columns[name][index] for name in names}
        feature[GEOMETRY_TYPE] = kind
        for class_id, fits in filters:
            if fits(feature):
                ids[index] = class_id
                break
    left_out = int((ids == NO_CLASS).sum())
    if left_out and left_out == len(ids):
        raise DataError(
            f"none of the {left_out} features of {uri} fits one of the class_filters",
            hint=_what_there_is(columns_for(config), file)
            or "see how the properties of the file are called and spelled",
        )
    if left_out:
        logger.info("%s: %d of %d features fit no class filter", uri, left_out, len(ids))
    return ids


def _what_there_is(names: Sequence[str], file: VectorFile) -> str | None:
    for name in names:
        if name not in file.columns:
            return f"the file has no property {name!r}"
        values = sorted({repr(value) for value in file.columns[name]})
        return f"{name} is {', '.join(values[:5])}{' ...' if len(values) > 5 else ''}"
    return None


def _as_text(value: Any) -> str | None:
    """A property's value as it is spelled in ``class_mapping``; ``None`` where it says nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # whole numbers beside nulls arrive as floats
    return str(value)


def _class_id(uri: str, value: str | None, classes: ClassMap, config: LabelConfig) -> int:
    if value is None:
        if config.default_class is None:
            raise DataError(
                f"{uri} holds features without the property {config.class_property!r}",
                hint="set class_property to the one that names the class, or a default_class",
            )
        return classes.id_of(config.default_class)
    name = config.class_mapping.get(value, value)
    if name in classes.names:
        return classes.id_of(name)
    close = get_close_matches(name, [*config.class_mapping, *classes.names], n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise DataError(
        f"{uri} holds features whose {config.class_property} is {value!r}, which is none of the "
        f"classes {', '.join(classes.names)}",
        hint=f"{meant}add the class, or say in class_mapping which one {value!r} is",
    )
