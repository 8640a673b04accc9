"""Chip classification: every cell of a grid over the scene is of one class.

How cells get their classes from labels is pure geometry, and all of it is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs.validators import optional
from rv_core import ConfigError
from rv_core.validators import boolean, integer, number, text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rv_core import ClassMap, Window

    from rv_pipeline.vectors import Features

NO_CLASS: Final = -1
"""What `label_cells` says of a cell that gets no class."""

_ROUNDING: Final = 1e-6  # a cell drawn in another CRS covers itself but for this much


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
