"""Reading experiment files: Python or YAML, the same `Experiment` objects from both.

Relative URIs, in either kind of file and in ``-a`` arguments, are taken from the folder in which
the run is started, as a shell does: a file can be moved without its data, and ``-a data ./here``
means what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rv_core import ConfigError, Kernel, NotFoundError, RVError
from rv_pipeline._structure import Path as ConfigPath
from rv_pipeline._structure import StructureError, structure
from rv_pipeline.experiment import Experiment
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.tasks.task import Task, task_class

if TYPE_CHECKING:
    import os

    from rv_pipeline._yaml_source import YamlSource

T = TypeVar("T")

_YAML: Final = (".yaml", ".yml")
ARGS: Final = "args"
EXPERIMENTS: Final = "experiments"


def load_experiments(
    file: str | os.PathLike[str],
    arguments: Mapping[str, str] | None = None,
    kernel: Kernel | None = None,
) -> list[Experiment]:
    """The experiments of a file: ``.py``, or ``.yaml`` / ``.yml``.

    ``arguments``: what ``-a`` gives: parameters of ``exp_...`` functions, or values of
    ``${name}`` in YAML, where ``args`` at the top holds the defaults. A YAML file is one
    experiment, or several in a list under ``experiments``.
    ``kernel``: reads a file at a URI; checks backend fields, with the line in the file, if given.

    Raises `ConfigError`, with file and line, and `NotFoundError`.
    """
    name = str(file)
    path = _local(name, kernel)
    suffix = Path(name).suffix.lower()
    arguments = dict(arguments or {})
    if suffix == ".py":
        from rv_pipeline._python_source import read

        experiments = read(path, name, arguments)
    elif suffix in _YAML:
        experiments = _read_yaml(path, name, arguments, kernel)
    else:
        raise ConfigError(
            f"{name} is no experiment file", hint="its name must end in .py, .yaml or .yml"
        )
    ids = [experiment.id for experiment in experiments]
    doubled = sorted({i for i in ids if ids.count(i) > 1})
    if doubled:
        raise ConfigError(
            f"{name} has several experiments with the id {doubled[0]!r}",
            hint="give each an id of its own",
        )
    return experiments


def select(experiments: list[Experiment], pattern: str | None, name: str) -> list[Experiment]:
    """Those whose id matches a glob; raises `ConfigError` where none does."""
    if pattern is None:
        return experiments
    found = [e for e in experiments if fnmatchcase(e.id, pattern)]
    if not found:
        raise ConfigError(
            f"no experiment of {name} has an id like {pattern!r}",
            hint=f"its experiments: {', '.join(e.id for e in experiments)}",
        )
    return found


def task_from(task: Mapping[str, Any], predict: Mapping[str, Any], kernel: Kernel) -> Task:
    """The task that its JSON spells, with its options for predicting.

    Raises `ConfigError`, and the errors of `PluginError`.
    """
    fields = dict(task)
    classes = fields.get("classes")
    if isinstance(classes, Mapping) and isinstance(classes.get("classes"), list):
        fields["classes"] = {c["name"]: c.get("color") for c in classes["classes"]}
    cls = task_class(str(fields.get("key")), kernel)
    return cls(_structured(fields, cls.Config), predict=_structured(predict, cls.PredictOptions))


def raster_config(data: Mapping[str, Any], uris: Sequence[str]) -> RasterConfig:
    """The raster config of JSON that has no URIs, for these files; raises `ConfigError`."""
    return _structured({**data, "uris": list(uris)}, RasterConfig)


def _structured(data: Any, cls: type[T]) -> T:
    try:
        return structure(data, cls)
    except StructureError as error:
        raise ConfigError(error.complaint.message, hint=error.complaint.hint) from error


def _local(name: str, kernel: Kernel | None) -> Path:
    if "://" in name:
        return (kernel or Kernel()).files.local_path(name)
    path = Path(name)
    if path.is_dir():
        raise ConfigError(f"{name} is a folder", hint="name an experiment file in it")
    if not path.is_file():
        folder = path.parent
        near = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        close = get_close_matches(path.name, near, n=1)
        raise NotFoundError(
            f"there is no experiment file {name}",
            hint=f"did you mean {folder / close[0]}?" if close else "see the path",
        )
    return path


def _read_yaml(
    path: Path, name: str, arguments: Mapping[str, str], kernel: Kernel | None
) -> list[Experiment]:
    from rv_pipeline._yaml_source import fill, parse

    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text: {error}") from error
    source = parse(text, name)
    if not isinstance(source.data, dict):
        raise ConfigError(
            f"{name} holds no experiment", hint="its top is a mapping: id, root_uri, task, ..."
        )
    source = fill(source, _values(source, arguments))
    top = {key: value for key, value in source.data.items() if key != ARGS}
    if EXPERIMENTS not in top:
        return [_experiment(top, (), source, kernel)]
    several = top.pop(EXPERIMENTS)
    if top:
        raise source.error(
            (next(iter(top)),),
            f"{next(iter(top))!r} stands beside 'experiments'",
            "put it into each experiment of the list",
        )
    if not isinstance(several, list) or not several:
        raise source.error((EXPERIMENTS,), "'experiments' must be a list of experiments")
    return [_experiment(e, (EXPERIMENTS, i), source, kernel) for i, e in enumerate(several)]


def _values(source: YamlSource, arguments: Mapping[str, str]) -> dict[str, str]:
    """The value of each argument: as given, or its default."""
    defaults = source.data.get(ARGS) or {}
    if not isinstance(defaults, dict):
        raise source.error((ARGS,), "'args' must be a mapping of names to defaults")
    for given in arguments:
        if given not in defaults:
            close = get_close_matches(given, list(map(str, defaults)), n=1)
            raise ConfigError(
                f"{source.name} takes no argument {given!r}",
                hint=f"did you mean {close[0]!r}?"
                if close
                else f"it takes {', '.join(map(str, defaults)) or 'none'}",
            )
    filled = {str(k): str(v) for k, v in defaults.items() if v is not None}
    return {**filled, **arguments}


def _experiment(
    data: Any, path: ConfigPath, source: YamlSource, kernel: Kernel | None
) -> Experiment:
    if isinstance(data, Mapping):
        data = _with_task(data, path, source, kernel)
    experiment = _structured_at(path, data, Experiment, source)
    if kernel is not None:
        _check_backend(experiment, (*path, "backend"), source, kernel)
    return experiment


def _with_task(
    data: Mapping[str, Any], path: ConfigPath, source: YamlSource, kernel: Kernel | None
) -> dict[str, Any]:
    """The data with the sections of the task as the classes that the task has for them."""
    sections = {"task": "Config", "chip": "ChipOptions", "predict": "PredictOptions"}
    task = data.get("task")
    key = task.get("key") if isinstance(task, Mapping) else None
    if isinstance(task, Mapping) and "key" not in task and "classes" in task:
        raise source.error(
            (*path, "task"), "the key 'key' is missing in task", "such as CHIP_CLASSIFICATION"
        )
    if not isinstance(key, str):
        return dict(data)  # what is wrong with it is said in its turn
    try:
        cls = task_class(key, kernel or Kernel())
    except RVError as error:
        raise _at_line(error, (*path, "task", "key"), source) from None
    return {
        name: _structured_at((*path, name), value, getattr(cls, sections[name]), source)
        if name in sections
        else value
        for name, value in data.items()
    }


def _structured_at(path: ConfigPath, data: Any, cls: type[T], source: YamlSource) -> T:
    try:
        return structure(data, cls, path)
    except StructureError as error:
        complaint = error.complaint
        raise source.error(complaint.path, complaint.message, complaint.hint) from error


def _at_line(error: RVError, path: ConfigPath, source: YamlSource) -> RVError:
    """The same error, its message starting with the line that it is about."""
    error.message = f"{source.name}:{source.line_of(path)}: {error.message}"
    error.args = (error.message,)
    return error


def _check_backend(
    experiment: Experiment, path: ConfigPath, source: YamlSource, kernel: Kernel
) -> None:
    """Say the line of what the backend does not take, before anything runs."""
    from rv_pipeline.commands.train import resolved_backend

    try:
        resolved_backend(experiment, kernel)
    except ConfigError as error:
        field = next((f for f in experiment.backend if f"{f!r}" in error.message), None)  # type: ignore[union-attr]
        where = (*path, field) if field else path
        raise source.error(where, error.message, error.hint) from error
    except RVError as error:
        raise _at_line(error, path, source) from None
