"""``rv fs``: files at any URI."""

from __future__ import annotations

import click

from rv_plugins.cli._lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    members={
        "ls": ("rv_plugins.cli.fs.ls:ls", "List the files below a folder."),
        "cat": ("rv_plugins.cli.fs.cat:cat", "Write files to standard output."),
        "cp": ("rv_plugins.cli.fs.cp:cp", "Copy files."),
        "sync": ("rv_plugins.cli.fs.sync:sync", "Make a folder equal to another."),
        "stat": ("rv_plugins.cli.fs.stat:stat", "Size, time of change and etag of files."),
        "rm": ("rv_plugins.cli.fs.rm:rm", "Delete files, and folders with -r."),
    },
)
def fs() -> None:
    """Files at any URI or path that a plugin serves."""
