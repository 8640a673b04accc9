"""``rv fs cp``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rv_core import NotFoundError, StorageError, without_secrets
from rv_core.local_files import path_of

from rv_plugins.cli._exits import Usage
from rv_plugins.cli._parameters import URI
from rv_plugins.cli._progress import progress_bar
from rv_plugins.cli.fs.rm import is_folder

if TYPE_CHECKING:
    from rv_core import Kernel


@click.command()
@click.argument("sources", metavar="SOURCE...", type=URI, nargs=-1, required=True)
@click.argument("target", type=URI)
@click.pass_obj
def cp(kernel: Kernel, sources: tuple[str, ...], target: str) -> None:
    """Copy SOURCE to TARGET, or several of them into the folder TARGET.

    A TARGET is a folder where it ends in a slash or is one on this machine.
    """
    there = kernel.filesystem(target, "w")
    into = target.endswith("/") or (there.is_local and Path(path_of(target)).is_dir())
    if len(sources) > 1 and not into:
        raise Usage(
            f"{len(sources)} files cannot be copied to the one name {without_secrets(target)}",
            hint=f"name a folder: {without_secrets(target)}/",
        )
    for source in sources:
        name = name_of(kernel, source) if into else None
        goal = target if name is None else there.uri_below(target, name)
        try:
            with progress_bar(name or without_secrets(source)) as on_progress:
                kernel.files.copy(source, goal, on_progress)
        except NotFoundError as error:
            with suppress(StorageError):
                if is_folder(kernel, source):
                    raise Usage(
                        f"{without_secrets(source)} is a folder", hint="rv fs sync copies folders"
                    ) from error
            raise


def name_of(kernel: Kernel, uri: str) -> str:
    """The file name that a URI ends in. Raises `Usage` where it ends in none that is usable."""
    name = kernel.filesystem(uri).name_below(uri, uri)
    separators = "/\\:" if os.name == "nt" else "/"
    if name in ("", ".", "..") or "\0" in name or any(char in name for char in separators):
        raise Usage(f"{without_secrets(uri)} ends in no file name", hint="name the target file")
    return name
