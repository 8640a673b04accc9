"""The ``rv`` command: one file per subcommand, each imported when it is used."""

from rv_plugins.cli._root import main

__all__ = ["main"]
