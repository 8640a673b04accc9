"""Plugins handed to a kernel by the program that embeds it; nothing else is discovered."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from rv_core._calling import Caller, Member, answered_hooks
from rv_core._discovery import LOADED, Claim, KeyInfo, PluginInfo, named, normalized
from rv_core._errors import ConfigError, PluginConflictError
from rv_core._loading import Loader
from rv_core._resolution import unknown


class Embedded:
    """The given plugins. They claim no keys: each is asked, and answers for what is its own.

    Two that answer for one key are a conflict, unless ``pins`` maps the key to the name of one.
    """

    def __init__(
        self, plugins: Iterable[object], disabled: Mapping[str, str], pins: Mapping[str, str]
    ) -> None:
        self._pins = pins
        named = [(_name(plugin), plugin) for plugin in plugins]
        self._loader = Loader()
        self._given = [(name, p) for name, p in named if normalized(name) not in disabled]

    @property
    def members(self) -> list[Member]:
        """The plugins, those given by name imported, each with a claim to blame it by."""
        members = []
        for name, given in self._given:
            claim = _claim(name, given)
            members.append((claim, self._loader.load(claim) if isinstance(given, str) else given))
        return members

    def owner(
        self, kind: str, key: str, hook: str, specs: ModuleType | None, arguments: Mapping[str, Any]
    ) -> Member:
        """The plugin that answers for a key."""
        answering = [m for m in self.members if hook in answered_hooks(m, specs)]
        owners = [m for m in answering if Caller(m, [], hook, specs).ask(**arguments) is not None]
        if len(owners) > 1 and key in self._pins:
            pin, there = self._pins[key], [claim.distribution for claim, _ in owners]
            owners = [m for m in owners if normalized(m[0].distribution) == normalized(pin)]
            if not owners:
                raise ConfigError(
                    f"{named(kind, key)} is pinned to {pin}, which does not serve it here",
                    hint=f"it is served by {' and '.join(there)}: change the pin",
                )
        if len(owners) > 1:
            names = " and ".join(claim.distribution for claim, _ in owners)
            raise PluginConflictError(
                f"{named(kind, key)} is answered by {names}",
                hint=f"pin one in config['rv']['pins']: {key!r} to {owners[0][0].distribution!r}",
            )
        if not owners:
            names = ", ".join(name for name, _ in self._given) or "no plugin at all"
            raise unknown(kind, key, (), also=f"; this kernel was given {names}")
        return owners[0]

    def wrapping(self, hook: str, specs: ModuleType | None = None) -> list[Member]:
        """The plugins that do not answer a hook themselves; they may wrap those that do."""
        return [m for m in self.members if hook not in answered_hooks(m, specs)]

    def defaults(self) -> list[tuple[Member, bool]]:
        """The plugins that give model defaults, and whether each brings a backend itself."""
        hooks = [(member, answered_hooks(member)) for member in self.members]
        return [(m, "rv_backend" in names) for m, names in hooks if "rv_model_defaults" in names]

    def plugins(self) -> list[PluginInfo]:
        return [
            PluginInfo(
                claim.distribution,
                claim.version,
                claim.location,
                tuple(
                    KeyInfo("embedded", 1, hook, claim.target, LOADED)
                    for hook in answered_hooks((claim, plugin))
                ),
            )
            for claim, plugin in self.members
        ]

    def names(self) -> tuple[str, ...]:
        """The importable names of the plugins, for another process to import them by."""
        for name, plugin in self._given:
            if not isinstance(plugin, str) and _found_under(name) is not plugin:
                raise ConfigError(
                    f"the plugin {plugin!r} cannot be sent to a worker: it has no importable name",
                    hint="give it by name, Kernel(plugins=['package.module:attribute'])",
                )
        return tuple(name for name, _ in self._given)


def _name(plugin: object) -> str:
    if isinstance(plugin, str):
        return plugin
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    owner = plugin if isinstance(plugin, type) else type(plugin)
    name = getattr(plugin, "__qualname__", None)
    if name is None:
        module = sys.modules.get(owner.__module__)
        name = next(
            (n for n, v in vars(module or owner).items() if v is plugin), owner.__qualname__
        )
    return f"{owner.__module__}:{name}"


def _found_under(name: str) -> object:
    module, _, attribute = name.partition(":")
    found: object = sys.modules.get(module)
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part, None)
    return found


def _claim(name: str, plugin: object) -> Claim:
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(name.partition(":")[0])
    version = getattr(plugin, "__version__", None) or getattr(module, "__version__", "")
    file = getattr(module, "__file__", None) or ""
    return Claim("plugin", 1, name, name, name, str(version), str(file))
