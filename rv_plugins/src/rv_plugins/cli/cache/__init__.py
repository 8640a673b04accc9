"""``rv cache``: local copies of remote files."""

from __future__ import annotations

import click

from rv_plugins.cli._lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    members={
        "ls": ("rv_plugins.cli.cache.ls:ls", "What is kept, how large, and when it was used."),
        "clear": ("rv_plugins.cli.cache.clear:clear", "Remove what is kept, or some of it."),
    },
)
def cache() -> None:
    """Local copies of remote files, which all storage shares.

    A copy is used only after the server has said that it is current. What was not used for
    longest goes first where more than 20 GiB are kept, or what RV_CACHE_MAX_BYTES says. The folder
    is that of RV_CACHE_DIR.
    """
