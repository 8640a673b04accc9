"""Frozen options that remember which of their fields were set on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

import attrs

from rv_core._errors import ConfigError


class Options:
    """Base of options: ``@attrs.frozen(kw_only=True, slots=False)``, explicit fields win.

    Every field has a default; a field given to the constructor counts as explicit even where it
    equals that default. A field that holds other options has ``converter=Other.of``, so that
    mappings are taken too and merge field by field.
    """

    _explicit: frozenset[str]

    def __new__(cls, **fields: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(self, "_explicit", frozenset(fields))
        return self

    @classmethod
    def of(cls, value: Self | Mapping[str, Any]) -> Self:
        """The value itself, or the options its mapping spells."""
        return value if isinstance(value, cls) else cls.from_dict(value)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The options with these fields explicit; `ConfigError` for a field that is unknown."""
        if not isinstance(data, Mapping):
            raise ConfigError(f"{cls.__name__} is spelled as a mapping, got {data!r}")
        known = [field.name for field in attrs.fields(cls)]  # type: ignore[arg-type]
        for name in data:
            if name not in known:
                close = get_close_matches(str(name), known, n=1)
                raise ConfigError(
                    f"{cls.__name__} has no field {name!r}",
                    hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}",
                )
        return cls(**data)

    def explicit(self) -> dict[str, Any]:
        """The fields that were set on purpose, JSON-able."""
        return {
            name: value.explicit() if isinstance(value, Options) else _plain(value)
            for name in sorted(self._explicit)
            for value in [getattr(self, name)]
        }

    def values(self) -> dict[str, Any]:
        """All fields with their effective values, JSON-able."""
        return {field.name: _plain(getattr(self, field.name)) for field in attrs.fields(type(self))}  # type: ignore[arg-type]

    def _with(self, **fields: Any) -> Self:
        plain = {k: v.explicit() if isinstance(v, Options) else v for k, v in fields.items()}
        return self.from_dict(merge(self.explicit(), plain))


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one: nested mappings merge, anything else in ``above`` replaces."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.values()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, frozenset | set):
        return sorted(_plain(v) for v in value)
    return value
