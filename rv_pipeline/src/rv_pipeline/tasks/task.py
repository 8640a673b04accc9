"""What a task is to the commands: which windows, which labels, which files, which figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

import attrs

from rv_core import ConfigError, DataError, PluginContractError, Window
from rv_pipeline.tasks import config as bases

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import Kernel, Label
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import Scene

TASKS: Final = "rv.tasks.v1"
BLOCK_SIZE: Final = 4096
"""Height and width, at most, of the pieces of a scene that are predicted one by one."""


class Predicted(NamedTuple):
    """What a model says of a window. ``nodata``: bool [H, W], true where the scene holds no data;
    ``None`` where all of the window is data. Windows wholly without data are not predicted."""

    window: Window
    label: Label
    nodata: NDArray[np.bool_] | None


class Part(NamedTuple):
    """The predictions of a block of a scene, in a local file of the task's own making."""

    block: Window
    path: Path


class EvaluatedScene(NamedTuple):
    """A scene, open with its labels, and the URI of the main file of its predictions."""

    id: str
    scene: Scene
    uri: str


@attrs.frozen
class Table:
    """Figures for people: ``rows`` are texts, one per heading; the first column names the row."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


class Predictions(AbstractContextManager["Predictions"], ABC):
    """The predictions of a scene, open for reading."""

    @abstractmethod
    def labels(self, windows: Sequence[Window]) -> Sequence[Label | None]:
        """What was predicted in each window, ``None`` where nothing was: of the same kind, and in
        the same pixel coordinates, as what `Task.label` says is true."""


class Task(ABC):
    """A kind of learning from scenes, found by its key.

    A plugin names its module in an entry point ``KEY = "module"`` of group ``rv.tasks.v1`` and
    implements `rv_pipeline.hookspecs.rv_task` there. ``Config``, ``ChipOptions`` and
    ``PredictOptions`` are the classes of an experiment's ``task``, ``chip`` and ``predict``.

    Everything here gives the same whatever the number of processes: windows depend on the scene
    and the options alone, and predictions are made block by block, each block for itself.
    """

    key: ClassVar[str]
    Config: ClassVar[type[bases.TaskConfig]] = bases.TaskConfig
    ChipOptions: ClassVar[type[bases.ChipOptions]] = bases.ChipOptions
    PredictOptions: ClassVar[type[bases.PredictOptions]] = bases.PredictOptions
    suffix: ClassVar[str]
    """Of the main file of a scene's predictions, with its dot."""
    unit: ClassVar[str]
    """What predictions are counted in: ``"cell"``, ``"box"``, ``"pixel"``."""
    more_chips: ClassVar[str] = "let the options of chip leave fewer windows out"
    """What helps where no window got a label, for a hint."""

    def __init__(
        self,
        config: bases.TaskConfig,
        chip: bases.ChipOptions | None = None,
        predict: bases.PredictOptions | None = None,
    ) -> None:
        """Raises `ConfigError` for configs of another task."""
        self.config = _as_own(config, self.Config, self.key)
        self.classes = config.classes
        self.chip = _as_own(chip or self.ChipOptions(), self.ChipOptions, self.key)
        self.predict = _as_own(predict or self.PredictOptions(), self.PredictOptions, self.key)

    @property
    def units(self) -> str:
        """Several of the `unit`."""
        return f"{self.unit}es" if self.unit.endswith("x") else f"{self.unit}s"

    @property
    @abstractmethod
    def chip_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of chips and of windows to predict."""

    def check_scene(self, scene: Scene) -> None:
        """Raises `DataError` for a scene that this task can make nothing of, such as one that is
        smaller than a chip. Called before a run starts."""
        from rv_pipeline.windows import check_fits

        check_fits(scene.extent, max(self.chip_size))

    @abstractmethod
    def chip_windows(self, scene: Scene, split: str) -> Sequence[Window]:
        """The windows of a scene, open with its labels, that may become chips of a split."""

    @abstractmethod
    def label(self, scene: Scene, windows: Sequence[Window]) -> Sequence[Label | None]:
        """The true label of each window, ``None`` for one that is not to be a chip. What is said
        of a window does not depend on the others."""

    def predict_blocks(self, extent: Window) -> Sequence[Window]:
        """The pieces in which a scene is predicted, each for itself, in order."""
        return blocks(extent, BLOCK_SIZE)

    @abstractmethod
    def predict_windows(self, extent: Window, block: Window) -> Sequence[Window]:
        """The windows, of `chip_size`, that the model has to see for a block; row by row. They may
        reach beyond the block and beyond the scene."""

    @abstractmethod
    def write_part(
        self, path: Path, scene: Scene, block: Window, predictions: Iterator[Predicted]
    ) -> None:
        """Write what the model says of the windows of a block, as it comes, to a local file."""

    @abstractmethod
    def write_predictions(
        self, folder: Path, stem: str, scene: Scene, parts: Sequence[Part], kernel: Kernel
    ) -> int:
        """Make the predictions of a scene from the parts of its blocks, in order: the local file
        ``<stem><suffix>``, and others whose names start with ``<stem>``; returns how many units
        there are. Makes valid, empty files of no parts."""

    @abstractmethod
    def read_predictions(self, uri: str, scene: Scene, kernel: Kernel) -> Predictions:
        """The predictions of a scene, of which ``uri`` is the main file.

        Raises `NotFoundError` where it is not there, `DataError` where it is something else.
        """

    @abstractmethod
    def display_windows(self, extent: Window) -> Sequence[Window]:
        """Windows that cover the scene once, for pictures of what `label` and
        `read_predictions` say."""

    @abstractmethod
    def evaluate(self, scenes: Iterable[EvaluatedScene], kernel: Kernel) -> dict[str, Any]:
        """Figures per scene and overall, JSON-able, with keys ``overall`` and ``scenes``. Scenes
        are used one after the other; without any, the figures are those of nothing."""

    @abstractmethod
    def headline(self, overall: dict[str, Any]) -> str:
        """The figures that matter most, in a line."""

    @abstractmethod
    def tables(self, overall: dict[str, Any]) -> Sequence[Table]:
        """The figures for people, the most important table first."""


def check_labels_are_vectors(scene: Scene, key: str) -> None:
    """Raises `DataError` for a scene whose labels are pixels, of which a task makes nothing."""
    if scene.label_raster is not None:
        raise DataError(
            f"the labels of scene {scene.id!r} are a raster, where {key} needs vectors",
            hint="give polygons, such as GeoJSON; SEMANTIC_SEGMENTATION learns from rasters",
        )


def blocks(extent: Window, size: int) -> list[Window]:
    """Windows of at most ``size`` x ``size`` px that cover the extent once, row by row."""
    right, bottom = extent.col_off + extent.width, extent.row_off + extent.height
    return [
        Window(col, row, min(size, right - col), min(size, bottom - row))
        for row in range(extent.row_off, bottom, size)
        for col in range(extent.col_off, right, size)
    ]


def task_of(experiment: Experiment, kernel: Kernel) -> Task:
    """The task of an experiment, with its options; raises the errors of `find_task`."""
    return find_task(experiment.task, kernel, experiment.chip, experiment.predict)


def find_task(
    config: bases.TaskConfig,
    kernel: Kernel,
    chip: bases.ChipOptions | None = None,
    predict: bases.PredictOptions | None = None,
) -> Task:
    """The task that a config names.

    Raises the errors of `PluginError`, and `ConfigError` for configs of another task.
    """
    return task_class(config.key, kernel)(config, chip, predict)


def task_class(key: str, kernel: Kernel) -> type[Task]:
    """The Task class of a key; raises the errors of `PluginError`."""
    from rv_pipeline import hookspecs, plugin

    found: Any = None
    if key not in kernel.keys("tasks"):
        # A kernel that was given its plugins discovers nothing; the pipeline is here all the same.
        found = plugin.rv_task(key=key, kernel=kernel)
    if found is None:
        found = kernel.call(TASKS, key, "rv_task", hookspecs, key=key, kernel=kernel)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise PluginContractError(
            f"the plugin of task {key!r} answered with {found!r}, not a Task class",
            hint="report it to the plugin's authors",
        )
    return found


T = TypeVar("T", bases.TaskConfig, bases.ChipOptions, bases.PredictOptions)


def _as_own(given: T, own: type[T], key: str) -> T:
    """Options as the task's own class: the base class's become it, with what they set."""
    if isinstance(given, own):
        return given
    if issubclass(own, type(given)):
        values = {f.name: (getattr(given, f.name), f.default) for f in attrs.fields(type(given))}
        return own(**{name: value for name, (value, default) in values.items() if value != default})
    raise ConfigError(
        f"the task {key} has {own.__name__}, got {type(given).__name__}",
        hint=f"use {own.__name__}",
    )
