"""Importing the plugin behind a claim, and saying precisely what went wrong where it fails."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from rv_core._discovery import Claim, named
from rv_core._errors import PluginDependencyError, PluginError, PluginLoadError

_off_path = threading.RLock()


class Loader:
    """Imports each claim's target at most once, whoever asks and from however many threads.

    A failure is remembered too: asking again raises the same error without another try.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads: dict[tuple[str, str], _Load] = {}
        self._refused: dict[Claim, PluginError] = {}

    def load(self, claim: Claim) -> Any:
        """The object the claim's target names; raises `PluginLoadError`, or the error
        that it was refused with."""
        key = (claim.distribution, claim.target)
        with self._lock:
            load = self._loads.setdefault(key, _Load())
        with load.lock:
            if not load.done:
                try:
                    load.plugin = _import_target(claim)
                except PluginLoadError as failure:
                    load.error = failure
                load.done = True
        if error := load.error or self._refused.get(claim):
            raise error.with_traceback(None)
        return load.plugin

    def refuse(self, claim: Claim, error: PluginError) -> None:
        """Let a loaded claim count as broken from now on; others to the same target do not."""
        self._refused[claim] = error

    def outcome(self, claim: Claim) -> PluginError | bool:
        """The error of an earlier try, else whether the target is loaded. Imports nothing."""
        load = self._loads.get((claim.distribution, claim.target))
        if load is None or not load.done:
            return False
        return load.error or self._refused.get(claim) or True


class _Load:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.done = False
        self.plugin: Any = None
        self.error: PluginLoadError | None = None


def blame(claim: Claim, error: BaseException, doing: str, file: str | None) -> PluginLoadError:
    """The error that tells a user which plugin failed, where, and what to do about it."""
    where = f" ({file})" if file else f" (in {claim.location})" if claim.location else ""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    message = f"{claim}{where} {doing}: {' '.join(said.split())}"
    own_package = claim.target.partition(":")[0].partition(".")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and missing.partition(".")[0] != own_package:
        return PluginDependencyError(
            message,
            hint=f"it needs {missing.partition('.')[0]!r}: reinstall it with what it declares, "
            f"pip install --upgrade {claim.distribution}",
            distribution=claim.distribution,
        )
    return PluginLoadError(
        message,
        hint=f"report it to the authors of {claim.distribution}, try another version, or disable "
        f"it: RV_DISABLE_PLUGINS={claim.distribution}",
        distribution=claim.distribution,
    )


def _import_target(claim: Claim) -> Any:
    name, _, attribute = claim.target.partition(":")
    doing = f"failed to import for {named(claim.kind, claim.key)}"
    try:
        plugin: Any = _import_module(name, claim.location)
    except (Exception, SystemExit) as error:
        raise blame(claim, error, doing, at_fault(error, [claim])[1]) from error
    for part in attribute.split(".") if attribute else ():
        try:
            plugin = getattr(plugin, part)
        except AttributeError as error:
            what = f"names {claim.target!r} for {named(claim.kind, claim.key)}, which is not there"
            raise blame(claim, error, what, getattr(plugin, "__file__", None)) from error
    return plugin


def _import_module(name: str, location: str) -> ModuleType:
    """Import a module; from the distribution's own folder where ``sys.path`` does not lead there.

    A kernel's ``path`` may name folders that are not on ``sys.path``, which is the process's and
    not ours to change. Raises ImportError where another file of this name is imported already.
    """
    top = name.partition(".")[0]
    own = PathFinder.find_spec(top, [location]) if location else None
    if own is not None and own.loader is not None and location not in sys.path:
        with _off_path:  # importlib's own locks know nothing of what is executed here
            if top not in sys.modules:
                module = importlib.util.module_from_spec(own)
                sys.modules[top] = module
                try:
                    own.loader.exec_module(module)
                except BaseException:
                    sys.modules.pop(top, None)
                    raise
    loaded = getattr(getattr(sys.modules.get(top), "__spec__", None), "origin", None)
    if own is not None and loaded and own.origin and not _same(loaded, own.origin):
        raise ImportError(
            f"module {top!r} of this distribution is {own.origin}, but {loaded} is already "
            "imported under that name"
        )
    return importlib.import_module(name)


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def at_fault(error: BaseException, claims: Sequence[Claim]) -> tuple[Claim, str | None]:
    """The claim in whose package an error arose, and the file; the last claim where none did."""
    packages = {claim.target.partition(":")[0].partition(".")[0]: claim for claim in claims}
    found: tuple[Claim, str | None] = claims[-1], None
    if isinstance(error, SyntaxError) and error.filename:
        found = claims[-1], error.filename
    step = error.__traceback__
    while step is not None:
        package = str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages:
            found = packages[package], step.tb_frame.f_code.co_filename
        step = step.tb_next
    return found
