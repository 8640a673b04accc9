"""``rv models``: what the model-defaults keys stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rv_plugins.cli._parameters import complete_backend, json_option
from rv_plugins.cli._tables import compact, show_json, show_table

if TYPE_CHECKING:
    from rv_core import Kernel


@click.command()
@click.argument("backend", required=False, shell_complete=complete_backend)
@json_option
@click.pass_obj
def models(kernel: Kernel, backend: str | None, as_json: bool) -> None:
    """List model defaults, of one BACKEND or of all: merged, with the origins of each entry."""
    known = sorted({*kernel.keys("model_defaults"), *kernel.keys("backends")})
    if backend is not None and backend not in known:
        kernel.load("rv.backends.v1", backend)  # which says what is wrong with the key
    found = [
        (name, key, origins, status, entry)
        for name in ([backend] if backend is not None else known)
        for key, origins, status, entry in _entries(kernel, name)
    ]
    if as_json:
        fields = ("backend", "model", "from", "status", "settings")
        show_json([dict(zip(fields, row, strict=True)) for row in found])
        return
    show_table(
        ("backend", "model", "from", "status", "settings"),
        [
            (name, key, ", ".join(origins), status, _settings(entry))
            for name, key, origins, status, entry in found
        ],
    )


def _entries(kernel: Kernel, backend: str) -> list[tuple[str, list[str], str, dict[str, object]]]:
    defaults = kernel.model_defaults(backend)
    found = [(key, list(defaults.origins[key]), "ready", dict(defaults[key])) for key in defaults]
    found += [(key, list(rivals), "conflict", {}) for key, rivals in defaults.conflicts.items()]
    return sorted(found)


def _settings(entry: dict[str, object]) -> str:
    return " ".join(f"{name}={compact(value)}" for name, value in entry.items())
