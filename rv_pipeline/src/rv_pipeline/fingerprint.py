"""Fingerprints: what a command's output was made from.

A fingerprint has four parts: ``config`` (the options that shape the output, model defaults
filled in), ``inputs`` (URI -> identity of the file), ``upstream`` (command -> identity of its
output) and ``plugins`` (distribution -> version). Equal parts mean that the command would make
the same output again; what differs is the reason to run it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from rv_core.cache import unsigned

from rv_core import BackendConfig, ClassMap, StorageError, without_password

if TYPE_CHECKING:
    from rv_core import Kernel

_ABSENT = object()
_SHOWN_DIFFERENCES = 3
_SHOWN_CHARS = 60
HOW = "how"
IN_USE = ("ready", "loaded")
"""The statuses of keys that a plugin serves; a rival that is disabled or passed over does not."""


@attrs.frozen
class Fingerprint:
    """All parts are JSON-able."""

    config: Mapping[str, Any]
    inputs: Mapping[str, str] = attrs.field(factory=dict)
    upstream: Mapping[str, str] = attrs.field(factory=dict)
    plugins: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def digest(self) -> str:
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """As it is written: signatures and passwords are left out of the URIs of inputs."""
        data = attrs.asdict(self, recurse=False)
        return {**data, "inputs": {_lasting(uri): has for uri, has in self.inputs.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        return cls(**{field.name: data[field.name] for field in attrs.fields(cls)})


def digest_of(data: Any) -> str:
    """sha256, in hex, of JSON-able data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """Config objects as JSON-able data; a class's ``type`` tag is kept. Fields that say how a thing
    is done, and not what comes of it (`HOW` in their metadata), are left out, and so is of URIs
    what is a password or a signature."""
    if isinstance(value, ClassMap):
        return value.to_dict()
    if isinstance(value, BackendConfig):
        return value.to_dict()
    if attrs.has(type(value)):
        tag = getattr(type(value), "type", None)
        fields = {
            f.name: plain(getattr(value, f.name))
            for f in attrs.fields(type(value))
            if not f.metadata.get(HOW)
        }
        return {"type": tag, **fields} if isinstance(tag, str) else fields
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return _lasting(value) if isinstance(value, str) and "://" in value else value


def _lasting(uri: str) -> str:
    """What stays the same of a URI where it is signed again."""
    try:
        return without_password(unsigned(uri))
    except StorageError:  # whoever reads it will hear of it
        return without_password(uri)


def identify(uri: str, kernel: Kernel) -> str:
    """What tells one version of a file from the next: its etag or time, and its size.

    Raises `StorageError` where the file cannot be reached.
    """
    info = kernel.files.info(uri)
    version = info.etag or (info.last_modified.isoformat() if info.last_modified else "unknown")
    return f"{version} {info.size} B"


def plugin_versions(kernel: Kernel, claims: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Distribution -> version of the plugins that serve (kind, key) pairs; embedded ones, which
    have no distribution, are left out. The pipeline's own version is always part of it."""
    from rv_pipeline._version import VERSION

    wanted = set(claims)
    versions = {"rv-pipeline": VERSION}
    for plugin in kernel.plugins():
        if any((k.kind, k.key) in wanted and k.status in IN_USE for k in plugin.keys):
            versions[plugin.distribution] = plugin.version
    return versions


def differences(old: Fingerprint, new: Fingerprint) -> list[str]:
    """What changed from one fingerprint to another, a short phrase each."""
    phrases: list[str] = []
    for path, before, after in _compare(dict(old.config), dict(new.config)):
        phrases.append(f"{path}: {_show(before)} -> {_show(after)}")
    for uri, before, after in _compare_flat(old.to_dict()["inputs"], new.to_dict()["inputs"]):
        verb = (
            "is new"
            if before is _ABSENT
            else "is not used any more"
            if after is _ABSENT
            else "changed"
        )
        phrases.append(f"{uri} {verb}")
    for command, _, _ in _compare_flat(old.upstream, new.upstream):
        phrases.append(f"{command.upper()} made something else")
    for name, before, after in _compare_flat(old.plugins, new.plugins):
        phrases.append(f"{name} {_show(before)} -> {_show(after)}")
    return phrases


def describe(phrases: list[str]) -> str:
    """The first few differences as one line."""
    more = len(phrases) - _SHOWN_DIFFERENCES
    line = "; ".join(phrases[:_SHOWN_DIFFERENCES])
    return f"{line}; and {more} more" if more > 0 else line


def _compare(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            below = f"{path}.{key}" if path else key
            yield from _compare(old.get(key, _ABSENT), new.get(key, _ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _compare(before, after, f"{path}[{i}]")
    elif old != new and not (_is_nan(old) and _is_nan(new)):  # a nodata value may be NaN
        yield path, old, new


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _compare_flat(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if before != after:
            yield key, before, after


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
