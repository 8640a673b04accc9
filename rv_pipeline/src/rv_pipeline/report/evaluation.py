"""``report.html``: what EVAL found, to look at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import BackendConfig, NotFoundError, RVError
from rv_pipeline.outputs import Output
from rv_pipeline.report.charts import charts, read_history
from rv_pipeline.report.contact_sheets import Print, sheets_of
from rv_pipeline.report.page import (
    ChipSheet,
    ConfusionMatrix,
    Page,
    SceneView,
    Section,
    colors_by_name,
    render,
)
from rv_pipeline.report.pictures import encode
from rv_pipeline.report.scene_views import MAX_SCENES, Limits, comparison, example_chips, failed
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.task import Table

if TYPE_CHECKING:
    from rv_core import ClassMap
    from rv_pipeline.commands.command import Job
    from rv_pipeline.scenes import Scene, SceneConfig
    from rv_pipeline.statistics import RasterStats
    from rv_pipeline.tasks.task import EvaluatedScene, Task

logger = logging.getLogger(__name__)

REPORT_NAME: Final = "report.html"

_CHIPS: Final = 32  # of each split
_CHIP_SCENES: Final = 4  # that those are from
_SHEET_BYTES: Final = 3 << 20


class EvaluationReport:
    """Collects what ``report.html`` shows, scene by scene, and writes it.

    A picture that cannot be drawn is replaced by the reason; memory holds the encoded pictures of
    at most 40 scenes, 40 MB in all.
    """

    def __init__(self, job: Job, task: Task, scenes: Sequence[SceneConfig]) -> None:
        """``scenes``: those that will be evaluated."""
        self._job = job
        self._task = task
        self._scenes = scenes
        self._limits = Limits.for_scenes(min(len(scenes), MAX_SCENES))
        self._views: list[SceneView] = []
        self._chips: list[Print] = []
        self._with_chips = {s.id for s in job.experiment.dataset.validation[:_CHIP_SCENES]}

    def add(self, evaluated: EvaluatedScene) -> None:
        """Draw a scene that is open with its labels."""
        if len(self._views) < MAX_SCENES:
            try:
                self._views.append(self._compared(evaluated))
            except Exception as error:  # noqa: BLE001  # a report is no reason for EVAL to fail
                logger.warning("scene %r is not drawn: %s", evaluated.id, error)
                self._views.append(failed(evaluated.id, error))
        if evaluated.id in self._with_chips:
            self._chips += self._examples(evaluated.scene, "validation", len(self._with_chips))

    def write(self, figures: dict[str, Any], stats: RasterStats) -> None:
        """Write the page into the output; ``figures``: those of ``eval.json``."""
        page = self._page(figures, stats)
        self._job.kernel.files.write_str(self._job.output.path(REPORT_NAME), render(page))

    def _compared(self, evaluated: EvaluatedScene) -> SceneView:
        task, scene = self._task, evaluated.scene
        with task.read_predictions(evaluated.uri, scene, self._job.kernel) as predicted:
            return comparison(
                scene,
                task.display_windows(scene.extent),
                lambda windows: task.label(scene, windows),
                predicted.labels,
                task.classes,
                background=background_of(task),
                limits=self._limits,
            )

    def _examples(self, scene: Scene, split: str, scenes: int) -> list[Print]:
        task = self._task
        try:
            return example_chips(
                scene,
                task.chip_windows(scene, split),
                lambda windows: task.label(scene, windows),
                task.classes,
                -(-_CHIPS // scenes),
            )
        except Exception as error:  # noqa: BLE001  # see `add`
            logger.warning("no chips of scene %r in the report: %s", scene.id, error)
            return []

    def _page(self, figures: dict[str, Any], stats: RasterStats) -> Page:
        experiment, task, overall = self._job.experiment, self._task, figures["overall"]
        matrix = overall.get("confusion_matrix")
        evaluated = Section(
            title="Figures",
            tables=task.tables(overall),
            matrix=matrix and ConfusionMatrix(matrix["classes"], matrix["counts"], task.units),
        )
        sections = [
            *([evaluated] if self._scenes else []),  # those of nothing are zeros, which say nothing
            self._training(),
            self._scene_section(figures),
            Section(title="Chips", text=CHIPS_TEXT, sheets=self._sheets(stats)),
        ]
        now = datetime.now(UTC)
        return Page(
            kicker="Evaluation report",
            title=experiment.id,
            headline=task.headline(overall) if self._scenes else "There are no labelled scenes.",
            facts=[
                ("Task", words(task.key)),
                ("Backend", _backend(experiment.backend)),
                ("Classes", f"{len(task.classes)}"),
                ("Scenes evaluated", f"{len(self._scenes)}"),
                ("Date", now.strftime("%d %B %Y")),
            ],
            sections=[
                s for s in sections if s.tables or s.charts or s.facts or s.scenes or s.sheets
            ],
            colors=colors_by_name(task.classes),
            date=now,
        )

    def _scene_section(self, figures: dict[str, Any]) -> Section:
        text = "Every evaluated scene: its labels, its prediction, and where they differ."
        if len(self._scenes) > len(self._views):
            text = f"The first {len(self._views)} of the {len(self._scenes)} evaluated scenes: "
            text += "their labels, their predictions, and where they differ."
        views = []
        for view in self._views:
            found = figures["scenes"].get(view.id)
            views.append(view if found is None else attrs.evolve(view, headline=self._line(found)))
        lines = [(id_, self._line(found)) for id_, found in figures["scenes"].items()]
        table = Table("Figures by scene", ("scene", "figures"), lines)
        return Section(
            title="Scenes", text=text, tables=[table] if len(lines) > 1 else [], scenes=views
        )

    def _line(self, figures: dict[str, Any]) -> str:
        try:
            return self._task.headline(figures)
        except (KeyError, TypeError, ValueError):  # of one scene there may be less to say
            return ""

    def _training(self) -> Section:
        """The curves of the training, as far as its output is there."""
        train = Output(self._job.experiment.output_uri("train"), self._job.kernel)
        try:
            metrics = train.read_json("trained.json")["metrics"]
            facts = [(words(name), f"{value:.4g}") for name, value in metrics.items()]
        except (RVError, KeyError, TypeError, ValueError, AttributeError):
            facts = []
        try:
            drawn = charts(read_history(train))
        except Exception as error:  # noqa: BLE001  # see `add`
            logger.warning("no training curves in the report: %s", error)
            drawn = []
        return Section(title="Training", facts=facts, charts=drawn)

    def _sheets(self, stats: RasterStats) -> list[ChipSheet]:
        classes = self._task.classes
        return [
            *chip_sheets("train", self._training_chips(stats), classes),
            *chip_sheets("validation", self._chips, classes),
        ]

    def _training_chips(self, stats: RasterStats) -> list[Print]:
        configs = self._job.experiment.dataset.train[:_CHIP_SCENES]
        chips: list[Print] = []
        for config in configs:
            try:
                with open_scene(
                    config, self._job.kernel, classes=self._task.classes, stats=stats
                ) as scene:
                    chips += self._examples(scene, "train", len(configs))
            except (RVError, NotFoundError) as error:
                logger.warning("no chips of scene %r in the report: %s", config.id, error)
        return chips


CHIPS_TEXT: Final = (
    "Some of the chips with their labels, spread over the classes; below each its scene and the "
    "column and row of its corner."
)


def chip_sheets(split: str, chips: Sequence[Print], classes: ClassMap) -> list[ChipSheet]:
    """The chips of a split on sheets; none for none."""
    sheets = sheets_of(chips, classes)
    return [
        ChipSheet(
            split,
            encode(sheet.image, "photo", _SHEET_BYTES, f"{sheet.count} labelled {split} chips"),
            f"{sheet.count} chips",
        )
        for sheet in sheets
    ]


def background_of(task: Task) -> int | None:
    """The id of the class that stands for "nothing": the one that the task's config names as
    background, or that is called ``background``."""
    places = (task.config, getattr(task.config, "cells", None))
    named = [name for place in places if (name := getattr(place, "background_class", None))]
    name = named[0] if named else "background"
    return task.classes.names.index(name) if name in task.classes.names else None


def words(key: str) -> str:
    """A key as people write it: ``CHIP_CLASSIFICATION`` is "Chip classification"."""
    return key.replace("_", " ").strip().capitalize()


def _backend(backend: BackendConfig | dict[str, Any]) -> str:
    if isinstance(backend, BackendConfig):
        key, defaults = backend.backend, backend.explicit().get("model_defaults")
    else:
        key, defaults = backend["backend"], backend.get("model_defaults")
    return f"{key}, {defaults}" if defaults else str(key)
