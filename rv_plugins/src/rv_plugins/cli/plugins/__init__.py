"""``rv plugins``: what is installed. No plugin is imported for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rv_plugins.cli._lazy import LazyGroup
from rv_plugins.cli._parameters import json_option
from rv_plugins.cli._tables import show_json, show_table

if TYPE_CHECKING:
    from rv_core import Kernel, PluginInfo


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    members={
        "why": ("rv_plugins.cli.plugins.why:why", "Who answers for a key or a URI, and why."),
        "check": ("rv_plugins.cli.plugins.check:check", "Import every plugin and report."),
        "new": ("rv_plugins.cli.plugins.new:new", "Start a plugin package of your own."),
    },
)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List what is installed: distribution, version, status, keys and location.

    No plugin is imported for it, so 'ready' means that nothing speaks against it; 'rv plugins
    check' imports them.
    """
    if ctx.invoked_subcommand is not None:
        return
    kernel: Kernel = ctx.obj
    found = kernel.plugins()
    if as_json:
        show_json([as_dict(plugin) for plugin in found])
        return
    show_plugins(found)


def show_plugins(found: list[PluginInfo]) -> None:
    """A row for each distribution."""
    show_table(
        ("distribution", "version", "status", "keys", "location", "notes"),
        [(p.distribution, p.version, p.status, _keys(p), p.location, _notes(p)) for p in found],
    )


def as_dict(plugin: PluginInfo) -> dict[str, object]:
    """What ``--json`` shows of a plugin."""
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "location": plugin.location,
        "keys": [
            {
                "kind": key.kind,
                "contract": key.contract,
                "key": key.key,
                "target": key.target,
                "status": key.status,
                "detail": key.detail,
            }
            for key in plugin.keys
        ],
    }


def _keys(plugin: PluginInfo) -> str:
    """``backends:A,B commands:run``: one word for each kind."""
    kinds: dict[str, list[str]] = {}
    for key in plugin.keys:
        kinds.setdefault(key.kind, []).append(key.key)
    return " ".join(f"{kind}:{','.join(keys)}" for kind, keys in kinds.items())


def _notes(plugin: PluginInfo) -> str:
    details = {key.detail: key.key for key in plugin.keys if key.detail}
    if len(details) == 1:
        return next(iter(details))
    return "; ".join(f"{key}: {detail}" for detail, key in details.items())
