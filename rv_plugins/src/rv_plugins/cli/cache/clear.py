"""``rv cache clear``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click
from rv_core import without_secrets

from rv_plugins.cli._parameters import URI, json_option
from rv_plugins.cli._progress import quantity
from rv_plugins.cli._tables import show_json
from rv_plugins.cli.cache.ls import as_dict

if TYPE_CHECKING:
    from rv_core import Kernel

_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Age(click.ParamType[float]):
    """A span such as ``30m``, ``12h``, ``7d`` or ``2w``, in seconds."""

    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age; ages are such as 30m, 12h, 7d, 2w", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


@click.command()
@click.argument("uri", type=URI, required=False)
@click.option("--older-than", metavar="AGE", type=Age(), help="Only what was not used for so long.")
@json_option
@click.pass_obj
def clear(kernel: Kernel, uri: str | None, older_than: float | None, as_json: bool) -> None:
    """Remove all copies, or only that of URI or those of the files below it.

    AGE is a number with m, h, d or w: minutes, hours, days or weeks.
    """
    removed = kernel.cache.clear(uri=uri, older_than=older_than)
    if as_json:
        show_json([as_dict(entry) for entry in removed])
        return
    size = quantity(sum(entry.size for entry in removed), "B")
    below = "" if uri is None else f" of {without_secrets(uri)}"
    click.echo(f"removed {len(removed)} files{below}, {size}")
