"""Experiment files in Python: functions ``exp_...`` that return experiments."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rv_core import ConfigError, RVError
from rv_pipeline.experiment import Experiment

PREFIX = "exp_"
_UNEXPECTED = re.compile(r"([\w.]+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def read(path: Path, name: str, arguments: Mapping[str, str]) -> list[Experiment]:
    """The experiments of a Python file, in the order of its functions.

    Raises `ConfigError` that names the file and line for what is wrong in it, and for arguments
    that are missing or that no function takes.
    """
    functions = _functions(path, name)
    _check_names(functions, arguments, name)
    found: list[Experiment] = []
    for function in functions:
        values = _convert(function, arguments, name)
        made = _guarded(lambda f=function, v=values: f(**v), path, name)  # type: ignore[misc]
        made = [made] if isinstance(made, Experiment) else made
        if not isinstance(made, Iterable) or isinstance(made, str | Mapping):
            raise _wrong_answer(function, made, name)
        for item in made:
            if not isinstance(item, Experiment):
                raise _wrong_answer(function, item, name)
            found.append(item)
    return found


def _functions(path: Path, name: str) -> list[Callable[..., Any]]:
    module = types.ModuleType(f"rv_experiment_{path.stem}")
    module.__file__ = str(path)

    def execute() -> None:
        code = compile(path.read_bytes(), str(path), "exec")
        exec(code, module.__dict__)  # noqa: S102  # the user's own file, asked for by name

    sys.modules[module.__name__] = module  # attrs and dataclasses look their module up
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        _guarded(execute, path, name)
    finally:
        sys.path.remove(str(path.parent.resolve()))
    found: list[Callable[..., Any]] = [
        value
        for key, value in vars(module).items()
        if key.startswith(PREFIX)
        and inspect.isfunction(value)
        and value.__module__ == module.__name__  # not those that it imports
    ]
    if not found:
        raise ConfigError(
            f"{name} has no function named {PREFIX}...",
            hint=f"an experiment is what a function such as {PREFIX}roofs() returns",
        )
    return found


def _check_names(
    functions: Iterable[Callable[..., Any]], arguments: Mapping[str, str], name: str
) -> None:
    known = sorted({p for f in functions for p in inspect.signature(f).parameters})
    for given in arguments:
        if given not in known:
            close = get_close_matches(given, known, n=1)
            raise ConfigError(
                f"no experiment of {name} takes an argument {given!r}",
                hint=f"did you mean {close[0]!r}?"
                if close
                else f"it takes {', '.join(known) or 'none'}",
            )


def _convert(
    function: Callable[..., Any], arguments: Mapping[str, str], name: str
) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # annotations that cannot be evaluated convert nothing
        hints = {}
    values: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in arguments:
            kind = hints.get(parameter.name)
            if kind is None and parameter.default not in (None, parameter.empty):
                kind = type(parameter.default)
            text = arguments[parameter.name]
            try:
                values[parameter.name] = convert(text, kind)
            except ValueError as error:
                raise ConfigError(
                    f"-a {parameter.name} {text!r}: {function.__name__} of {name} wants {error}"
                ) from None
        elif parameter.default is parameter.empty:
            raise ConfigError(
                f"{function.__name__} of {name} needs the argument {parameter.name!r}",
                hint=f"give it with -a {parameter.name} VALUE",
            )
    return values


def convert(text: str, kind: Any) -> Any:
    """A command-line text as a value of a type; raises `ValueError` that says what is wanted.

    Known are str, int, float, bool, Path, Literal, lists and tuples of them (comma-separated) and
    unions, of which the first that fits is taken; anything else stays text.
    """
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in options and text.lower() in ("none", ""):
            return None
        return _first_that_fits(text, [o for o in options if o is not type(None)])
    if origin is typing.Literal:
        for option in options:
            if text == str(option):
                return option
        raise ValueError("one of " + ", ".join(map(str, options)))
    if kind in (list, tuple) or origin in (list, tuple):
        items = [item.strip() for item in text.split(",")] if text.strip() else []
        inner = [o for o in options if o is not ...]
        values = [convert(item, inner[0] if inner else str) for item in items]
        return values if (origin or kind) is list else tuple(values)
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("true or false")
        return text.lower() in _TRUE
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("a whole number" if kind is int else "a number") from None
    return Path(text) if kind is Path else text


def _first_that_fits(text: str, kinds: list[Any]) -> Any:
    kinds.sort(key=lambda kind: kind is str)  # everything fits a str
    for kind in kinds[:-1]:
        try:
            return convert(text, kind)
        except ValueError:
            continue
    return convert(text, kinds[-1])


def _guarded(call: Callable[[], Any], path: Path, name: str) -> Any:
    """Run the user's code; what it raises becomes a `ConfigError` with the line in the file."""
    try:
        made = call()
        return list(made) if inspect.isgenerator(made) else made
    except SystemExit as error:
        raise ConfigError(f"{name} ends the program while it is read (sys.exit)") from error
    except SyntaxError as error:
        where = f"{name}:{error.lineno}" if error.filename == str(path) else str(error.filename)
        raise ConfigError(f"{where}: {error.msg}", hint="correct the line") from error
    except Exception as error:
        line = _line_in(error, path)
        where = f"{name}:{line}" if line else name
        if isinstance(error, RVError):
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
        raise ConfigError(
            f"{where}: {type(error).__name__}: {error}", hint=_advice(error)
        ) from error


def _line_in(error: BaseException, path: Path) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)


def _advice(error: Exception) -> str | None:
    """A close match for a name that is not there."""
    wrong: str | None = getattr(error, "name", None)
    known: Iterable[str] = ()
    unexpected = _UNEXPECTED.search(str(error))
    if unexpected is not None:
        import rv_pipeline

        cls = getattr(rv_pipeline, unexpected[1].rsplit(".", 1)[-1], None)
        known = [f.name for f in getattr(cls, "__attrs_attrs__", ())]
        wrong = unexpected[2]
    elif isinstance(error, AttributeError) and not isinstance(error, ConfigError):
        known = dir(error.obj)
    elif isinstance(error, NameError) and error.__traceback__ is not None:
        *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
        known = [*frame.f_locals, *frame.f_globals, *frame.f_builtins]
    elif isinstance(error, ImportError):
        module = sys.modules.get(error.name or "")
        name = getattr(error, "name_from", None)
        known, wrong = (dir(module), name) if module and name else ((), None)
    close = get_close_matches(wrong or "", known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"it takes {', '.join(known)}" if unexpected is not None and known else None


def _wrong_answer(function: Callable[..., Any], answer: Any, name: str) -> ConfigError:
    line = function.__code__.co_firstlineno
    return ConfigError(
        f"{name}:{line}: {function.__name__} returned {type(answer).__name__}, not an Experiment",
        hint="return an Experiment, or a list of them",
    )
