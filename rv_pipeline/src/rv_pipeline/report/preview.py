"""What an experiment would learn from, to look at before it has run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_core import UNLABELLED, ChipLabel, DataError, PixelLabels, RVError, Window
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.outputs import Output
from rv_pipeline.providers import complete
from rv_pipeline.report.contact_sheets import Print, class_ids_of, sheets_of
from rv_pipeline.report.drawing import LabelLayer, class_mask
from rv_pipeline.report.evaluation import CHIPS_TEXT, chip_sheets, words
from rv_pipeline.report.page import (
    Layer,
    Legend,
    LegendEntry,
    Page,
    SceneView,
    Section,
    colors_by_name,
)
from rv_pipeline.report.palette import colors_of, rgb_of
from rv_pipeline.report.pictures import to_png
from rv_pipeline.report.scene_views import (
    MAX_SCENES,
    Canvas,
    Limits,
    batches,
    class_legend,
    example_chips,
    failed,
    raster_facts,
)
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.config import SPLITS
from rv_pipeline.tasks.task import Table, task_of

if TYPE_CHECKING:
    from rv_core import ClassMap, Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import Scene, SceneConfig
    from rv_pipeline.statistics import RasterStats
    from rv_pipeline.tasks.task import Task

_MAX_POLYGONS: Final = 20_000  # drawn on a scene: more than its picture can show
_MAX_WINDOWS: Final = 400
_CHIPS: Final = 32  # of each split
_CHIP_SCENES: Final = 4  # that those are from
_SAMPLED: Final = 40  # windows that statistics are taken from, where ANALYZE has none
_TITLES: Final = {"train": "Training", "validation": "Validation", "test": "Test"}
_LABELLED: Final = "#f0e442"
_UNLABELLED: Final = "#bdbdbd"


@attrs.frozen
class ScenePreview:
    """What came of a scene: how it is to be shown, its picture with labels and windows over it as
    a PNG file where it could be drawn, and a ``line`` about it. ``failed``: with an error."""

    split: str
    view: SceneView
    line: str
    png: bytes | None = attrs.field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        return bool(self.view.error)


@attrs.frozen
class Preview:
    """``files``: name -> content of the PNG files: ``<scene>.png`` for each scene that was drawn,
    and ``chips/<split>.png``."""

    page: Page
    scenes: Sequence[ScenePreview]
    files: Mapping[str, bytes] = attrs.field(repr=False)


def preview(
    experiment: Experiment,
    kernel: Kernel,
    on_scene: Callable[[int, int], None] = lambda done, total: None,
) -> Preview:
    """Open every scene of an experiment with its labels, and draw the first 40 of them.

    A scene with an error is shown with its message. Transformers use the statistics that ANALYZE
    left or, where it has not run, quick ones of some windows.
    Raises the errors of `PluginError` for a task or a format that a plugin fails at.
    """
    experiment = complete(experiment, kernel)
    task = task_of(experiment, kernel)
    stats = _stats(experiment, kernel)
    configs = [(split, c) for split in SPLITS for c in getattr(experiment.dataset, split)]
    limits = Limits.for_scenes(min(len(configs), MAX_SCENES))
    chips: dict[str, list[Print]] = {split: [] for split in SPLITS}
    scenes: list[ScenePreview] = []
    for number, (split, config) in enumerate(configs):
        drawn = number < MAX_SCENES
        of_split = len(getattr(experiment.dataset, split))
        scenes.append(
            _preview_scene(task, split, config, kernel, stats, limits, chips, of_split, drawn)
        )
        on_scene(number + 1, len(configs))
    files = {f"{s.view.id}.png": s.png for s in scenes if s.png is not None}
    for split, samples in chips.items():
        for sheet in sheets_of(samples, task.classes):
            files[f"chips/{split}.png"] = to_png(sheet.image)
    return Preview(_page(experiment, task, scenes, chips), scenes, files)


def _stats(experiment: Experiment, kernel: Kernel) -> RasterStats | None:
    """Those of ANALYZE; else of a sample of the training scenes that can be read."""
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.statistics import compute_stats

    scenes = experiment.dataset.scenes
    if not any(scene.raster.transformers for scene in scenes):
        return None
    output = Output(experiment.output_uri("analyze"), kernel)
    sources = []
    try:
        if output.done() is not None:
            return read_stats(output)
        for scene in (experiment.dataset.train or scenes)[:8]:
            try:
                sources.append(RasterSource.open(scene.raster, kernel))
            except RVError:
                continue  # it is shown with its error
        return compute_stats(sources, sample_windows=_SAMPLED) if sources else None
    except DataError:
        return None  # reading the scenes says why
    finally:
        for source in sources:
            source.close()


def _preview_scene(
    task: Task,
    split: str,
    config: SceneConfig,
    kernel: Kernel,
    stats: RasterStats | None,
    limits: Limits,
    chips: dict[str, list[Print]],
    of_split: int,
    drawn: bool,
) -> ScenePreview:
    try:
        with open_scene(config, kernel, classes=task.classes, stats=stats) as scene:
            task.check_scene(scene)
            sketch = _Sketch(task, split, config, scene)
            if not drawn:
                view = SceneView(config.id, None, facts=raster_facts(scene.raster))
                return ScenePreview(split, view, sketch.line)
            if len({s.scene_id for s in chips[split]}) < _CHIP_SCENES:
                chips[split] += sketch.chips(-(-_CHIPS // min(of_split, _CHIP_SCENES)))
            view, png = sketch.draw(limits)
            return ScenePreview(split, view, sketch.line, png)
    except Exception as error:  # noqa: BLE001  # the others are to be seen
        view = failed(config.id, error)
        if drawn:
            view = _without_labels(view, config, kernel, stats, limits)
        return ScenePreview(split, view, view.error)


def _without_labels(
    view: SceneView,
    config: SceneConfig,
    kernel: Kernel,
    stats: RasterStats | None,
    limits: Limits,
) -> SceneView:
    """The picture of a scene whose labels or area of interest are wrong, if it has one."""
    bare = attrs.evolve(config, labels=None, aoi_uris=())
    try:
        with open_scene(bare, kernel, stats=stats, with_labels=False) as scene:
            picture = Canvas.of(scene.id, scene.raster, limits).picture
            facts = raster_facts(scene.raster)
    except Exception:  # noqa: BLE001  # the first error says what there is to say
        return view
    return attrs.evolve(view, picture=picture, layers=(Layer("Image", None),), facts=facts)


class _Sketch:
    """Draws one open scene."""

    def __init__(self, task: Task, split: str, config: SceneConfig, scene: Scene) -> None:
        self.task, self.split, self.scene = task, split, scene
        self.labelled = config.labels is not None
        cut = self.labelled and split != "test"
        self.windows = task.chip_windows(scene, split) if cut else ()
        self.colors = colors_of(task.classes)
        raster = scene.raster
        self.line = f"{raster.width} x {raster.height} px, "
        self.line += f"{_counted(raster.bands, 'band')} of {raster.dtype}"
        if scene.features is not None:
            self.line += f", {_counted(len(scene.features), 'feature')}"
        if cut:
            self.line += f", {_counted(len(self.windows), 'window')}"

    def _label(self, windows: Sequence[Window]) -> Sequence[Any]:
        return self.task.label(self.scene, windows)

    def chips(self, count: int) -> list[Print]:
        return example_chips(self.scene, self.windows, self._label, self.task.classes, count)

    def draw(self, limits: Limits) -> tuple[SceneView, bytes]:
        scene = self.scene
        canvas = Canvas.of(scene.id, scene.raster, limits)
        layers, tables, legends = [Layer("Image", None)], [], []
        over: list[tuple[LabelLayer, int]] = []
        if self.labelled:
            labels = LabelLayer(canvas.frame, self.colors)
            tables.append(self._draw_labels(labels))
            self._shade(labels)
            strength = 100 if scene.features is not None else 60  # pixels hide what is below
            over.append((labels, strength))
            legends.append(class_legend(self.task.classes, labels.seen))
            drawing = canvas.encoded(labels, f"Labels of scene {scene.id}")
            layers.append(Layer("Labels", drawing, min(strength, 90)))
        if self.windows:
            windows = LabelLayer(canvas.frame, self.colors)
            tables.append(self._draw_windows(windows))
            over.append((windows, 100))
            legends.append(_window_legend(windows.seen, self.task.classes))
            drawing = canvas.encoded(windows, f"Windows of scene {scene.id} that become chips")
            layers.append(Layer("Windows", drawing))
        facts = [("Split", self.split), *raster_facts(scene.raster), *self._facts()]
        shown_legends = [legend for legend in legends if legend.entries]
        view = SceneView(
            scene.id, canvas.picture, layers, shown_legends, facts=facts, tables=tables
        )
        return view, to_png(canvas.over(*over))

    def _facts(self) -> Iterator[tuple[str, str]]:
        bands = ", ".join(str(band - 1) for band in self.scene.raster.channels)
        yield "Bands read, from 0", bands
        if len(self.scene.aoi):
            yield "Areas of interest", _counted(len(self.scene.aoi), "polygon")
        if not self.labelled:
            yield "Labels", "none"

    def _shade(self, layer: LabelLayer) -> None:
        if len(self.scene.aoi):
            layer.shade_outside(self.scene.aoi)

    def _draw_labels(self, layer: LabelLayer) -> Table:
        """The polygons as they are or, of other labels, what the task makes of them."""
        names, features = self.task.classes.names, self.scene.features
        if features is not None:
            kept = slice(None, None, 1 + len(features) // _MAX_POLYGONS)
            geometries, ids = features.geometries[kept], features.class_ids[kept]
            # The class that is first in the class map lies on top, as tasks have it.
            for class_id in sorted(set(ids.tolist()), reverse=True):
                layer.add_polygons(geometries[ids == class_id], layer.colors[class_id])
                layer.seen.add(class_id)
            area = np.bincount(features.class_ids, features.areas, len(names))
            counts = np.bincount(features.class_ids, minlength=len(names)).tolist()
            rows = [
                (name, f"{counts[i]:,}", f"{area[i]:,.0f}", f"{area[i] / max(1, counts[i]):,.0f}")
                for i, name in enumerate(names)
            ]
            return Table("Labels", ("class", "features", "area, px", "mean area, px"), rows)
        pixels = np.zeros(256, np.int64)
        for batch in batches(self.task.display_windows(self.scene.extent)):
            for window, label in zip(batch, self._label(batch), strict=True):
                layer.add(window, label)
                if isinstance(label, PixelLabels):
                    pixels += np.bincount(class_mask(label).ravel(), minlength=256)
        total = max(1, int(pixels.sum()))
        shares = [
            (name, f"{pixels[i]:,}", f"{pixels[i] / total:.1%}")
            for i, name in [*enumerate(names), (UNLABELLED, "unlabelled")]
        ]
        return Table("Labels", ("class", "pixels", "share"), shares)

    def _draw_windows(self, layer: LabelLayer) -> Table:
        """Windows that become chips, in the color of their class where they have one; those that
        do not in grey."""
        step = -(-len(self.windows) // _MAX_WINDOWS)
        looked_at = self.windows[::step]
        counts = np.zeros(len(self.task.classes), np.int64)
        unlabelled = []
        labelled: list[tuple[Window, tuple[int, int, int]]] = []
        for batch in batches(looked_at):
            for window, label in zip(batch, self._label(batch), strict=True):
                if label is None:
                    unlabelled.append(window)
                elif isinstance(label, ChipLabel):
                    counts[label.class_id] += 1
                    layer.seen.add(label.class_id)
                    labelled.append((window, layer.colors[label.class_id]))
                else:
                    labelled.append((window, rgb_of(_LABELLED)))
                    counts[class_ids_of(label)] += 1
        strength = 255 if len(looked_at) <= 50 else 130  # many lie over each other
        layer.add_outlines(unlabelled, rgb_of(_UNLABELLED), strength)
        for window, color in labelled:
            layer.add_outlines([window], color, strength)
        rows = [(name, f"{counts[i]:,}") for i, name in enumerate(self.task.classes.names)]
        rows += [("all chips", f"{len(labelled):,}"), ("not labelled", f"{len(unlabelled):,}")]
        title = f"Windows: {len(self.windows):,}"
        if step > 1:
            title += f", of which {len(looked_at):,} are counted and drawn"
        return Table(title, ("chips with", "windows"), rows)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _window_legend(seen: set[int], classes: ClassMap) -> Legend:
    """``seen``: the classes that whole windows are of; none where their labels say more."""
    entries = [attrs.evolve(e, mark="line") for e in class_legend(classes, seen).entries]
    entries = entries or [LegendEntry("becomes a chip", _LABELLED, "line")]
    return Legend("Windows", [*entries, LegendEntry("not labelled", _UNLABELLED, "line")])


def _page(
    experiment: Experiment,
    task: Task,
    scenes: Sequence[ScenePreview],
    chips: Mapping[str, Sequence[Print]],
) -> Page:
    drawn = scenes[:MAX_SCENES]
    wrong = [s for s in scenes if s.failed]
    rows = [(s.view.id, s.split, s.line, "error" if s.failed else "can be read") for s in scenes]
    overview = Table("Scenes", ("scene", "split", "what it is", "state"), rows)
    headline = f"{_counted(len(scenes), 'scene')}, without an error."
    if wrong:
        headline = f"{_counted(len(wrong), 'scene')} of {len(scenes)} with an error."
    sheets = [sheet for split in SPLITS for sheet in chip_sheets(split, chips[split], task.classes)]
    sections = [
        Section(title="Overview", tables=[overview]),
        *(
            Section(title=f"{_TITLES[split]} scenes", scenes=views)
            for split in SPLITS
            if (views := [s.view for s in drawn if s.split == split])
        ),
    ]
    if sheets:
        sections.append(Section(title="Chips", text=CHIPS_TEXT, sheets=sheets))
    now = datetime.now(UTC)
    return Page(
        kicker="Preview of an experiment that has not run",
        title=experiment.id,
        headline=headline,
        facts=[
            ("Task", words(task.key)),
            ("Chip size", "{} \u00d7 {} px".format(*task.chip_size)),
            ("Classes", ", ".join(task.classes.names)),
            ("Date", now.strftime("%d %B %Y")),
        ],
        sections=sections,
        colors=colors_by_name(task.classes),
        date=now,
    )
