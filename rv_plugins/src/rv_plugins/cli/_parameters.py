"""Arguments that several commands take, and what the shell can complete of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rv_core import RVError

from rv_plugins.cli._lazy import kernel_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Uri(click.ParamType[str]):
    """A path or URI; the shell completes local ones."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


URI = Uri()


def complete_backend(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Backends that have model defaults."""
    return _keys(ctx, incomplete, "model_defaults", "backends")


def complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Keys of any kind."""
    try:
        found = {key.key for plugin in kernel_of(ctx).plugins() for key in plugin.keys}
    except RVError:
        return []
    return sorted(key for key in found if key.startswith(incomplete))


def _keys(ctx: click.Context, incomplete: str, *kinds: str) -> list[str]:
    try:
        found = {key for kind in kinds for key in kernel_of(ctx).keys(kind)}
    except RVError:
        return []
    return sorted(key for key in found if key.startswith(incomplete))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
