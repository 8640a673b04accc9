"""``rv fs stat``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rv_core import scheme_of, without_password, without_secrets

from rv_plugins.cli._parameters import URI, json_option
from rv_plugins.cli._tables import show_json

if TYPE_CHECKING:
    from rv_core import FileInfo, Kernel


@click.command()
@click.argument("uris", metavar="URI...", type=URI, nargs=-1, required=True)
@json_option
@click.pass_obj
def stat(kernel: Kernel, uris: tuple[str, ...], as_json: bool) -> None:
    """Show what is known of files without reading them."""
    rows = [as_dict(uri, kernel.files.info(uri)) for uri in uris]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        for name, value in row.items():
            click.echo(f"{name:<14} {'-' if value is None else value}")


def as_dict(uri: str, info: FileInfo | None) -> dict[str, Any]:
    """What ``--json`` shows of a file."""
    is_url = scheme_of(uri) in ("http", "https")  # elsewhere all may be part of a name
    row: dict[str, Any] = {"uri": without_secrets(uri) if is_url else without_password(uri)}
    if info is not None:
        row["size"] = info.size
        row["last_modified"] = info.last_modified.isoformat() if info.last_modified else None
        row["etag"] = info.etag
    return row
