"""``rv fs sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rv_core import NotFoundError, without_secrets
from rv_core.local_files import is_local, path_of

from rv_plugins.cli._exits import Usage
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
    """Make the folder TARGET hold what the folder SOURCE holds; one of them is on this machine.

    Files that are there and unchanged are not copied again.
    """
    with progress_bar("sync") as on_progress:
        if is_local(source):
            kernel.files.sync_to_dir(path_of(source), target, delete, allow_empty, on_progress)
        elif is_local(target):
            if not kernel.files.file_exists(source):
                raise NotFoundError(f"there are no files below {without_secrets(source)}")
            kernel.files.sync_from_dir(source, path_of(target), delete, on_progress)
        else:
            raise Usage(
                "one of the two folders must be on this machine",
                hint="sync to a local folder first",
            )
