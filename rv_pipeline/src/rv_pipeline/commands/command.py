"""What a command is to the runner, and what it gets to work with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from rv_core import Context, Kernel
from rv_pipeline.outputs import Output, new_identity

if TYPE_CHECKING:
    from pathlib import Path

    from rv_pipeline.experiment import Experiment


@attrs.frozen
class Job:
    """One run of a command.

    ``upstream``: command -> its output. ``begin``: says that the files of ``output`` change from
    here on, and must be called before one does that an earlier ``_done.json`` vouches for.
    ``token``: a short name for what is to be made, the same for the same fingerprint.
    ``context.resume``: an earlier run of the same fingerprint was cut short, and left its files.
    """

    experiment: Experiment
    kernel: Kernel
    output: Output
    upstream: Mapping[str, Output]
    context: Context
    begin: Callable[[], None]
    token: str
    workers: int = 1

    def publish(self, folder: Path) -> None:
        """Make the files of a local folder those of the output; each appears whole."""
        self.begin()
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        for name in names:
            self.kernel.files.copy(str(folder / name), self.output.path(name))
        self.keep_only(names)

    def keep_only(self, names: list[str]) -> None:
        """Delete what earlier runs left in the output."""
        for name in self.output.files().keys() - set(names):
            self.output.drop(name)


@attrs.frozen
class Result:
    """What came of a job. ``summary``: JSON-able, for people; ``summary["line"]`` is shown.
    ``identity``: the same for the same content, where the command can tell. ``vital``: the files
    and folders of the output that must be there for it to count; ``None``: all."""

    summary: Mapping[str, Any] = attrs.field(factory=dict)
    identity: str = attrs.field(factory=new_identity)
    vital: tuple[str, ...] | None = None


class Command(ABC):
    """One node of the workflow; the name is that of the output folder too."""

    name: ClassVar[str]
    upstream: ClassVar[tuple[str, ...]] = ()
    stops_by_itself: ClassVar[bool] = False
    """Whether the command asks ``context.should_stop`` and leaves a state to resume from."""

    @abstractmethod
    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        """The options that shape the output, JSON-able."""

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        """The URIs that are read, beside the output of other commands."""
        return ()

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        """The (kind, key) of the plugins that shape the output."""
        return ()

    @abstractmethod
    def run(self, job: Job) -> Result:
        """Make the output. Leaves earlier output as it was where it raises before `Job.begin`."""
