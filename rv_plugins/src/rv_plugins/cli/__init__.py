"""The ``rv`` command: one file per subcommand, each imported when it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command, ``sys.argv`` without ``args``, and end the process with its exit code."""
    try:
        from rv_plugins.cli._root import main as run
    except KeyboardInterrupt:  # which means what it means later, too
        print("Stopped.", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    run(args)
