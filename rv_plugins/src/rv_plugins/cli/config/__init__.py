"""``rv config``."""

from __future__ import annotations

import click

from rv_plugins.cli._lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    members={
        "show": ("rv_plugins.cli.config.show:show", "Every setting and where it comes from."),
    },
)
def config() -> None:
    """The settings in effect.

    They come from RV_* variables, rv.toml in this folder or one above, and the user's file
    (another of them with 'rv --profile NAME'), in this order of rank.
    """
