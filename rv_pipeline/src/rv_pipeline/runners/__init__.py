"""Runners: where and how the steps of a workflow are carried out, found by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rv_core import PluginContractError

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.runners.local import Runner

RUNNERS = "rv.runners.v1"


def find_runner(key: str, kernel: Kernel) -> Runner:
    """The runner of a key; raises the errors of `PluginError`."""
    from rv_pipeline import hookspecs, plugin
    from rv_pipeline.runners.local import Runner

    found: Any = None
    known = kernel.keys("runners")
    if key not in known and key.upper() in (*known, *plugin.RUNNERS):
        key = key.upper()
    if key not in known:
        found = plugin.rv_runner(key=key, kernel=kernel)  # as an embedded kernel discovers nothing
    if found is None:
        found = kernel.call(RUNNERS, key, "rv_runner", hookspecs, key=key, kernel=kernel)
    if not (isinstance(found, type) and issubclass(found, Runner)):
        raise PluginContractError(
            f"the plugin of runner {key!r} answered with {found!r}, not a Runner class",
            hint="report it to the plugin's authors",
        )
    return found()
