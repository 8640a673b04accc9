"""``rv plugins new``: the start of a plugin package."""

from __future__ import annotations

from pathlib import Path

import click

from rv_plugins.templates import KINDS, write_package


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it adds to RV.")
@click.option("--key", help="The URI scheme or backend it serves; made from NAME if it can be.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where its folder is made; here if not given.",
)
def new(name: str, kind: str, key: str | None, into: Path) -> None:
    """Write a small package for a plugin, ready to install, test and publish.

    NAME is the distribution's, such as acme-rv-mem; a folder of that name is made.
    """
    made = write_package(into, name, kind, key)
    click.echo(f"Wrote {made}. Next:")
    click.echo(f"  cd {made} && python -m pip install -e . && python -m pytest")
