"""What is installed: the index of entry points, read without importing a plugin."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from rv_core.hookspecs import CONTRACT_VERSIONS

logger = logging.getLogger(__name__)

_GROUP = re.compile(r"rv\.([a-z_]+)\.v(\d+)\Z")
_SEPARATORS = re.compile(r"[-_.]+")

READY: Final = "ready"
LOADED: Final = "loaded"
DISABLED: Final = "disabled"
INCOMPATIBLE: Final = "incompatible"
SHADOWED: Final = "shadowed"
CONFLICT: Final = "conflict"
PASSED_OVER: Final = "passed over"
BROKEN: Final = "broken"

SEVERITY: Final = (READY, LOADED, PASSED_OVER, DISABLED, SHADOWED, INCOMPATIBLE, CONFLICT, BROKEN)
"""Statuses, the ones that ask for attention last."""


@attrs.frozen
class Claim:
    """One entry point: a distribution says that it serves ``key`` of ``kind``.

    ``target`` is ``module`` or ``module:attribute``. ``location`` is the folder that the
    distribution's metadata lies in. ``shadowed``: another copy comes first on the path.
    """

    kind: str
    contract: int
    key: str
    target: str
    distribution: str
    version: str
    location: str
    shadowed: bool = False

    @property
    def group(self) -> str:
        return f"rv.{self.kind}.v{self.contract}"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@attrs.frozen
class KeyInfo:
    """A key that a plugin claims, and what came of it. ``detail`` says why, where that helps."""

    kind: str
    contract: int
    key: str
    target: str
    status: str
    detail: str = ""


@attrs.frozen
class PluginInfo:
    """An installed distribution that is a plugin; no line of it has run for this."""

    distribution: str
    version: str
    location: str
    keys: tuple[KeyInfo, ...]

    @property
    def status(self) -> str:
        """The status of its keys that asks for the most attention."""
        return max((key.status for key in self.keys), key=SEVERITY.index, default=READY)


def normalized(name: str) -> str:
    """A distribution's name in the form that all its spellings share (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def named(kind: str, key: str) -> str:
    """A key as messages call it: ``filesystem 'mem'``."""
    return f"{kind.replace('_', ' ').removesuffix('s')} {key!r}"


def split_group(group: str) -> tuple[str, int]:
    """Kind and contract version of an entry-point group such as ``rv.filesystems.v1``."""
    match = _GROUP.match(group)
    if match is None:
        raise ValueError(f"{group!r} is not a group of RV's; they look like 'rv.filesystems.v1'")
    return match[1], int(match[2])


def read_index(path: Iterable[str] | None) -> tuple[Claim, ...]:
    """All claims of the distributions on a path (``sys.path`` for ``None``), by key and name.

    The first copy of a distribution on the path is the one that Python would import; later ones
    are marked as shadowed. One whose metadata cannot be read is left out with a warning.
    """
    import importlib_metadata

    where: dict[str, Any] = {} if path is None else {"path": list(path)}
    claims: set[Claim] = set()  # a folder may be on the path twice
    for distribution in importlib_metadata.distributions(**where):
        try:
            claims.update(_claims_of(distribution, where))
        except Exception as error:  # noqa: BLE001 - whatever one of them is made of
            logger.warning(
                "the metadata of an installed distribution cannot be read, it is left out: %s "
                "(%s: %s); reinstall or remove it",
                getattr(distribution, "_path", distribution.locate_file("")),
                type(error).__name__,
                error,
            )
    return tuple(sorted(claims, key=lambda c: (c.kind, c.key, c.distribution, c.shadowed)))


def speaks(claim: Claim) -> bool:
    """Whether the kernel knows the claim's contract version; kinds of plugins' own always do."""
    return CONTRACT_VERSIONS.get(claim.kind, claim.contract) == claim.contract


def _claims_of(distribution: Any, where: Mapping[str, Any]) -> list[Claim]:
    import importlib_metadata

    # Most distributions are no plugins: the text is looked at before it is parsed.
    if "rv." not in (distribution.read_text("entry_points.txt") or ""):
        return []
    entries = [(e, m) for e in distribution.entry_points if (m := _GROUP.match(e.group))]
    if not entries:
        return []
    metadata: Any = distribution.metadata
    name = normalized(metadata["Name"])
    location = str(distribution.locate_file(""))
    first = next(iter(importlib_metadata.distributions(name=name, **where)), distribution)
    return [
        Claim(
            kind=match[1],
            contract=int(match[2]),
            key=_key(match[1], entry.name),
            target=_target(entry.value),
            distribution=name,
            version=metadata["Version"],
            location=location,
            shadowed=str(first.locate_file("")) != location,
        )
        for entry, match in entries
    ]


def _target(value: str) -> str:
    """An entry point's value without the extras that it may name (``module:attribute [extra]``)."""
    return value.partition("[")[0].replace(" ", "")


def _key(kind: str, name: str) -> str:
    return name.lower() if kind == "filesystems" else name
