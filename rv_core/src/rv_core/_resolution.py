"""Which claim serves a key: versions, disabling, pins and conflicts, decided before any import."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final

import attrs

from rv_core._discovery import (
    BROKEN,
    CONFLICT,
    DISABLED,
    INCOMPATIBLE,
    LOADED,
    PASSED_OVER,
    READY,
    SHADOWED,
    Claim,
    KeyInfo,
    PluginInfo,
    named,
    normalized,
    speaks,
)
from rv_core._errors import (
    ConfigError,
    PluginConflictError,
    PluginDisabledError,
    PluginError,
    PluginIncompatibleError,
    UnknownKeyError,
)
from rv_core.hookspecs import CONTRACT_VERSIONS, FALLBACK_KEY

Outcome = Callable[[Claim], PluginError | bool]

ANY_KIND: Final = "key"
"""What `unknown` takes for the kind of a key that may be of any."""


@attrs.frozen(eq=False)
class Index:
    """The claims of what is installed, and the rules that choose among them.

    ``disabled``: distribution -> what disabled it. ``pins``: key -> distribution.
    """

    claims: tuple[Claim, ...]
    disabled: Mapping[str, str]
    pins: Mapping[str, str]
    _by_key: dict[tuple[str, str], list[Claim]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for claim in self.claims:
            self._by_key.setdefault((claim.kind, claim.key), []).append(claim)

    def candidates(self, kind: str, key: str) -> list[Claim]:
        """All claims to a key, usable or not."""
        return self._by_key.get((kind, key), [])

    def usable(self, kind: str, key: str, contract: int) -> list[Claim]:
        """The claims to a key that may answer."""
        return [c for c in self.candidates(kind, key) if c.contract == contract and self.may(c)]

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind that somebody usable claims."""
        return sorted({c.key for c in self.claims if c.kind == kind and self.may(c)})

    def kinds(self) -> list[str]:
        return sorted({claim.kind for claim in self.claims})

    def winner(self, kind: str, contract: int, key: str) -> Claim:
        """The one claim that serves a key; raises the `PluginError` that says why there is none."""
        usable = self.usable(kind, key, contract)
        pin = self.pins.get(key)
        fallback = self.fallback(kind, contract)
        if pin is not None and (self.candidates(kind, key) or fallback):
            pinned = [c for c in usable if c.distribution == normalized(pin)]
            pinned = pinned or self.pinned_fallback(kind, contract, key)
            if not pinned:
                there = ", ".join(str(c) for c in usable or fallback) or "nobody usable"
                raise ConfigError(
                    f"{named(kind, key)} is pinned to {pin}, which does not serve it here",
                    hint=f"it is served by {there}: change the pin or install {pin}",
                )
            usable = pinned
        if len({(c.distribution, c.target) for c in usable}) > 1:
            raise PluginConflictError(
                f"{named(kind, key)} is claimed by {' and '.join(str(c) for c in usable)}",
                hint=f"pin one in rv.toml, {_pin(key, usable[0])}, or disable the other",
            )
        return usable[0] if usable else self._none(kind, contract, key)

    def fallback(self, kind: str, contract: int) -> list[Claim]:
        """The usable claims to every key of a kind that nobody else claims; only storage has
        such keys."""
        return self.usable(kind, FALLBACK_KEY, contract) if kind == "filesystems" else []

    def pinned_fallback(self, kind: str, contract: int, key: str) -> list[Claim]:
        """Those of them that a pin has chosen for a key, whoever else claims it."""
        pin = self.pins.get(key)
        if pin is None or key == FALLBACK_KEY:
            return []
        return [c for c in self.fallback(kind, contract) if c.distribution == normalized(pin)]

    def plugins(self, outcome: Outcome) -> list[PluginInfo]:
        """Every distribution that claims something, with the status of its keys."""
        grouped: dict[tuple[str, str, str], list[Claim]] = {}
        for claim in self.claims:
            grouped.setdefault((claim.distribution, claim.version, claim.location), []).append(
                claim
            )
        return [
            PluginInfo(name, version, location, tuple(self.info(c, outcome) for c in claims))
            for (name, version, location), claims in sorted(grouped.items())
        ]

    def info(self, claim: Claim, outcome: Outcome, asked: str | None = None) -> KeyInfo:
        """What became of a claim; ``asked``: for which key, where it is one to any."""
        status, detail = self._status(claim, outcome, asked or claim.key)
        return KeyInfo(claim.kind, claim.contract, claim.key, claim.target, status, detail)

    def _status(self, claim: Claim, outcome: Outcome, asked: str) -> tuple[str, str]:
        if claim.shadowed:
            same = [c for c in self.claims if c.distribution == claim.distribution]
            first = next((f": {c.location}" for c in same if not c.shadowed), "")
            return SHADOWED, f"another copy comes first on the path{first}"
        if claim.distribution in self.disabled:
            return DISABLED, f"by {self.disabled[claim.distribution]}"
        if not speaks(claim):
            known = CONTRACT_VERSIONS[claim.kind]
            return INCOMPATIBLE, f"speaks {claim.kind} v{claim.contract}, this kernel v{known}"
        loaded = outcome(claim)
        if isinstance(loaded, PluginError):
            return BROKEN, loaded.message
        if claim.kind not in ("hooks", "model_defaults"):
            rivals = [c for c in self.usable(claim.kind, claim.key, claim.contract) if c != claim]
            pin = self.pins.get(asked)
            if pin is not None and normalized(pin) != claim.distribution:
                return PASSED_OVER, f"pinned to {pin}"
            if rivals and pin is None:
                return CONFLICT, "also claimed by " + ", ".join(str(c) for c in rivals)
        return (LOADED if loaded else READY), ""

    def may(self, claim: Claim) -> bool:
        """Whether a claim is in the race: not shadowed, not disabled, of a contract we speak."""
        return not claim.shadowed and claim.distribution not in self.disabled and speaks(claim)

    def _none(self, kind: str, contract: int, key: str) -> Claim:
        for claim in self.candidates(kind, key):
            if claim.distribution in self.disabled:
                others = self.fallback(kind, contract)
                raise PluginDisabledError(
                    f"{named(kind, key)} is served by {claim}, which is disabled by "
                    f"{self.disabled[claim.distribution]}",
                    hint="enable it there"
                    + (f", or choose another: {_pin(key, others[0])}" if others else ""),
                    distribution=claim.distribution,
                )
            if claim.contract != contract:
                raise PluginIncompatibleError(
                    f"{named(kind, key)} is served by {claim} for contract v{claim.contract}, "
                    f"but this kernel speaks v{contract}",
                    hint=f"install another version of {claim.distribution}, or of rv-core",
                    distribution=claim.distribution,
                )
        beside = self._others(kind, contract) if kind == "filesystems" else ""
        raise unknown(kind, key, self.keys(kind), others=beside)

    def _others(self, kind: str, contract: int) -> str:
        """What a user may want to know who asks for a scheme that nobody claims."""
        if found := self.fallback(kind, contract):
            return f"{found[0].distribution} serves others, but not this one"
        for claim in self.candidates(kind, FALLBACK_KEY):
            if by := self.disabled.get(claim.distribution):
                return f"{claim.distribution}, which serves others, is disabled by {by}"
        return f"many others: pip install {known_plugins()[kind][FALLBACK_KEY]}"


