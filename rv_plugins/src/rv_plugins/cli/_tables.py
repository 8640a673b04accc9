"""Rows for people and for pipes: a drawn table on a terminal, aligned plain text elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

_STYLES = {
    "ready": "green",
    "loaded": "green",
    "broken": "bold red",
    "conflict": "bold red",
    "incompatible": "red",
    "disabled": "yellow",
    "shadowed": "yellow",
    "passed over": "yellow",
}


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below headings; no cell is ever cut short."""
    table = [[_one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headings, table)
    else:
        click.echo(plain_table(headings, table))


def plain_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below headings, columns two spaces apart, whatever their width."""
    lines = [[heading.upper() for heading in headings], *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_json(data: Any) -> None:
    """Print data as JSON, for programs."""
    click.echo(json.dumps(data, indent=2, default=_plain))


def compact(value: Any) -> str:
    """A value on one line: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=_plain)


def _draw(headings: Sequence[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def _one_line(cell: str) -> str:
    return " ".join(cell.split("\n"))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
