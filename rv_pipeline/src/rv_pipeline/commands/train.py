"""TRAIN: hand the chips to the backend."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rv_core import BackendConfig, ConfigError, DataError
from rv_pipeline.commands.chip import read_manifest
from rv_pipeline.commands.command import Command, Job, Result

if TYPE_CHECKING:
    from rv_core import Backend, Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.outputs import Output

TRAINED_NAME: Final = "trained.json"
_NOT_LEARNT: Final = ("train_options", "debug")
"""Fields of a backend's config that change how a run behaves, not what it makes."""

logger = logging.getLogger(__name__)


class Train(Command):
    name: ClassVar[str] = "train"
    upstream: ClassVar[tuple[str, ...]] = ("chip",)
    stops_by_itself: ClassVar[bool] = True

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        config = resolved_backend(experiment, kernel)
        learnt = {k: v for k, v in config.values().items() if k not in _NOT_LEARNT}
        return {"backend": {"backend": config.backend, **learnt}}

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        """Pretrained weights that the experiment names; those of the model defaults are for the
        backend to get, or to do without."""
        backend = experiment.backend
        uri = (
            backend.explicit().get("pretrained_model")
            if isinstance(backend, BackendConfig)
            else backend.get("pretrained_model")
        )
        return (uri,) if uri else ()

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        return (("backends", experiment.backend_key),)

    def run(self, job: Job) -> Result:
        manifest = read_manifest(job.upstream["chip"])
        backend = make_backend(job.experiment, job.kernel)
        if manifest.format != backend.chip_format:
            raise ConfigError(
                f"the chips at {job.upstream['chip'].uri} are of format {manifest.format}, "
                f"{backend.key} reads {backend.chip_format}",
                hint="give this experiment a chip_key of its own",
            )
        if not manifest.count("train"):
            raise DataError(
                f"there are no training chips at {job.upstream['chip'].uri}",
                hint="run CHIP again with scenes that have labels",
            )
        job.begin()
        trained = backend.train(job.upstream["chip"].uri, job.output.uri, job.context)
        model = _relative(trained.model_uri, job.output)
        pretrained = _relative(trained.pretrained_uri, job.output)
        job.output.write_json(
            TRAINED_NAME,
            {
                "model": model,
                "pretrained": pretrained,
                "metrics": dict(trained.metrics),
                "report": dict(trained.report),
            },
        )
        line = ", ".join(f"{name} {value:.4g}" for name, value in list(trained.metrics.items())[:4])
        return Result(
            {"line": line, "metrics": dict(trained.metrics)},
            vital=(TRAINED_NAME, model, pretrained),
        )


def resolved_backend(experiment: Experiment, kernel: Kernel) -> BackendConfig:
    """The experiment's backend config with model defaults filled in.

    Raises the errors of `PluginError`, and `ConfigError` for fields that the backend does not have
    or a task that it does not learn.
    """
    config = experiment.backend
    if not isinstance(config, BackendConfig):
        fields = {k: v for k, v in config.items() if k != "backend"}
        config = kernel.backend_config(experiment.backend_key, **fields)
    assert isinstance(config, BackendConfig)
    backend = kernel.backend(config.backend)
    if experiment.task.key not in backend.tasks:
        raise ConfigError(
            f"backend {config.backend} does not learn {experiment.task.key}",
            hint=f"it learns {', '.join(sorted(backend.tasks)) or 'nothing'}",
        )
    return kernel.resolve(config)


def make_backend(experiment: Experiment, kernel: Kernel) -> Backend:
    """The experiment's backend, configured."""
    config = resolved_backend(experiment, kernel)
    return kernel.backend(config.backend)(config, kernel)


def model_uri(output: Output) -> str:
    """What the backend's ``load_model`` takes, from a finished TRAIN output."""
    name = output.read_json(TRAINED_NAME)["model"]
    if not isinstance(name, str):
        raise DataError(f"{output.path(TRAINED_NAME)} names no model", hint="run TRAIN again")
    return _absolute(name, output)


def _relative(uri: str, output: Output) -> str:
    """A URI as a name within the output where it lies there, so that the folder can move."""
    if uri.rstrip("/") == output.uri:
        return "."
    return uri.removeprefix(output.uri + "/")


def _absolute(name: str, output: Output) -> str:
    if name == ".":
        return output.uri
    return name if "://" in name or name.startswith("/") else output.path(name)
