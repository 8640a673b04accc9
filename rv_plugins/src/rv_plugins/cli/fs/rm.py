"""``rv fs rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rv_core import NotFoundError, StorageError, without_secrets
from rv_core.local_files import is_local

from rv_plugins.cli._parameters import URI

if TYPE_CHECKING:
    from rv_core import Kernel


@click.command()
@click.argument("uris", metavar="URI...", type=URI, nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Delete folders, with all that they hold.")
@click.pass_obj
def rm(kernel: Kernel, uris: tuple[str, ...], recursive: bool) -> None:
    """Delete files. Nobody is asked, and nothing can be brought back."""
    for uri in uris:
        kernel.filesystem(uri, "w")  # a read-only system says so before it is asked for anything
        if not recursive and is_folder(kernel, uri):
            raise StorageError(
                f"{without_secrets(uri)} is a folder", hint="delete it and all it holds with -r"
            )
        kernel.files.delete(uri)


def is_folder(kernel: Kernel, uri: str) -> bool:
    """Whether a URI names a folder, and no file."""
    if is_local(uri):
        from pathlib import Path

        from rv_core.local_files import path_of

        path = Path(path_of(uri))
        return path.is_dir() and not path.is_symlink()
    try:
        kernel.files.info(uri)
    except NotFoundError:
        return kernel.files.file_exists(uri)
    return False
