"""The hooks that the pipeline adds to those of the kernel.

Implement them with `rv_core.hookimpl` in a module that an entry point names: of group
``rv.tasks.v1`` for `rv_task`, ``rv.runners.v1`` for `rv_runner`; the entry point's name is the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rv_core.hookspecs import hookspec

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.runners.local import Runner
    from rv_pipeline.tasks.task import Task


@hookspec(firstresult=True)
def rv_task(key: str, kernel: Kernel) -> type[Task] | None:
    """The Task class of a key, or ``None`` where the key is not this plugin's."""


@hookspec(firstresult=True)
def rv_runner(key: str, kernel: Kernel) -> type[Runner] | None:
    """The Runner class of a key, or ``None`` where the key is not this plugin's."""
