"""The hooks that the pipeline adds to those of the kernel.

Implement them with `rv_core.hookimpl` in a module that an entry point names: of group
``rv.tasks.v1`` for `rv_task`, ``rv.runners.v1`` for `rv_runner`, ``rv.augmentors.v1`` for
`rv_augmentor`; the entry point's name is the key.
Those of ``rv.raster_providers.v1`` and ``rv.label_providers.v1`` are file extensions, in lower
case and without the dot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rv_core.hookspecs import hookspec

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.augmentors import Augmentor
    from rv_pipeline.rasters.config import RasterConfig
    from rv_pipeline.rasters.label_raster import RasterLabelConfig
    from rv_pipeline.runners.local import Runner
    from rv_pipeline.tasks.task import Task
    from rv_pipeline.vectors.config import LabelConfig


@hookspec(firstresult=True)
def rv_task(key: str, kernel: Kernel) -> type[Task] | None:
    """The Task class of a key, or ``None`` where the key is not this plugin's."""


@hookspec(firstresult=True)
def rv_runner(key: str, kernel: Kernel) -> type[Runner] | None:
    """The Runner class of a key, or ``None`` where the key is not this plugin's."""


@hookspec(firstresult=True)
def rv_augmentor(key: str, options: Mapping[str, Any], kernel: Kernel) -> Augmentor | None:
    """A function from a chip sample and a numpy generator to a sample, for the options that an
    experiment gives this key; see `rv_pipeline.augmentors`."""


@hookspec(firstresult=True)
def rv_raster_config(uris: tuple[str, ...], kernel: Kernel) -> RasterConfig | None:
    """What to make of a raster of which an experiment says nothing but these URIs."""


@hookspec(firstresult=True)
def rv_label_config(
    uris: tuple[str, ...], task: str, kernel: Kernel
) -> LabelConfig | RasterLabelConfig | None:
    """What to make of labels of which an experiment says nothing but these URIs; ``task``: the
    key of its task."""
