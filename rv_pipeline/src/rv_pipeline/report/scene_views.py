"""A scene as a page shows it: its picture, with labels, predictions and mistakes as layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import BoxLabels, ChipLabel, ChipSample, PixelLabels, RVError, Window
from rv_pipeline.report.contact_sheets import Print, choose, print_of
from rv_pipeline.report.drawing import Frame, LabelLayer
from rv_pipeline.report.mistakes import KINDS, MistakeLayer
from rv_pipeline.report.page import Layer, Legend, LegendEntry, SceneView
from rv_pipeline.report.palette import CONFUSED, CORRECT, FALSE, MISSED, colors_of
from rv_pipeline.report.pictures import MAX_SIDE, Picture, checkered, encode, read_overview, shown

if TYPE_CHECKING:
    from PIL import Image

    from rv_core import ClassMap, Label
    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.scenes import Scene

    Labels = Callable[[Sequence[Window]], Sequence[Label | None]]


MAX_SCENES: Final = 40
"""Scenes that one page shows, at most."""

_PAGE_BYTES: Final = 40 << 20
_SCENE_BYTES: Final = 4 << 20
_BATCH_PIXELS: Final = 1 << 22  # labelled at a time, which bounds the memory
_SOFT: Final = 60  # percent: how strongly solid pixels lie on the picture


@attrs.frozen
class Limits:
    """Of one scene on a page: pixels on the long side, and bytes of all its pictures."""

    max_side: int = MAX_SIDE
    max_bytes: int = _SCENE_BYTES

    @classmethod
    def for_scenes(cls, count: int) -> Limits:
        """What each of so many scenes may take, so that the page stays one that opens."""
        side = 1600 if count <= 6 else 1200 if count <= 16 else 800
        return cls(side, min(_SCENE_BYTES, _PAGE_BYTES // max(1, count)))


@attrs.frozen(eq=False)
class Canvas:
    """A scene's ``picture``, as the page shows it and as an ``image``, and the frame in which
    layers are drawn over it."""

    picture: Picture
    image: Image.Image
    frame: Frame
    limits: Limits

    @classmethod
    def of(
        cls, scene_id: str, raster: RasterSource, limits: Limits, *, raw: bool = False
    ) -> Canvas:
        overview = read_overview(raster, limits.max_side, raw=raw)
        image = shown(overview.pixels, overview.nodata)
        picture = encode(image, "photo", limits.max_bytes // 2, f"Image of scene {scene_id}")
        frame = Frame.of(raster.extent, limits.max_side, overview.factor)
        return cls(picture, image, frame, limits)

    def over(self, *layers: tuple[LabelLayer, int]) -> Image.Image:
        """The image in RGB with layers over it, each as strong as its percent; no data is
        checkered."""
        from PIL import Image

        whole = checkered(self.image.resize(self.frame.size, Image.Resampling.BOX)).convert("RGBA")
        for layer, percent in layers:
            drawing = layer.image.copy()
            drawing.putalpha(drawing.getchannel("A").point(lambda a, p=percent: a * p // 100))
            whole.alpha_composite(drawing)
        return whole.convert("RGB")

    def encoded(self, layer: LabelLayer, alt: str) -> Picture:
        return encode(layer.image, "drawing", self.limits.max_bytes // 6, alt)


def comparison(
    scene: Scene,
    windows: Sequence[Window],
    truth: Labels,
    predicted: Labels,
    classes: ClassMap,
    *,
    background: int | None = None,
    limits: Limits | None = None,
    headline: str = "",
) -> SceneView:
    """Image, labels, predictions and mistakes of a scene.

    ``truth`` and ``predicted`` give the labels of some of the ``windows``, a batch at a time. What
    lies outside the areas of interest is darker under labels and mistakes.
    """
    canvas = Canvas.of(scene.id, scene.raster, limits or Limits())
    colors = colors_of(classes)
    labels, predictions = LabelLayer(canvas.frame, colors), LabelLayer(canvas.frame, colors)
    mistakes = MistakeLayer(canvas.frame, background, scene.aoi)
    kind: type[Any] | None = None
    for batch in batches(windows):
        for window, true, found in zip(batch, truth(batch), predicted(batch), strict=True):
            kind = kind or (type(true) if true is not None else type(found) if found else None)
            labels.add(window, true)
            predictions.add(window, found)
            mistakes.compare(window, true, found)
    if len(scene.aoi):
        labels.shade_outside(scene.aoi)
        mistakes.shade_outside(scene.aoi)
    soft = _SOFT if kind is PixelLabels else 100
    id_ = scene.id
    layers = (
        Layer("Image", None),
        Layer("Labels", canvas.encoded(labels, f"Labels of scene {id_}"), soft),
        Layer("Prediction", canvas.encoded(predictions, f"Prediction for scene {id_}"), soft),
        Layer("Mistakes", canvas.encoded(mistakes, f"Mistakes of the prediction for {id_}")),
    )
    legends = [class_legend(classes, labels.seen | predictions.seen, boxes=kind is BoxLabels)]
    legends.append(_mistake_legend(mistakes, kind))
    shown_legends = [legend for legend in legends if legend.entries]
    return SceneView(
        id_, canvas.picture, layers, shown_legends, headline, raster_facts(scene.raster)
    )


def failed(scene_id: str, error: Exception, picture: Picture | None = None) -> SceneView:
    """What stands for a scene that cannot be shown: the message."""
    message = error.message if isinstance(error, RVError) else f"{type(error).__name__}: {error}"
    hint = error.hint or "" if isinstance(error, RVError) else ""
    layers = (Layer("Image", None),) if picture is not None else ()
    return SceneView(scene_id, picture, layers, error=message, hint=hint)


def example_chips(
    scene: Scene,
    windows: Sequence[Window],
    label: Labels,
    classes: ClassMap,
    count: int,
    *,
    looked_at: int = 512,
) -> list[Print]:
    """Some labelled chips of a scene for a contact sheet, spread over its classes; the same ones
    every time.

    ``windows``: those that become chips where they are labelled; of more than ``looked_at``, a
    random choice is labelled, and ``count`` of them read.
    """
    import numpy as np

    from rv_pipeline.commands.reading import read_windows

    if len(windows) > looked_at:
        picked = np.random.default_rng(0).choice(len(windows), looked_at, replace=False)
        windows = [windows[i] for i in np.sort(picked).tolist()]
    unread = np.empty((0, 0, 0), np.uint8)
    labelled = (
        ChipSample(unread, true, window, scene.id)
        for batch in batches(windows)
        for window, true in zip(batch, label(batch), strict=True)
        if true is not None
    )
    found = choose(labelled, len(classes), count, lambda sample: sample)
    chosen = {sample.window: sample for sample in found}
    colors = colors_of(classes)
    prints = []
    for window, pixels, nodata in read_windows(scene.raster, chosen):
        if nodata is None or not nodata.all():
            sample = attrs.evolve(chosen[window], pixels=pixels, nodata_mask=nodata)
            prints.append(print_of(sample, colors))
    return prints


def batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    """The windows in runs of a bounded number of pixels, of at least one window."""
    start = pixels = 0
    for stop, window in enumerate(windows):
        pixels += window.width * window.height
        if pixels > _BATCH_PIXELS and stop > start:
            yield windows[start:stop]
            start, pixels = stop, window.width * window.height
    if start < len(windows):
        yield windows[start:]


def class_legend(classes: ClassMap, seen: set[int], *, boxes: bool = False) -> Legend:
    """The classes that were drawn, in class-map order."""
    mark = "line" if boxes else "fill"
    entries = [
        LegendEntry(info.name, color, mark)
        for i, (info, color) in enumerate(zip(classes, colors_of(classes), strict=True))
        if i in seen
    ]
    return Legend("Classes", entries)


def _mistake_legend(mistakes: MistakeLayer, kind: type[Any] | None) -> Legend:
    total = sum(mistakes.counts)
    entries = []
    for number, (name, color) in enumerate(
        zip(KINDS, (CORRECT, MISSED, FALSE, CONFUSED), strict=True)
    ):
        count = mistakes.counts[number]
        if not count or (kind is PixelLabels and number == 0):
            continue
        amount = f"{count / total:.1%} of the pixels" if kind is PixelLabels else f"{count:,}"
        mark = "fill" if kind in (PixelLabels, ChipLabel) else "dashes" if number == 1 else "line"
        text = "wrong class" if name == "confused" else name
        entries.append(LegendEntry(f"{text}: {amount}", color, mark))
    return Legend("Mistakes", entries)


def raster_facts(raster: RasterSource) -> list[tuple[str, str]]:
    """Size, pixel size, CRS and bands, in words."""
    transform = raster.transform
    size = f"{raster.width:,} \u00d7 {raster.height:,} px"
    facts = [("Size", size)]
    if raster.crs is not None:
        across = (transform.a**2 + transform.d**2) ** 0.5
        down = (transform.b**2 + transform.e**2) ** 0.5
        named = {"metre": "m", "meter": "m"}
        unit = raster.crs.linear_units
        unit = "\u00b0" if raster.crs.is_geographic else f" {named.get(unit, unit)}"
        pixel = (
            f"{across:.4g}"
            if abs(across - down) < across / 1e4
            else f"{across:.4g} \u00d7 {down:.4g}"
        )
        facts.append(("Pixel", f"{pixel}{unit}"))
        authority = raster.crs.to_authority()
        facts.append(("CRS", ":".join(authority) if authority else "its own"))
    else:
        facts.append(("CRS", "none"))
    bands = f"{raster.bands} of {raster.dtype}"
    if raster.dtype != raster.raw_dtype:
        bands += f", from {raster.raw_dtype}"
    facts.append(("Bands", bands))
    return facts
