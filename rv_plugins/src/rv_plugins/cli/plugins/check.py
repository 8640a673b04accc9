"""``rv plugins check``: whether each plugin can be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from rv_plugins.cli._parameters import json_option
from rv_plugins.cli._tables import show_json, show_table
from rv_plugins.cli.plugins import as_dict

if TYPE_CHECKING:
    from rv_core import Kernel, KeyInfo, PluginInfo

_BAD = ("broken", "conflict")


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Import every plugin that is not disabled and report.

    The exit code is 1 when one is broken or two are in conflict.
    """
    kernel: Kernel = ctx.obj
    found = [_with_commands_checked(kernel, plugin) for plugin in kernel.check()]
    if as_json:
        show_json([as_dict(plugin) for plugin in found])
    else:
        show_table(
            ("distribution", "version", "kind", "key", "status", "detail"),
            [
                (p.distribution, p.version, key.kind, key.key, key.status, key.detail)
                for p in found
                for key in p.keys
            ],
        )
    if any(key.status in _BAD for plugin in found for key in plugin.keys):
        ctx.exit(1)


def _with_commands_checked(kernel: Kernel, plugin: PluginInfo) -> PluginInfo:
    """What is offered as a command must be one; for other kinds the kernel knows the rules."""
    keys = tuple(_command_checked(kernel, key) for key in plugin.keys)
    return attrs.evolve(plugin, keys=keys)


def _command_checked(kernel: Kernel, key: KeyInfo) -> KeyInfo:
    if key.kind != "commands" or key.status != "loaded":
        return key
    found = kernel.load(f"rv.commands.v{key.contract}", key.key)
    if isinstance(found, click.Command):
        return key
    detail = f"{key.target} is a {type(found).__name__}, not a click.Command"
    return attrs.evolve(key, status="broken", detail=detail)
