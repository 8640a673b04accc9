"""URIs as fields of config classes: one, or several in a tuple."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from rv_core import ConfigError

Uris = tuple[str, ...]


def as_uris(value: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Uris:
    """One URI or several, as a tuple of strings; raises `ConfigError` for a mapping."""
    if isinstance(value, Mapping):  # iterating over it would give its keys
        raise ConfigError(
            f"{dict(value)!r} stands where a URI or a list of URIs is needed",
            hint="in Python, write RasterConfig(...) or LabelConfig(...) with these fields",
        )
    several = [value] if isinstance(value, str | os.PathLike) else value
    return tuple(item if isinstance(item, str) else os.fspath(item) for item in several)


def at_least(least: int) -> Callable[[Any, attrs.Attribute[Any], Uris], None]:
    """Validator: at least this many URIs, none of them empty."""

    def check(instance: Any, field: attrs.Attribute[Any], value: Uris) -> None:
        where = f"{type(instance).__name__}.{field.name}"
        if len(value) < least:
            raise ConfigError(f"{where} needs at least {least} URI, got none")
        for uri in value:
            if not isinstance(uri, str) or not uri:
                raise ConfigError(f"{where} holds URIs, got {uri!r}")

    return check
