"""The options of the task OBJECT_DETECTION."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
from attrs.validators import optional
from rv_core.validators import choice, integer, number, text

from rv_core import ConfigError
from rv_pipeline.tasks.config import ChipOptions, PredictOptions, TaskConfig

_KINDS: Final = ("chip", "label", "image", "sliding")


@attrs.frozen(kw_only=True)
class ObjectDetectionConfig(TaskConfig):
    """Objects in boxes. ``chip_size``: height and width, in pixels, of chips and of the windows
    that are predicted; the objects should fit into half of it."""

    key: str = attrs.field(default="OBJECT_DETECTION", validator=text())
    chip_size: int = attrs.field(default=300, validator=integer(minimum=1))


@attrs.frozen(kw_only=True)
class DetectionChipOptions(ChipOptions):
    """Which windows of a scene become chips, and which labels are on one. Labels wholly on pixels
    without data are left out, of the figures of EVAL too.

    ``windows``, of training scenes: ``"chip"``: around each label one with the label at a random
    place in it, and negative ones, without any label. ``"label"``: around each label one with the
    label in its centre, and negative ones. ``"image"``: one, which is the whole image: for data
    sets that are chips already. ``"sliding"``: a grid over the scene. Validation scenes have the
    grid, whatever is chosen, except for ``"image"``. All lie inside the area of interest. A scene
    that is smaller than a chip is one chip, with nodata around it.
    ``chips_per_scene``: with ``"chip"``, how many there are of a scene, positive and negative;
    ``None``: one positive for each label. With ``"label"`` and ``"sliding"``, how many there are at
    most, drawn at random.
    ``neg_ratio``: with ``"chip"`` and ``"label"``, how many negative chips there are for each
    positive one. A scene without labels counts as one with a positive chip; with ``"chip"`` and
    ``chips_per_scene`` it has so many negative ones.
    ``ioa_thresh``: a label counts for a chip if at least this share of its box lies inside
    (intersection over the label's area, of what of it is in the scene); it is clipped to the chip.
    Of a label with less, a sliver, there is no box on the chip, while its pixels stay: the model
    learns to take slivers for background.
    ``neg_ioa_thresh``: a window on which no label counts becomes a chip only if no label has more
    than this share inside.
    ``label_buffer``: with ``"label"``, pixels around each label that are seen too: where label
    and buffer are larger than a chip, more chips around that one cover them.
    ``stride``: pixels from one window of the grid to the next; half a chip if ``None``. The last of
    a row and column are moved back inside the scene.
    """

    kinds: ClassVar[tuple[str, ...]] = _KINDS

    windows: str = attrs.field(default="chip", validator=choice(_KINDS))
    chips_per_scene: int | None = attrs.field(  # type: ignore[assignment]  # None has a meaning here
        default=None, validator=optional(integer(minimum=1))
    )
    neg_ratio: float = attrs.field(default=1.0, validator=number(minimum=0))
    ioa_thresh: float = attrs.field(default=0.8, validator=number(0, 1))
    neg_ioa_thresh: float = attrs.field(default=0.2, validator=number(0, 1))
    label_buffer: int = attrs.field(default=0, validator=integer(minimum=0))

    def __attrs_post_init__(self) -> None:
        name = type(self).__name__
        if self.neg_ioa_thresh > self.ioa_thresh:
            raise ConfigError(
                f"{name}.neg_ioa_thresh is {self.neg_ioa_thresh}, above ioa_thresh "
                f"({self.ioa_thresh}): a chip would be without objects and have one",
                hint="lower neg_ioa_thresh",
            )
        if self.label_buffer and self.windows != "label":
            raise ConfigError(
                f"{name}.label_buffer is for windows 'label', and windows is {self.windows!r}",
                hint="leave one of them out",
            )


@attrs.frozen(kw_only=True)
class DetectionPredictOptions(PredictOptions):
    """``stride``: pixels from one window to the next; half a chip if ``None``. Every object of up
    to chip size minus stride pixels is whole in some window; larger ones are put together from the
    pieces in which the model sees them.
    ``score_thresh``: boxes of a lower score are dropped. EVAL's average precision knows only of
    boxes that are left: for the figure that is usual in papers, lower this to 0.05 or less.
    ``merge_thresh``: of two boxes of a class that overlap by a larger intersection over union, the
    one with the better score stays."""

    stride: int | None = attrs.field(default=None, validator=optional(integer(minimum=1)))
    score_thresh: float = attrs.field(default=0.5, validator=number(0, 1))
    merge_thresh: float = attrs.field(default=0.5, validator=number(0, 1))
