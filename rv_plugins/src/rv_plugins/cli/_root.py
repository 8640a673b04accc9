"""``rv`` itself: its options, its own subcommands and those that plugins add."""

from __future__ import annotations

import logging
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rv_core import PluginContractError, RVError, UnknownKeyError

from rv_plugins.cli._exits import Usage, exit_code_of, finish
from rv_plugins.cli._lazy import LazyGroup, kernel_of
from rv_plugins.cli._logging import show_log

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

GROUP = "rv.commands.v1"


class Root(LazyGroup):
    """A group whose commands are its own and those of the plugins, loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        try:
            added = kernel_of(ctx).keys("commands")
        except RVError as error:  # help is wanted most when something is wrong
            logger.warning("%s; commands of plugins are left out", error)
            return own
        for name in set(own) & set(added):
            logger.warning("a plugin adds a command %r, but rv has one of its own", name)
        return [*own, *(name for name in added if name not in own)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        kernel = kernel_of(ctx)
        if cmd_name not in kernel.keys("commands"):
            return None
        try:
            found = kernel.load(GROUP, cmd_name)
            if not isinstance(found, click.Command):
                raise PluginContractError(
                    f"the plugin of command {cmd_name!r} offers a {type(found).__name__}, "
                    "not a click.Command",
                    hint="see who adds it: rv plugins why " + cmd_name,
                )
        except RVError as error:
            return Unusable(cmd_name, error)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            raise self._unknown(ctx, name)
        return name, command, args[1:]

    def _unknown(self, ctx: click.Context, name: str) -> RVError | Usage:
        if name.startswith("-"):
            return Usage(f"there is no option {name!r}", hint="see: rv --help", ctx=ctx)
        close = get_close_matches(name, self.list_commands(ctx), n=1)
        try:
            kernel_of(ctx).load(GROUP, name)
            hint = None
        except UnknownKeyError as error:
            hint = error.hint
        except RVError as error:  # there is one, but it is disabled or for another contract
            return error
        if close and "pip install" not in (hint or ""):
            hint = f"did you mean {close[0]!r}?"
        return Usage(f"there is no command {name!r}", hint=hint, ctx=ctx)


class Unusable(click.Command):
    """Stands for a plugin's command that cannot be used, and says why when it is."""

    def __init__(self, name: str, error: RVError) -> None:
        super().__init__(
            name,
            short_help=f"(broken) {error}",
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        self.error = error

    def get_short_help_str(self, limit: int = 45) -> str:
        return f"(broken; see: rv {self.name})"

    def invoke(self, ctx: click.Context) -> NoReturn:
        raise self.error


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rv_core import __version__ as core

    from rv_plugins import __version__ as own

    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"rv {own} (rv-core {core}, Python {python})")
    ctx.exit()


@click.group(
    cls=Root,
    members={
        "plugins": ("rv_plugins.cli.plugins:plugins", "What is installed, and what it serves."),
        "fs": ("rv_plugins.cli.fs:fs", "Files at any URI: ls, cat, cp, sync, stat, rm."),
        "cache": ("rv_plugins.cli.cache:cache", "Local copies of remote files: ls, clear."),
        "models": ("rv_plugins.cli.models:models", "Model defaults, merged, with their origins."),
        "config": ("rv_plugins.cli.config:config", "The settings in effect."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions of rv and of its kernel.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--profile", metavar="NAME", help="Use the user's settings of this name.")
@click.option("-v", "--verbose", count=True, help="Say what is being done; twice: in detail.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars and no warnings.")
@click.pass_context
def root(ctx: click.Context, debug: bool, profile: str | None, verbose: int, quiet: bool) -> None:
    """Deep learning on georeferenced imagery, by plugins.

    Exit codes: 0 success, 1 failure, 2 wrong usage, 130 stopped with Ctrl-C. Shell completion:
    eval "$(_RV_COMPLETE=bash_source rv)", likewise zsh_source and fish_source.
    """
    show_log(-1 if quiet else verbose)
    kernel_of(ctx)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process with its exit code."""
    show_log(0)
    context: list[click.Context] = []
    code: Any = 0
    try:
        _complete()
        with root.make_context("rv", list(sys.argv[1:] if args is None else args)) as ctx:
            context.append(ctx)
            root.invoke(ctx)
    except BaseException as error:  # noqa: BLE001
        code = exit_code_of(error, debug=bool(context) and context[0].params.get("debug", False))
    finish(code)


def _complete() -> None:
    """Answer the shell where it asks what could come next."""
    import os

    instruction = os.environ.get("_RV_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(root, {}, "rv", "_RV_COMPLETE", instruction))
