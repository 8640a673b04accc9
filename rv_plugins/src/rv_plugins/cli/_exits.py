"""How ``rv`` ends: what went wrong in one line, a hint, and the exit code."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import click
from rv_core import InterruptedRunError, RVError, without_password

FAILURE: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
"""What a shell reports for a program that SIGPIPE ended, as for any other in a pipe."""


class Usage(click.UsageError):
    """A command line that cannot be meant so; ``hint`` says what may be meant."""

    def __init__(
        self, message: str, *, hint: str | None = None, ctx: click.Context | None = None
    ) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def exit_code_of(error: BaseException, *, debug: bool = False) -> int | str | None:
    """Say on stderr what an exception means to the user; returns the exit code it stands for."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    if debug and not isinstance(error, click.ClickException | click.Abort):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _say("Stopped.")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "rv"
        hint = getattr(error, "hint", None) or _place(error) or f"{path} --help"
        _say(f"Error: {error.format_message()}", hint)
        return USAGE
    if isinstance(error, click.ClickException):
        _say(f"Error: {error.format_message()}")
        return error.exit_code
    if isinstance(error, RVError):
        _say(f"Error: {error}", error.hint)
        return INTERRUPTED if isinstance(error, InterruptedRunError) else FAILURE
    if isinstance(error, OSError):
        _say(f"Error: {error}")
        return FAILURE
    _say(
        f"Error: unexpected {type(error).__name__}: {error}",
        None if debug else "rv --debug COMMAND shows where; please report it",
    )
    return FAILURE


def _place(error: click.UsageError) -> str | None:
    """Where an option of ``rv`` itself belongs that was given to one of its commands."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return None
    rv = error.ctx.find_root()
    if not any(error.option_name in param.opts for param in rv.command.params):
        return None
    command = error.ctx.command_path.removeprefix(rv.command_path).strip()
    return f"it goes before the command: {rv.command_path} {error.option_name} {command}"


def finish(code: int | str | None) -> NoReturn:
    """Flush what was printed and end; a reader who has gone away is no reason to complain."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        _say(f"Error: cannot write the output: {error.strerror}")
        code = FAILURE
    if code in (BROKEN_PIPE, FAILURE):
        # What is still buffered has nowhere to go, and Python would complain on its way out.
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _say(message: str, hint: str | None = None) -> None:
    click.echo(without_password(" ".join(message.split())), err=True)
    if hint:
        click.echo(f"Hint: {' '.join(hint.split())}", err=True)
