"""``rv fs ls``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rv_core import NotFoundError, without_password, without_secrets

from rv_plugins.cli._parameters import URI, json_option
from rv_plugins.cli._tables import show_json
from rv_plugins.cli.fs.stat import as_dict

if TYPE_CHECKING:
    from rv_core import FileInfo, Kernel


@click.command()
@click.argument("uri", type=URI, default=".")
@click.option("-l", "--long", is_flag=True, help="With size and time of change.")
@click.option("--ext", default="", help="Only names that end so, such as .tif.")
@json_option
@click.pass_obj
def ls(kernel: Kernel, uri: str, long: bool, ext: str, as_json: bool) -> None:
    """List the files below the folder URI, recursively; each line is a URI to use as it is.

    A password in it is left out: name it in the settings, and the lines can be used with it.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")  # names need not be valid text
    rows = []
    empty = True
    for found, info in _listed(kernel, uri, ext, long):
        empty = False
        shown = without_password(found)
        if as_json:
            rows.append(as_dict(shown, info))
        elif info is not None:
            time = f"{info.last_modified:%Y-%m-%dT%H:%M:%SZ}" if info.last_modified else "-"
            click.echo(f"{'-' if info.size is None else info.size:>14}  {time:>20}  {shown}")
        else:
            click.echo(shown)
    if empty and not ext and not kernel.files.file_exists(uri):
        raise NotFoundError(f"there are no files below {without_secrets(uri)}")
    if as_json:
        show_json(rows)


def _listed(
    kernel: Kernel, uri: str, ext: str, long: bool
) -> Iterator[tuple[str, FileInfo | None]]:
    if long:
        for file in kernel.files.list_files(uri, ext):
            yield file.uri, file.info
    else:
        for path in kernel.files.list_paths(uri, ext):
            yield path, None