def unknown(
    kind: str, key: str, installed: Iterable[str], also: str = "", others: str = ""
) -> UnknownKeyError:
    """The error for a key nobody serves: close matches of the same kind, what there is, and what
    to install. ``kind``: that of a plugin, or `ANY_KIND`."""
    installed = [name for name in installed if name != FALLBACK_KEY]
    known = known_plugins()
    kinds = known if kind == ANY_KIND else [kind]
    first_party = {name: by for each in kinds for name, by in known.get(each, {}).items()}
    hints = []
    if key in first_party:
        hints.append(f"pip install {first_party[key]}")
    elif close := get_close_matches(key, [*installed, *first_party], n=1, cutoff=0.7):
        missing = first_party.get(close[0]) if close[0] not in installed else None
        hints.append(
            f"did you mean {close[0]!r}?" + (f" (pip install {missing})" if missing else "")
        )
    hints.append(f"installed: {', '.join(installed) or 'none'}")
    if others:
        hints.append(others)
    message = f"no installed plugin serves {named(kind, key)}{also}"
    return UnknownKeyError(message, hint="; ".join(hints))


@cache
def known_plugins() -> Mapping[str, Mapping[str, str]]:
    """Of each kind the first-party keys and the distribution that brings each, for install
    hints."""
    text = resources.files("rv_core").joinpath("known_plugins.json").read_text("utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def _pin(key: str, claim: Claim) -> str:
    """The setting that lets a claim win."""
    plain = key.replace("_", "").replace("-", "").isalnum()
    name = key if plain else f'"{key}"'
    return f'[rv.pins] {name} = "{claim.distribution}"'
