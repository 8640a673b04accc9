"""BUNDLE: the trained model and all it takes to predict with it, as one file."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rv_core import ModelError
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.train import model_uri, resolved_backend
from rv_pipeline.fingerprint import IN_USE, plain, plugin_versions
from rv_pipeline.tasks.task import Task, task_of

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment

BUNDLE_NAME: Final = "bundle.zip"
_NOT_NEEDED: Final = ("train_options",)


class Bundle(Command):
    name: ClassVar[str] = "bundle"
    upstream: ClassVar[tuple[str, ...]] = ("analyze", "train")

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        task = task_of(experiment, kernel)
        return {
            "task": plain(task.config),
            "raster": _reading(experiment),
            "predict": _predicting(task),
        }

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        return ("backends", experiment.backend_key), ("tasks", experiment.task.key)

    def run(self, job: Job) -> Result:
        from rv_pipeline.bundle import BundleInfo, Requirement, write_bundle

        experiment, kernel = job.experiment, job.kernel
        task = task_of(experiment, kernel)
        claims = self.plugins(experiment)
        config = resolved_backend(experiment, kernel).to_dict()
        uri = model_uri(job.upstream["train"])
        info = BundleInfo(
            task=plain(task.config),
            backend={k: v for k, v in config.items() if k not in _NOT_NEEDED},
            raster=_reading(experiment),
            predict={**_predicting(task), "batch_size": task.predict.batch_size},
            stats=read_stats(job.upstream["analyze"]).to_dict(),
            model=_model_name(uri),
            requirements=tuple(
                Requirement(kind, key, *_distribution(kernel, kind, key)) for kind, key in claims
            ),
            experiment_id=experiment.id,
            versions=plugin_versions(kernel, claims),
        )
        target = job.context.tmp_dir / BUNDLE_NAME
        try:
            size = write_bundle(target, info, uri, kernel, job.context.on_progress)
            job.begin()
            kernel.files.copy(str(target), job.output.path(BUNDLE_NAME))
        finally:
            target.unlink(missing_ok=True)
        job.keep_only([BUNDLE_NAME])
        return Result({"line": f"{BUNDLE_NAME}, {size / 1e6:.1f} MB"})


_OF_A_SCENE: Final = ("uris", "extent_crop", "shift")
"""What is said of one raster, and not of how rasters are read."""


def _reading(experiment: Experiment) -> dict[str, Any]:
    """How the first training scene's raster is read: an image that is new is read like it."""
    config = plain(experiment.dataset.train[0].raster)
    return {k: v for k, v in config.items() if k not in _OF_A_SCENE}


def _predicting(task: Task) -> dict[str, Any]:
    """The options that shape the predictions of an image."""
    return {k: v for k, v in plain(task.predict).items() if k not in ("splits", "batch_size")}


def _model_name(uri: str) -> str:
    name = PurePosixPath(uri.rstrip("/")).name
    if not name:
        raise ModelError(f"the backend's model at {uri} has no file name")
    return name


def _distribution(kernel: Kernel, kind: str, key: str) -> tuple[str | None, str | None]:
    for plugin in kernel.plugins():
        if any((k.kind, k.key) == (kind, key) and k.status in IN_USE for k in plugin.keys):
            return plugin.distribution, plugin.version
    return None, None
