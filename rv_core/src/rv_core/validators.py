"""attrs validators that raise `ConfigError` with a line a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from rv_core._errors import ConfigError

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _refuse(instance: object, field: attrs.Attribute[Any], value: object, wanted: str) -> None:
    raise ConfigError(f"{type(instance).__name__}.{field.name} must be {wanted}, got {value!r}")


def integer(minimum: int | None = None, maximum: int | None = None) -> Validator:
    """A whole number in minimum..maximum, both included."""
    wanted = "a whole number" + _span(minimum, maximum)

    def check(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or _outside(value, minimum, maximum)
        ):
            _refuse(instance, field, value, wanted)

    return check


def number(minimum: float | None = None, maximum: float | None = None) -> Validator:
    """A finite number in minimum..maximum, both included."""
    wanted = "a number" + _span(minimum, maximum)

    def check(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        finite = real and value - value == 0  # neither infinite nor NaN
        if not finite or _outside(value, minimum, maximum):
            _refuse(instance, field, value, wanted)

    return check


def text() -> Validator:
    """A string that is not empty."""

    def check(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or not value:
            _refuse(instance, field, value, "a string that is not empty")

    return check


def boolean() -> Validator:
    """True or False, and nothing that merely counts as one."""

    def check(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, bool):
            _refuse(instance, field, value, "true or false")

    return check


def choice(options: Iterable[Any]) -> Validator:
    """One of the options."""
    allowed = tuple(options)

    def check(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            _refuse(instance, field, value, "one of " + ", ".join(map(repr, allowed)))

    return check


def _outside(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is not None and value < minimum) or (maximum is not None and value > maximum)


def _span(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum} to {maximum}"
    if minimum is not None:
        return f" of at least {minimum}"
    return f" of at most {maximum}" if maximum is not None else ""
