"""Calling a hook of one plugin, with the cross-cutting ones around it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import attrs
import pluggy

from rv_core import hookspecs
from rv_core._discovery import Claim, named, normalized
from rv_core._errors import ConfigError, PluginContractError, PluginError, RVError
from rv_core._loading import Loader, at_fault, blame
from rv_core._resolution import Index

logger = logging.getLogger(__name__)

Member = tuple[Claim, Any]
"""A plugin that takes part in a call, and the claim it was loaded for."""


@attrs.frozen
class Source:
    """A plugin that gives model defaults, and whether it brings the backend itself (``own``)."""

    claim: Claim
    load: Callable[[], Any]
    own: bool


class Caller:
    """A hook bound to its owner: ``caller(**arguments)`` is the owner's answer.

    Errors of RV's own pass as they are; anything else a plugin raises becomes a
    `PluginLoadError` that names the plugin in whose code it arose.
    """

    def __init__(
        self,
        owner: Member,
        crossing: Sequence[Member],
        hook: str,
        specs: ModuleType | None = None,
        returns: type | None = None,
    ) -> None:
        self._claim, plugin = owner
        self._claims = [claim for claim, _ in crossing] + [self._claim]
        self._file = getattr(plugin, "__file__", None)
        self._returns = returns
        try:
            manager = _manager(plugin, [member for _, member in crossing], specs)
        except pluggy.PluginValidationError as error:
            raise self.contract_error(f"does not fit its hooks: {error}") from error
        callers = manager.get_hookcallers(plugin) or []
        if hook not in [caller.name for caller in callers]:
            raise self.contract_error(f"implements no {hook}, which its entry point promises")
        self._hook = getattr(manager.hook, hook)

    def __call__(self, **arguments: Any) -> Any:
        answer = self.ask(**arguments)
        if answer is None:
            raise self.contract_error("claims the key but answered with None")
        if self._returns is not None and not isinstance(answer, self._returns):
            kind = type(answer).__name__
            raise self.contract_error(f"answered with {kind}, not {self._returns.__name__}")
        return answer

    def ask(self, **arguments: Any) -> Any:
        """The owner's answer, whatever it is."""
        try:
            return self._hook(**arguments)
        except RVError:
            raise
        except (Exception, SystemExit) as error:
            claim, file = at_fault(error, self._claims)
            doing = f"failed to serve {named(self._claim.kind, self._claim.key)}"
            raise blame(claim, error, doing, file or self._file) from error

    def contract_error(self, what: str) -> PluginContractError:
        """The error for an owner that does not keep its contract."""
        return _contract_error(self._claim, self._file, what)


def answered_hooks(member: Member, specs: ModuleType | None = None) -> list[str]:
    """The hooks that a plugin implements itself, beside those that it only wraps.

    Raises `PluginContractError` where it implements or wraps one that it does not fit.
    """
    claim, plugin = member
    declared = {*vars(hookspecs), *vars(specs or hookspecs)}
    try:
        manager = _manager(plugin, [], specs)
    except pluggy.PluginValidationError as error:
        file = getattr(plugin, "__file__", None)
        raise _contract_error(claim, file, f"does not fit its hooks: {error}") from error
    return [
        caller.name
        for caller in manager.get_hookcallers(plugin) or []
        for impl in caller.get_hookimpls()
        if caller.name in declared and not (impl.wrapper or impl.hookwrapper)
    ]


def load_crossing(
    index: Index, loader: Loader, required: Iterable[str], specs: ModuleType | None = None
) -> tuple[Member, ...]:
    """The cross-cutting plugins that are usable, and fit the kernel's hooks and those of ``specs``.

    One that fails is left out with a warning; raises `PluginError` or `ConfigError` instead where
    it is among the ``required``.
    """
    wanted = set(map(normalized, required))
    found: list[Member] = []
    for claim in index.claims:
        if claim.kind != "hooks" or not index.may(claim):
            continue
        try:
            plugin = loader.load(claim)
            _refuse_answers((claim, plugin), specs)
        except PluginError as error:
            loader.refuse(claim, error)
            if claim.distribution in wanted:
                raise
            logger.warning("%s (left out; %s)", error, error.hint)
            continue
        found.append((claim, plugin))
    missing = wanted - {claim.distribution for claim, _ in found}
    if missing:
        raise ConfigError(
            f"[rv] require_hooks names {', '.join(sorted(missing))}, which is not in use",
            hint="install or enable it, or change the setting",
        )
    return tuple(found)


def _contract_error(claim: Claim, file: str | None, what: str) -> PluginContractError:
    where = f" ({file})" if file else ""
    return PluginContractError(
        f"{claim}{where} serves {named(claim.kind, claim.key)}: it {' '.join(what.split())}",
        hint=f"report it to the authors of {claim.distribution}",
        distribution=claim.distribution,
    )


def _refuse_answers(member: Member, specs: ModuleType | None) -> None:
    """A cross-cutting plugin wraps what others answer; it owns no key to answer for itself."""
    answered = answered_hooks(member, specs)
    if answered:
        claim, _ = member
        raise PluginContractError(
            f"{claim} is cross-cutting, but implements {answered[0]} instead of wrapping it",
            hint="mark it @hookimpl(wrapper=True), or claim a key for it",
            distribution=claim.distribution,
        )


def _manager(
    plugin: Any, crossing: Sequence[Any], specs: ModuleType | None
) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if specs is not None:
        manager.add_hookspecs(specs)
    for member in (*crossing, plugin):
        if not manager.is_registered(member):
            manager.register(member)
    return manager
