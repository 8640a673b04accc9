"""Groups whose commands are imported when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from rv_core import Kernel


class LazyGroup(click.Group):
    """``members``: name -> (``module:attribute``, one line of help)."""

    def __init__(self, *args: Any, members: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._members = members

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._members)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._members:
            return None
        module, _, attribute = self._members[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._help_of(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _help_of(self, ctx: click.Context, name: str) -> str:
        if name in self._members:
            return self._members[name][1]
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=80) if command is not None else ""


def kernel_of(ctx: click.Context) -> Kernel:
    """The kernel that this run of ``rv`` works with, made when it is first asked for.

    Subcommands take it by ``@click.pass_obj``; this is for help and completion, which come
    before. Raises `ConfigError` for settings that cannot be read.
    """
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Kernel(profile=root.params.get("profile"))
    found: Kernel = root.obj
    return found
