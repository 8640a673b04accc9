"""``rv plugins why``: how a key or a URI finds its plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rv_core import UnknownKeyError, scheme_of, without_secrets
from rv_core.hookspecs import FALLBACK_KEY

from rv_plugins.cli._parameters import complete_key, json_option
from rv_plugins.cli._tables import show_json, show_table

if TYPE_CHECKING:
    from rv_core import Kernel

_SERVES = ("ready", "loaded")


@click.command()
@click.argument("key_or_uri", shell_complete=complete_key)
@json_option
@click.pass_obj
def why(kernel: Kernel, key_or_uri: str, as_json: bool) -> None:
    """Say who answers for a key or a URI, who else could, and why they do not.

    KEY_OR_URI is a key of any kind, such as a backend, a command or a URI scheme; a model key of
    some backend's defaults; or a URI or path, which nothing is read from.
    """
    shown = without_secrets(key_or_uri)
    claims = kernel.why(key_or_uri)
    if not claims:
        _model_key(kernel, key_or_uri, shown, as_json)
        return
    rows = [
        {
            "kind": claim.kind,
            "key": claim.key,
            "distribution": claim.distribution,
            "version": claim.version,
            "status": status,
            "target": claim.target,
            "location": claim.location,
            "detail": detail,
        }
        for claim, status, detail in claims
    ]
    if as_json:
        show_json({"asked": shown, "claims": rows})
        return
    for row in rows:
        if row["status"] in _SERVES:
            by = f"{row['distribution']} {row['version']}"
            if_any = ", if it knows this scheme" if row["key"] == FALLBACK_KEY else ""
            click.echo(f"{shown} is served by {by} ({row['kind']}){if_any}")
    if not any(row["status"] in _SERVES for row in rows):
        click.echo(f"{shown} is served by nobody")
    show_table(
        ("kind", "key", "distribution", "version", "status", "target", "location", "detail"),
        [list(row.values()) for row in rows],
    )


def _model_key(kernel: Kernel, key: str, shown: str, as_json: bool) -> None:
    """Keys that no entry point has may be those of model defaults."""
    found = []
    for backend in kernel.keys("model_defaults"):
        defaults = kernel.model_defaults(backend)
        if key in defaults.conflicts:
            found.append((backend, "conflict", defaults.conflicts[key]))
        elif key in defaults:
            found.append((backend, "ready", defaults.origins[key]))
    if not found:
        raise _unknown(kernel, key, shown)
    if as_json:
        show_json(
            {
                "asked": shown,
                "models": [
                    {"backend": backend, "status": status, "from": list(origins)}
                    for backend, status, origins in found
                ],
            }
        )
        return
    click.echo(f"{shown} is a key of model defaults")
    show_table(("backend", "status", "from"), [(b, s, ", ".join(o)) for b, s, o in found])


def _unknown(kernel: Kernel, key: str, shown: str) -> UnknownKeyError:
    group = "rv.filesystems.v1" if "://" in key else "rv.backends.v1"
    try:
        kernel.load(group, scheme_of(key) if "://" in key else key)
    except UnknownKeyError as error:
        hint = error.hint
    else:
        hint = None
    if hint is None or "pip install" not in hint:
        from difflib import get_close_matches

        keys = {k.key for plugin in kernel.plugins() for k in plugin.keys}
        keys |= {m for b in kernel.keys("model_defaults") for m in kernel.model_defaults(b)}
        close = get_close_matches(key, sorted(keys), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see what is installed: rv plugins"
    return UnknownKeyError(f"no installed plugin serves {shown!r}", hint=hint)
