"""What the pipeline itself brings: the tasks and runners that its entry points name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rv_core import hookimpl

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.runners.local import Runner
    from rv_pipeline.tasks.task import Task

RUNNERS = ("INPROCESS", "LOCAL")
_TASKS = {
    "CHIP_CLASSIFICATION": "cells.ChipClassification",
    "OBJECT_DETECTION": "object_detection.ObjectDetection",
    "SEMANTIC_SEGMENTATION": "semantic_segmentation.SemanticSegmentation",
}


@hookimpl
def rv_task(key: str, kernel: Kernel) -> type[Task] | None:
    if key not in _TASKS:
        return None
    from importlib import import_module

    module, _, name = _TASKS[key].rpartition(".")
    found: type[Task] = getattr(import_module(f"rv_pipeline.tasks.{module}"), name)
    return found


@hookimpl
def rv_runner(key: str, kernel: Kernel) -> type[Runner] | None:
    if key not in RUNNERS:
        return None
    from rv_pipeline.runners.local import InProcessRunner, LocalRunner

    return LocalRunner if key == "LOCAL" else InProcessRunner
