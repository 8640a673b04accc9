"""``rv cache ls``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rv_plugins.cli._parameters import json_option
from rv_plugins.cli._progress import quantity
from rv_plugins.cli._tables import show_json, show_table

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_core.cache import CacheEntry


@click.command()
@json_option
@click.pass_obj
def ls(kernel: Kernel, as_json: bool) -> None:
    """List the copies with size, time of last use and URL, the last used first.

    What is secret in a URL was never kept.
    """
    cache = kernel.cache
    entries = sorted(cache.entries(), key=lambda entry: entry.last_used, reverse=True)
    if as_json:
        show_json(
            {
                "folder": str(cache.folder),
                "max_bytes": cache.max_bytes,
                "entries": [as_dict(entry) for entry in entries],
            }
        )
        return
    if entries:
        show_table(
            ("size", "used", "url"),
            [(quantity(e.size, "B"), f"{_time(e):%Y-%m-%dT%H:%M:%SZ}", e.uri) for e in entries],
        )
    total = quantity(sum(entry.size for entry in entries), "B")
    most = quantity(cache.max_bytes, "B")
    click.echo(f"{total} in {len(entries)} files, of {most} that may be kept in {cache.folder}")


def as_dict(entry: CacheEntry) -> dict[str, Any]:
    """What ``--json`` shows of a copy."""
    return {
        "url": entry.uri,
        "size": entry.size,
        "last_used": _time(entry).isoformat(timespec="seconds"),
        "path": str(entry.path),
    }


def _time(entry: CacheEntry) -> datetime:
    return datetime.fromtimestamp(entry.last_used, UTC)
