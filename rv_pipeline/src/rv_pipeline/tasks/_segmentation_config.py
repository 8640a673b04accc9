"""The options of the task SEMANTIC_SEGMENTATION."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs
from attrs.validators import instance_of, optional
from rv_core.validators import boolean, choice, integer, number, text

from rv_pipeline.tasks.config import ChipOptions, PredictOptions, TaskConfig


def _as_names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class SemanticSegmentationConfig(TaskConfig):
    """A class for each pixel.

    ``chip_size``: height and width, in pixels, of chips and of the windows that are predicted.
    ``background_class``: the class of pixels on which no label is drawn; an ordinary class, which
    trains and counts. ``None``: such pixels are unlabelled, and left out of loss and metrics, as
    are pixels outside the areas of interest and pixels without data. Of a raster of labels, pixels
    without data are background where none of its values or colors is; those that its mapping says
    to be without a label never are.

    Where labels overlap, the class that is first in ``classes`` lies on top.
    """

    key: str = attrs.field(default="SEMANTIC_SEGMENTATION", validator=text())
    chip_size: int = attrs.field(default=300, validator=integer(minimum=1))
    background_class: str | None = attrs.field(default=None, validator=optional(text()))

    def __attrs_post_init__(self) -> None:
        if self.background_class is not None:
            self.classes.id_of(self.background_class)


@attrs.frozen(kw_only=True)
class SegmentationChipOptions(ChipOptions):
    """Which windows of a scene become chips; those without any labelled pixel never do.

    ``windows``, of training scenes: ``"sliding"``: a grid, the last of a row and column moved back
    inside the scene; ``"random"``: anywhere inside the scene that touches the area of interest.
    Validation scenes have the grid, each place seen once, and all of it. A scene that is smaller
    than a chip is seen with nodata around it.
    ``target_classes``: a window with fewer than ``target_count_threshold`` pixels of these classes
    is negative, and becomes a chip with ``negative_survival_probability`` only. None: no window is
    negative.
    """

    target_classes: tuple[str, ...] = attrs.field(default=(), converter=_as_names)
    target_count_threshold: int = attrs.field(default=1000, validator=integer(minimum=1))
    negative_survival_probability: float = attrs.field(default=1.0, validator=number(0, 1))


@attrs.frozen(kw_only=True)
class PolygonOptions:
    """What polygons are made of a scene's classes.

    ``classes``: of these; all but the background class if there are none.
    ``sieve``: groups of fewer pixels of one class, connected by their sides, become part of their
    largest neighbour first. ``min_area``: smaller polygons are left out, in ``min_area_units``:
    ``"m2"`` (square metres on the ground) or ``"px"``. ``simplify``: by how many pixels an outline
    may be moved to have fewer corners.
    ``iou_thresh``: in EVAL, a polygon is right where it overlaps a true one by at least this
    intersection over union.
    """

    classes: tuple[str, ...] = attrs.field(default=(), converter=_as_names)
    sieve: int = attrs.field(default=0, validator=integer(0, 10_000))
    min_area: float = attrs.field(default=0.0, validator=number(minimum=0))
    min_area_units: Literal["m2", "px"] = attrs.field(default="m2", validator=choice(("m2", "px")))
    simplify: float = attrs.field(default=0.0, validator=number(minimum=0))
    iou_thresh: float = attrs.field(default=0.5, validator=number(0, 1))


@attrs.frozen(kw_only=True)
class SegmentationPredictOptions(PredictOptions):
    """``stride``: pixels from one predicted window to the next; half a chip if ``None``. Windows
    overlap and are blended, which leaves no seams.

    A scene's classes are a GeoTIFF of class ids. What else there is to be: ``probabilities``: one
    of each class's probability; ``rgb``: one of the classes' colors; ``polygons``: GeoJSON.
    """

    stride: int | None = attrs.field(default=None, validator=optional(integer(minimum=1)))
    probabilities: bool = attrs.field(default=False, validator=boolean())
    rgb: bool = attrs.field(default=False, validator=boolean())
    polygons: PolygonOptions | None = attrs.field(
        default=None, validator=optional(instance_of(PolygonOptions))
    )
