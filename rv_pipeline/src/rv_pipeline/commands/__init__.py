"""The commands of the workflow, one module each, in the order in which they run."""

from __future__ import annotations

from rv_core import ConfigError
from rv_pipeline.commands.analyze import Analyze
from rv_pipeline.commands.bundle import Bundle
from rv_pipeline.commands.chip import Chip
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.evaluate import Evaluate
from rv_pipeline.commands.predict import Predict
from rv_pipeline.commands.train import Train

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (Analyze(), Chip(), Train(), Predict(), Evaluate(), Bundle())
}

__all__ = ["COMMANDS", "Command", "Job", "Result", "command_names"]


def command_names(names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Commands as given in any case, in the order of the workflow; all of them for none.

    Raises `ConfigError` for a name that is no command.
    """
    from difflib import get_close_matches

    wanted = [name.lower() for name in names]
    for name in wanted:
        if name not in COMMANDS:
            close = get_close_matches(name, COMMANDS, n=1)
            raise ConfigError(
                f"there is no command {name!r}",
                hint=f"did you mean {close[0]!r}?"
                if close
                else f"the commands are {', '.join(COMMANDS)}",
            )
    return tuple(name for name in COMMANDS if not wanted or name in wanted)
