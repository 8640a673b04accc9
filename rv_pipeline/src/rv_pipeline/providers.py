"""What a bare URI stands for: the full config of a raster or of labels, by the file's extension.

A config that says nothing but URIs is completed before a run. A plugin adds extensions by entry
points ``EXTENSION = "module"`` (in lower case, without the dot) of the groups
``rv.raster_providers.v1`` and ``rv.label_providers.v1``, with the hooks `rv_raster_config` and
`rv_label_config` of `rv_pipeline.hookspecs`. Ours: the labels of SEMANTIC_SEGMENTATION are a raster
of classes where the file is one.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs

from rv_core import PluginContractError
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.rasters.label_raster import RasterLabelConfig
from rv_pipeline.vectors.config import LabelConfig

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import SceneConfig

RASTER_PROVIDERS: Final = "rv.raster_providers.v1"
LABEL_PROVIDERS: Final = "rv.label_providers.v1"

_RASTERS: Final = ("tif", "tiff", "vrt", "img", "png", "jp2")


def complete(experiment: Experiment, kernel: Kernel) -> Experiment:
    """The experiment with every bare URI a full config; raises the errors of `PluginError`."""
    splits = {
        split: tuple(_complete(scene, experiment.task.key, kernel) for scene in scenes)
        for split, scenes in (
            ("train", experiment.dataset.train),
            ("validation", experiment.dataset.validation),
            ("test", experiment.dataset.test),
        )
    }
    return attrs.evolve(experiment, dataset=attrs.evolve(experiment.dataset, **splits))


def _complete(scene: SceneConfig, task: str, kernel: Kernel) -> SceneConfig:
    raster, labels = scene.raster, scene.labels
    if raster == RasterConfig(uris=raster.uris):
        raster = _raster(raster, kernel)
    if isinstance(labels, LabelConfig) and labels == LabelConfig(uris=labels.uris):
        labels = _labels(labels, task, kernel)
    if raster is scene.raster and labels is scene.labels:
        return scene
    return attrs.evolve(scene, raster=raster, labels=labels)


def _raster(bare: RasterConfig, kernel: Kernel) -> RasterConfig:
    extension = _extension(bare.uris[0])
    if extension not in kernel.keys("raster_providers"):
        return bare
    found = _ask(RASTER_PROVIDERS, extension, "rv_raster_config", kernel, uris=bare.uris)
    if not isinstance(found, RasterConfig):
        raise _wrong(extension, found, "a RasterConfig")
    return found


def _labels(bare: LabelConfig, task: str, kernel: Kernel) -> LabelConfig | RasterLabelConfig:
    extension = _extension(bare.uris[0])
    if extension in kernel.keys("label_providers"):
        found = _ask(
            LABEL_PROVIDERS, extension, "rv_label_config", kernel, uris=bare.uris, task=task
        )
        if not isinstance(found, LabelConfig | RasterLabelConfig):
            raise _wrong(extension, found, "a LabelConfig or RasterLabelConfig")
        return found
    if task == "SEMANTIC_SEGMENTATION" and extension in _RASTERS:
        return RasterLabelConfig(uris=bare.uris)
    return bare


def _ask(group: str, extension: str, hook: str, kernel: Kernel, **arguments: Any) -> Any:
    from rv_pipeline import hookspecs

    return kernel.call(group, extension, hook, hookspecs, kernel=kernel, **arguments)


def _wrong(extension: str, found: object, wanted: str) -> PluginContractError:
    return PluginContractError(
        f"the provider of .{extension} files answered with {found!r}, not {wanted}",
        hint="report it to the plugin's authors",
    )


def _extension(uri: str) -> str:
    """In lower case, without its dot; of the path alone, where a URI has a query."""
    path = urlsplit(uri).path if "://" in uri else uri
    return PurePosixPath(path.replace("\\", "/")).suffix.lower().removeprefix(".")
