"""What a task is to the commands: which windows, which labels, which files, which figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rv_core import PluginContractError

if TYPE_CHECKING:
    from rv_core import Kernel, Label, Window
    from rv_pipeline.experiment import ChipOptions, Crs, TaskConfig
    from rv_pipeline.scenes import Scene

TASKS = "rv.tasks.v1"


class Task(ABC):
    """A kind of learning from scenes, found by its key.

    A plugin names its module in an entry point ``KEY = "module"`` of group ``rv.tasks.v1`` and
    implements `rv_pipeline.hookspecs.rv_task` there.
    """

    key: ClassVar[str]

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.classes = config.classes

    @property
    @abstractmethod
    def chip_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of chips and of windows to predict."""

    @abstractmethod
    def chip_windows(self, scene: Scene, split: str, options: ChipOptions) -> Sequence[Window]:
        """The windows of a scene that may become chips of a split."""

    @abstractmethod
    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        """The true label of each window, ``None`` for one that is not labelled."""

    @abstractmethod
    def predict_windows(self, scene: Scene) -> Sequence[Window]:
        """The windows of a scene to predict."""

    @abstractmethod
    def prediction_name(self, scene_id: str) -> str:
        """The file name that a scene's predictions go by."""

    @abstractmethod
    def write_predictions(
        self,
        uri: str,
        scene: Scene,
        predictions: Iterable[tuple[Window, Label]],
        crs: Crs,
        kernel: Kernel,
    ) -> None:
        """Write the predictions of a scene, as they come, to a file that appears when whole."""

    @abstractmethod
    def evaluate(self, scenes: Iterable[tuple[str, Scene, str]], kernel: Kernel) -> dict[str, Any]:
        """Figures of (scene id, scene with labels, URI of its predictions), per scene and overall.

        JSON-able, with keys ``overall`` and ``scenes``. Scenes are used one after the other.
        """


def find_task(config: TaskConfig, kernel: Kernel) -> Task:
    """The task that a config names; raises the errors of `PluginError`."""
    from rv_pipeline import hookspecs, plugin

    if config.key == "CHIP_CLASSIFICATION" and config.key not in kernel.keys("tasks"):
        # A kernel that was given its plugins discovers nothing; the pipeline is here all the same.
        found = plugin.rv_task(key=config.key, kernel=kernel)
    else:
        found = kernel.call(TASKS, config.key, "rv_task", hookspecs, key=config.key, kernel=kernel)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise PluginContractError(
            f"the plugin of task {config.key!r} answered with {found!r}, not a Task class",
            hint="report it to the plugin's authors",
        )
    return found(config)
