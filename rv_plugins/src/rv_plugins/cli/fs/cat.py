"""``rv fs cat``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rv_core import copy_stream

from rv_plugins.cli._parameters import URI

if TYPE_CHECKING:
    from rv_core import Kernel


@click.command()
@click.argument("uris", metavar="URI...", type=URI, nargs=-1, required=True)
@click.pass_obj
def cat(kernel: Kernel, uris: tuple[str, ...]) -> None:
    """Write files to standard output, byte for byte."""
    for uri in uris:
        with kernel.files.open(uri) as stream:
            copy_stream(stream, sys.stdout.buffer, None)
    sys.stdout.buffer.flush()
