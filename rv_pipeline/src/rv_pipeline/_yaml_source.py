"""Experiment files in YAML: data that knows the line of each of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
import yaml

from rv_core import ConfigError
from rv_pipeline._structure import FromArgument, Path, spell

_ARGUMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@attrs.frozen
class YamlSource:
    """``data``: as YAML says. ``lines``: the way to a value or key -> its line, from 1 on."""

    name: str
    data: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of a value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: Path, message: str, hint: str | None = None) -> ConfigError:
        """An error about the value at ``path``."""
        inside = "" if not path or str(path[-1]) in message else f" (in {spell(path)})"
        return ConfigError(f"{self.name}:{self.line_of(path)}: {message}{inside}", hint=hint)


def parse(text: str, name: str) -> YamlSource:
    """Read YAML; raises `ConfigError` with the line where it is malformed or doubles a key."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        lines: dict[Path, int] = {}
        data = None if root is None else _read(root, (), lines, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(
            f"{name}:{line}: not YAML: {error.problem or error.context}",
            hint="see the indentation, quotes and colons around that line",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    return YamlSource(name, data, lines)


def fill(source: YamlSource, values: Mapping[str, str]) -> YamlSource:
    """The source with ``${name}`` in its texts replaced; one that is all of a text may stand for
    a number, or true or false.

    Raises `ConfigError` for a name that has no value.
    """

    def replace(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {k: replace(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [replace(v, (*path, i)) for i, v in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in _ARGUMENT.findall(value):
            if name not in values:
                raise source.error(
                    path,
                    f"${{{name}}} has no value",
                    f"give it with -a {name} VALUE, or a default under 'args'",
                )
        filled = _ARGUMENT.sub(lambda match: values[match[1]], value)
        return FromArgument(filled) if _ARGUMENT.fullmatch(value) else filled

    return attrs.evolve(source, data=replace(source.data, ()))


def _read(node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _read_mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        return [_read(item, (*path, i), lines, name) for i, item in enumerate(node.value)]
    return _scalar(node)


def _read_mapping(
    node: yaml.MappingNode, path: Path, lines: dict[Path, int], name: str
) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    own: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            several = isinstance(value_node, yaml.SequenceNode)
            for part in value_node.value if several else [value_node]:
                merged = {**_read(part, path, lines, name), **merged}
            continue
        key = _scalar(key_node)
        line = key_node.start_mark.line + 1
        if key in own:
            raise ConfigError(
                f"{name}:{line}: the key {key!r} is there twice", hint="keep one of them"
            )
        lines[(*path, key)] = line
        own[key] = _read(value_node, (*path, key), lines, name)
    return {**merged, **own}


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
    if not isinstance(value, str | int | float | bool | None):
        return node.value  # dates and the like are texts here
    return value
