"""``rv fs cp``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import click
from rv_core import join, scheme_of, without_secrets
from rv_core.local_files import is_local, path_of

from rv_plugins.cli._exits import Usage
from rv_plugins.cli._parameters import URI
from rv_plugins.cli._progress import progress_bar

if TYPE_CHECKING:
    from rv_core import Kernel

_PERCENT_ENCODED = ("http", "https")


@click.command()
@click.argument("sources", metavar="SOURCE...", type=URI, nargs=-1, required=True)
@click.argument("target", type=URI)
@click.pass_obj
def cp(kernel: Kernel, sources: tuple[str, ...], target: str) -> None:
    """Copy SOURCE to TARGET, or several of them into the folder TARGET.

    A TARGET is a folder where it ends in a slash or is one on this machine.
    """
    into = target.endswith("/") or (is_local(target) and Path(path_of(target)).is_dir())
    if len(sources) > 1 and not into:
        raise Usage(
            f"{len(sources)} files cannot be copied to the one name {without_secrets(target)}",
            hint=f"name a folder: {without_secrets(target)}/",
        )
    for source in sources:
        goal = below(target, name_of(source)) if into else target
        with progress_bar(name_of(source)) as on_progress:
            kernel.files.copy(source, goal, on_progress)


def name_of(uri: str) -> str:
    """The file name that a URI ends in. Raises `Usage` where it ends in none that is usable."""
    plain = _is_encoded(uri)
    last = without_secrets(path_of(uri) if is_local(uri) else uri).rpartition("/")[2]
    name = unquote(last) if plain and not is_local(uri) else last
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Usage(f"{without_secrets(uri)} ends in no file name", hint="name the target file")
    return name


def below(folder: str, name: str) -> str:
    """The URI of a file in a folder, encoded as its kind of URI wants."""
    return join(folder, quote(name) if _is_encoded(folder) else name)


def _is_encoded(uri: str) -> bool:
    return scheme_of(uri) in _PERCENT_ENCODED or uri.lower().startswith("file:")
