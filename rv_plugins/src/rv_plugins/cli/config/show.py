"""``rv config show``: every value and its origin, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import click
from rv_core import without_secrets

from rv_plugins.cli._parameters import json_option
from rv_plugins.cli._tables import compact, show_json, show_table

if TYPE_CHECKING:
    from rv_core import Kernel, Setting


@click.command()
@json_option
@click.pass_obj
def show(kernel: Kernel, as_json: bool) -> None:
    """Show every setting with its value and its origin; secrets are masked."""
    rows = [
        {"section": s.section, "key": s.key, "value": _shown(s), "origin": s.origin}
        for s in kernel.config.settings()
    ]
    if as_json:
        show_json(rows)
        return
    show_table(
        ("setting", "value", "origin"),
        [
            (".".join(filter(None, (r["section"], r["key"]))), _text(r["value"]), r["origin"])
            for r in rows
        ],
    )


def _shown(setting: Setting) -> Any:
    """The value without secrets, those in nested mappings and in URIs included."""
    value = setting.shown()
    if isinstance(value, Mapping) and set(value) != {"env"}:
        return {k: _shown(attrs.evolve(setting, key=str(k), value=v)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(attrs.evolve(setting, value=v)) for v in value]
    return without_secrets(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    return "-" if value is None or value in ([], {}) else compact(value)
