"""What the pipeline itself brings: the tasks and runners that its entry points name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rv_core import hookimpl

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.runners.local import Runner
    from rv_pipeline.tasks.task import Task


@hookimpl
def rv_task(key: str, kernel: Kernel) -> type[Task] | None:
    if key != "CHIP_CLASSIFICATION":
        return None
    from rv_pipeline.tasks.cells import ChipClassification

    return ChipClassification


@hookimpl
def rv_runner(key: str, kernel: Kernel) -> type[Runner] | None:
    if key != "LOCAL":
        return None
    from rv_pipeline.runners.local import LocalRunner

    return LocalRunner
