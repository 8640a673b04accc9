"""Plain data, as YAML and JSON spell it, into the config classes."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import attrs
from cattrs import BaseValidationError, Converter
from cattrs.errors import (
    AttributeValidationNote,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from rv_core import BackendConfig, ClassMap, ConfigError, RVError
from rv_pipeline.augmentors import AugmentorConfig, as_augmentors
from rv_pipeline.rasters.config import RasterConfig, TransformerConfig
from rv_pipeline.rasters.label_raster import RasterLabelConfig
from rv_pipeline.rasters.transformer_configs import transformer_class
from rv_pipeline.scenes import AnyLabels
from rv_pipeline.vectors.config import LabelConfig

Path = tuple[str | int, ...]
"""The way from the top of the data to one value in it."""

T = TypeVar("T")


class FromArgument(str):
    """A text that was given as an argument, and becomes whatever type its place asks for."""

    __slots__ = ()


_FIELD = re.compile(r"\w+\.(\w+) ")


@attrs.frozen
class Complaint:
    """What is wrong with the data, and where."""

    path: Path
    message: str
    hint: str | None = None


class StructureError(Exception):
    """Data that spells no config object; ``complaint`` says why."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


def structure(data: Any, cls: type[T], path: Path = ()) -> T:
    """The config object that the data spells; raises `StructureError`, with the whole way to what
    is wrong where ``path`` is the way to the data."""
    try:
        return _converter().structure(data, cls)
    except Exception as error:
        raise StructureError(_complaint(error, path)) from error


@cache
def _converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook_func(_is_tuple, _items(converter))
    for kind, name in ((str, "text"), (int, "a whole number"), (float, "a number"), (bool, "")):
        converter.register_structure_hook(kind, _exactly(kind, name or "true or false"))
    converter.register_structure_hook_func(lambda t: t == tuple[str, ...], _strings)
    converter.register_structure_hook_func(lambda t: t == tuple[float, ...], _numbers)
    converter.register_structure_hook_func(
        lambda t: t in (Mapping[str, str], Mapping[str, str | None]),
        lambda v, _: _mapping(v),
    )
    converter.register_structure_hook_func(
        lambda t: t in (Mapping[int, int], Mapping[str, Any]), lambda v, _: _plain(_mapping(v))
    )
    converter.register_structure_hook_func(
        lambda t: t == tuple[AugmentorConfig, ...], lambda value, _: as_augmentors(_plain(value))
    )
    converter.register_structure_hook_func(_is_literal, _as_is)
    converter.register_structure_hook_func(
        lambda t: t == BackendConfig | dict[str, Any], lambda value, _: _plain(value)
    )
    converter.register_structure_hook_func(attrs.has, _fields(converter))
    converter.register_structure_hook(ClassMap, _as_is)  # the field's converter reads it
    converter.register_structure_hook_func(
        lambda t: t == AnyLabels | None, lambda value, _: _labels(value, converter)
    )
    converter.register_structure_hook_func(
        lambda t: t == TransformerConfig, lambda value, _: _transformer(value, converter)
    )
    return converter


def _fields(converter: Converter) -> Any:
    """The hook for config classes: a mapping of their fields, and nothing else."""
    made: dict[type, Any] = {}

    def hook(value: Any, cls: type) -> Any:
        if isinstance(value, cls):
            return value
        if cls in (RasterConfig, LabelConfig) and isinstance(value, str | list):
            value = {"uris": value}
        if cls not in made:
            made[cls] = make_dict_structure_fn(
                cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
            )
        return made[cls](_mapping(value), cls)

    return hook


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[1:] == (...,)


def _items(converter: Converter) -> Any:
    """The hook for tuples of one type; one mapping alone is a list of one."""

    def hook(value: Any, cls: Any) -> tuple[Any, ...]:
        (kind, _) = typing.get_args(cls)
        if isinstance(value, Mapping) and attrs.has(kind):
            value = [value]
        if not isinstance(value, list | tuple):
            raise ConfigError(
                f"{value!r} stands where a list is needed",
                hint="its items are mappings of names to values"
                if attrs.has(kind)
                else "put it into [ ]",
            )
        made = []
        for index, item in enumerate(value):
            try:
                made.append(converter.structure(item, kind))
            except Exception as error:
                error.add_note(IterableValidationNote("", index, kind))
                raise IterableValidationError("", [error], cls) from error
        return tuple(made)

    return hook


def _exactly(kind: type, name: str) -> Any:
    def hook(value: Any, _: type) -> Any:
        if isinstance(value, FromArgument):
            value = str(value) if kind is str else _scalar(value)
        fits = isinstance(value, int | float if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            quotes = ": put it in quotes" if kind is str and isinstance(value, int | float) else ""
            raise ConfigError(f"{value!r} is not {name}{quotes}")
        return value

    return hook


def _strings(value: Any, _: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ConfigError(f"{value!r} is not text or a list of texts")
    return tuple(items)


def _numbers(value: Any, _: Any) -> tuple[Any, ...]:
    """One number or several; what is no number is refused by the field."""
    items = _plain(value)
    return tuple(items) if isinstance(items, list | tuple) else (items,)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal


def _as_is(value: Any, _: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    """Data whose arguments are read as YAML reads scalars: nothing here says their types."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return _scalar(value) if isinstance(value, FromArgument) else value


def _scalar(text: str) -> Any:
    import yaml

    value = yaml.safe_load(text)
    return value if isinstance(value, int | float | bool) else str(text)


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{value!r} stands where a mapping of names to values is needed")
    return value


def _transformer(value: Any, converter: Converter) -> Any:
    fields = {"type": value} if isinstance(value, str) else dict(_mapping(value))
    cls = transformer_class(fields.pop("type", None))
    return converter.structure(fields, cls)


def _labels(value: Any, converter: Converter) -> Any:
    """Labels, told apart by ``type``: ``vector`` (if nothing is said) or ``raster``."""
    if not isinstance(value, Mapping):
        return None if value is None else converter.structure(value, LabelConfig)
    fields = dict(value)
    kind = fields.pop("type", "vector")
    kinds = {"vector": LabelConfig, "raster": RasterLabelConfig}
    if kind not in kinds:
        raise ConfigError(f"there are no labels of type {kind!r}", hint="vector, or raster")
    return converter.structure(fields, kinds[kind])


def _complaint(error: BaseException, path: Path) -> Complaint:
    """The first thing that is wrong, and the way to it; an unknown key before a missing one,
    which it may be a misspelling of."""
    if isinstance(error, BaseValidationError):
        inner = min(error.exceptions, key=lambda e: not isinstance(e, ForbiddenExtraKeysError))
        return _complaint(inner, path + _step(inner))
    if isinstance(error, ForbiddenExtraKeysError):
        extra = min(error.extra_fields, key=str)
        known = [field.name for field in attrs.fields(error.cl)]
        close = get_close_matches(str(extra), known, n=1)
        return Complaint(
            (*path, extra),
            f"unknown key {extra!r}" + (f" in {spell(path)}" if path else ""),
            f"did you mean {close[0]!r}?" if close else f"the keys here are {', '.join(known)}",
        )
    if isinstance(error, KeyError):  # raised on the way into the mapping that lacks it
        return Complaint(path[:-1], f"the key {error.args[0]!r} is missing")
    if isinstance(error, RVError):
        named = _FIELD.match(error.message)
        return Complaint((*path, named[1]) if named else path, error.message, error.hint)
    return Complaint(path, str(error) or type(error).__name__)


def _step(error: BaseException) -> Path:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()


def spell(path: Path) -> str:
    """A way as people write it: ``dataset.train[0].raster``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
