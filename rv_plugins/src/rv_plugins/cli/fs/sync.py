"""``rv fs sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rv_plugins.cli._parameters import URI
from rv_plugins.cli._progress import progress_bar

if TYPE_CHECKING:
    from rv_core import Kernel


@click.command()
@click.argument("source", type=URI)
@click.argument("target", type=URI)
@click.option("--delete", is_flag=True, help="Delete in TARGET what is not in SOURCE.")
@click.option("--allow-empty", is_flag=True, help="Let an empty SOURCE delete all of TARGET.")
@click.pass_obj
def sync(kernel: Kernel, source: str, target: str, delete: bool, allow_empty: bool) -> None:
    """Make the folder TARGET hold what the folder SOURCE holds, wherever they are.

    Files that are there and unchanged are not copied again. Nothing is deleted unless all files
    were copied. Symbolic links are left out.
    """
    with progress_bar("sync") as on_progress:
        kernel.files.sync(source, target, delete, allow_empty, on_progress)
