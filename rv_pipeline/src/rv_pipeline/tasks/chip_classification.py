"""Chip classification: every cell of a grid over the scene is of one class.

How cells get their classes from labels is pure geometry, and all of it is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs
from attrs.validators import optional
from rv_core.validators import boolean, integer, number, text

from rv_core import ConfigError
from rv_pipeline.tasks.config import TaskConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ClassMap, Window
    from rv_pipeline.vectors import Features

NO_CLASS: Final = -1
"""What `label_cells` says of a cell that gets no class."""

_ROUNDING: Final = 1e-6  # a cell drawn in another CRS covers itself but for this much
_BATCH: Final = 20_000  # cells at a time, which bounds the memory


@attrs.frozen(kw_only=True)
class CellOptions:
    """How a scene is cut into cells, and how labels decide the class of one.

    ``size``: height and width of a cell in pixels.
    ``ioc_threshold``: minimum intersection over cell: the share of the cell (of its part inside
    the scene) that a class must cover to be the cell's class, 0..1.
    ``background_class``: the class of cells where no class covers enough; ``None``: such cells
    are left out.
    ``infer_cells``: true: every cell of the grid gets a class, those without labels the
    background class. False: the labels are the cells, or mark those that count: cells that no
    label touches are left out.
    ``pick_smallest``: where several classes cover enough of a cell, take the one with the smallest
    area in it instead of the one with the largest.
    """

    size: int = attrs.field(default=300, validator=integer(minimum=1))
    ioc_threshold: float = attrs.field(default=0.5, validator=number(0, 1))
    background_class: str | None = attrs.field(default=None, validator=optional(text()))
    infer_cells: bool = attrs.field(default=False, validator=boolean())
    pick_smallest: bool = attrs.field(default=False, validator=boolean())

    def __attrs_post_init__(self) -> None:
        if self.infer_cells and self.background_class is None:
            raise ConfigError(
                "CellOptions.infer_cells gives empty cells the background class, and none is set",
                hint="set background_class to one of the classes",
            )


@attrs.frozen(kw_only=True)
class ChipClassificationConfig(TaskConfig):
    """``cells``: how scenes are cut into cells and the cells labelled."""

    key: str = attrs.field(default="CHIP_CLASSIFICATION", validator=text())
    cells: CellOptions = attrs.field(
        factory=CellOptions, validator=attrs.validators.instance_of(CellOptions)
    )

    def __attrs_post_init__(self) -> None:
        if self.cells.background_class is not None:
            self.classes.id_of(self.cells.background_class)


def label_cells(
    windows: Sequence[Window],
    features: Features,
    classes: ClassMap,
    options: CellOptions,
    *,
    extent: Window | None = None,
) -> NDArray[np.int64]:
    """The class id of each window [N], `NO_CLASS` (-1) for those that get none.

    A class covers a cell by the union of its features: they may overlap, and several small ones
    count together. ``extent``: the scene's; where given, only what of a window lies inside it
    counts. Equal areas: the class that is first in the class map.

    Raises `ConfigError` where the background class is not in the class map.
    """
    import numpy as np

    background = NO_CLASS
    if options.background_class is not None:
        background = classes.id_of(options.background_class)
    ids = np.empty(len(windows), np.int64)
    for start in range(0, len(windows), _BATCH):
        batch = slice(start, start + _BATCH)
        shares = covered_shares(windows[batch], features, len(classes), extent=extent)
        enough = (shares > _ROUNDING) & (shares >= options.ioc_threshold - _ROUNDING)
        if options.pick_smallest:
            best = np.where(enough, shares, np.inf).argmin(axis=1)
        else:
            best = np.where(enough, shares, -np.inf).argmax(axis=1)
        touched = (shares > _ROUNDING).any(axis=1) | options.infer_cells
        ids[batch] = np.where(enough.any(axis=1), best, np.where(touched, background, NO_CLASS))
    return ids


def covered_shares(
    windows: Sequence[Window],
    features: Features,
    class_count: int,
    *,
    extent: Window | None = None,
) -> NDArray[np.float64]:
    """Which share of each window each class covers, float64 [N, class_count] in 0..1."""
    import numpy as np
    import shapely

    from rv_pipeline.windows import boxes

    cells = boxes(windows, extent)
    areas = shapely.area(cells)
    parts = features.disjoint
    cell, part = parts.tree.query(cells, predicate="intersects")
    covered = parts.areas[part]
    inside, around = parts.bounds[part], shapely.bounds(cells)[cell]
    cut = (inside[:, :2] < around[:, :2]).any(axis=1) | (inside[:, 2:] > around[:, 2:]).any(axis=1)
    clips = shapely.intersection(cells[cell[cut]], parts.geometries[part[cut]])
    covered[cut] = shapely.area(clips)
    totals: NDArray[np.float64] = np.bincount(
        cell * class_count + parts.class_ids[part],
        weights=covered,
        minlength=len(cells) * class_count,
    ).astype(np.float64)  # where nothing is covered, bincount counts in integers
    totals = totals.reshape(len(cells), class_count)
    shares: NDArray[np.float64] = np.divide(
        totals, areas[:, None], out=np.zeros_like(totals), where=areas[:, None] > 0
    )
    return shares
