"""Filters on the properties of features, spelled as Mapbox's style specification does.

Both forms are read: the older one (``["==", "kind", "house"]``, where a key stands for the
property's value; https://docs.mapbox.com/style-spec/reference/other/#other-filter) and that of
expressions (``["==", ["get", "kind"], "house"]``;
https://docs.mapbox.com/style-spec/reference/expressions/).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from rv_core import ConfigError

Feature = Mapping[str, Any]
"""The properties of a feature by their names, and under `GEOMETRY_TYPE` its kind."""
Filter = Callable[[Feature], bool]
_Value = Callable[[Feature], Any]

GEOMETRY_TYPE: Final = "$type"
"""The key of ``"Point"``, ``"LineString"`` or ``"Polygon"``; of several, it is that of one."""

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: Final = (*_COMPARISONS, "in", "!in", "has", "!has", "all", "any", "none", "!")
_VALUES: Final = ("get", "literal", "geometry-type", "to-number", "to-string")


def compiled(expression: Any, name: str) -> Filter:
    """The filter that an expression spells. ``name``: what it is for, in messages.

    Raises `ConfigError` for what is no filter, or one with an operator that is not known.
    """
    where = f"the filter of class {name!r}"
    if isinstance(expression, bool):
        return lambda _: expression
    operator_, arguments = _taken_apart(expression, where)
    if operator_ in ("all", "any", "none"):
        filters = [compiled(argument, name) for argument in arguments]
        if operator_ == "all":
            return lambda feature: all(f(feature) for f in filters)
        wanted = operator_ == "any"
        return lambda feature: any(f(feature) for f in filters) == wanted
    if operator_ == "!":
        _check_count(arguments, 1, operator_, where)
        inner = compiled(arguments[0], name)
        return lambda feature: not inner(feature)
    if operator_ in ("has", "!has"):
        _check_count(arguments, 1, operator_, where)
        key, wanted = _key(arguments[0], where), operator_ == "has"
        return lambda feature: (_present(feature.get(key)) is not None) == wanted
    if operator_ in ("in", "!in"):
        return _membership(operator_, arguments, where)
    if operator_ in _COMPARISONS:
        _check_count(arguments, 2, operator_, where)
        return _comparison(operator_, arguments, where)
    raise ConfigError(
        f"{where} has the operator {operator_!r}, which is not known",
        hint=f"the operators are {' '.join(_OPERATORS)}",
    )


def properties_of(expression: Any) -> set[str]:
    """The names of the properties that an expression looks at; it has been `compiled`."""
    return {key for key in _keys(expression) if key != GEOMETRY_TYPE}


def _keys(expression: Any) -> Iterator[str]:
    if not isinstance(expression, list | tuple) or not expression:
        return
    first, *rest = expression
    if first in ("get", "has", "!has") or (
        (first in _COMPARISONS or first in ("in", "!in")) and isinstance(rest[0], str)
    ):
        yield rest[0]
    elif first != "literal":
        for item in rest:
            yield from _keys(item)


def _taken_apart(expression: Any, where: str) -> tuple[str, Sequence[Any]]:
    if (
        not isinstance(expression, list | tuple)
        or not expression
        or not isinstance(expression[0], str)
    ):
        raise ConfigError(
            f"{where} is {expression!r}, which is no filter",
            hint='a filter is a list that begins with an operator: ["==", "kind", "house"]',
        )
    return expression[0], expression[1:]


def _check_count(arguments: Sequence[Any], count: int, name: str, where: str) -> None:
    if len(arguments) != count:
        raise ConfigError(f"{where} has {name!r} with {len(arguments)} operands, it takes {count}")


def _key(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} has {value!r} where the name of a property must stand")
    return value


def _comparison(name: str, arguments: Sequence[Any], where: str) -> Filter:
    # A text on the left is a property of the older form, unless the right is an expression.
    older = isinstance(arguments[0], str) and not isinstance(arguments[1], list | tuple)
    left = _property(arguments[0]) if older else _value(arguments[0], where)
    right = _value(arguments[1], where)
    compare = _COMPARISONS[name]

    def test(feature: Feature) -> bool:
        one, other = left(feature), right(feature)
        if not _same_kind(one, other):
            return name == "!="
        if one is None and name not in ("==", "!="):
            return False
        return compare(one, other)

    return test


def _membership(name: str, arguments: Sequence[Any], where: str) -> Filter:
    if not arguments:
        raise ConfigError(f"{where} has {name!r} without operands")
    if isinstance(arguments[0], str) and not (
        len(arguments) == 2 and isinstance(arguments[1], list | tuple)
    ):
        value, values = _property(arguments[0]), list(arguments[1:])
    else:
        _check_count(arguments, 2, name, where)
        older = isinstance(arguments[0], str)
        value = _property(arguments[0]) if older else _value(arguments[0], where)
        found = _value(arguments[1], where)({}) if _is_literal(arguments[1]) else arguments[1]
        if not isinstance(found, list | tuple):
            raise ConfigError(f"{where} has {name!r} without a list of values to look in")
        values = list(found)
    wanted = name == "in"

    def test(feature: Feature) -> bool:
        one = value(feature)
        return any(_same_kind(one, v) and one == v for v in values) == wanted

    return test


def _is_literal(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and value[0] == "literal"


def _property(key: str) -> _Value:
    return lambda feature: _present(feature.get(key))


def _value(expression: Any, where: str) -> _Value:
    """What an operand of a comparison is worth."""
    if not isinstance(expression, list | tuple):
        return lambda _: expression
    name, arguments = _taken_apart(expression, where)
    if name == "geometry-type":
        return _property(GEOMETRY_TYPE)
    if name not in _VALUES:
        close = get_close_matches(name, _VALUES, n=1, cutoff=0.5)
        raise ConfigError(
            f"{where} has the expression {name!r}, which is not known",
            hint=f"did you mean {close[0]!r}?" if close else f"there are {', '.join(_VALUES)}",
        )
    _check_count(arguments, 1, name, where)
    if name == "literal":
        return lambda _: arguments[0]
    if name == "get":
        return _property(_key(arguments[0], where))
    inner = _value(arguments[0], where)
    if name == "to-number":
        return lambda feature: _as_number(inner(feature))
    return lambda feature: _as_text(inner(feature))


def _present(value: Any) -> Any:
    """``None`` for what says nothing: whole numbers beside nulls arrive as floats and NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _same_kind(one: Any, other: Any) -> bool:
    """Whether two values can be compared: texts, numbers, truths, or nothing."""
    return _kind(one) == _kind(other)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


def _as_number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
