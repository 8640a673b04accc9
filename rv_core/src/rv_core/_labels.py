"""What a chip can be labelled with: one class, boxes, or a class per pixel.

Class ids are 0..n-1 in class-map order everywhere; 255 (`UNLABELLED`) means unlabelled or nodata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core._errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNLABELLED: Final = 255
"""The class id of pixels without a label or without data; left out of loss and metrics."""

MAX_CLASSES: Final = 255
"""Ids 0..254 fit in a byte beside `UNLABELLED`."""

_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")


@attrs.frozen
class ClassInfo:
    """One class: its ``name`` and, where given, the ``color`` (``#rrggbb``) to draw it in."""

    name: str
    color: str | None = None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigError(f"a class needs a name, got {self.name!r}")
        if self.color is not None and not _HEX_COLOR.match(self.color):
            raise ConfigError(
                f"class {self.name!r} has color {self.color!r}", hint="spell colors as #rrggbb"
            )


def _as_tuple(classes: Iterable[ClassInfo]) -> tuple[ClassInfo, ...]:
    return tuple(classes)


@attrs.frozen
class ClassMap:
    """The classes of an experiment, in order: a class's id is its position, 0..n-1.

    Raises `ConfigError` where a name is empty or doubled, or there are more than 255 classes.
    """

    classes: tuple[ClassInfo, ...] = attrs.field(converter=_as_tuple)

    def __attrs_post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ConfigError(f"a class map holds 1 to {MAX_CLASSES} classes, got {len(self)}")
        names = self.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ConfigError(f"class names must differ, but {', '.join(doubled)} is there twice")

    @classmethod
    def of(cls, *names: str) -> ClassMap:
        """The class map of these names, without colors."""
        return cls(tuple(ClassInfo(name) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.classes)

    def id_of(self, name: str) -> int:
        """The id of a class; raises `ConfigError` for a name that is not in the map."""
        try:
            return self.names.index(name)
        except ValueError:
            from difflib import get_close_matches

            close = get_close_matches(str(name), self.names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else None
            raise ConfigError(
                f"unknown class {name!r}; the classes are {', '.join(self.names)}", hint=hint
            ) from None

    def name_of(self, class_id: int) -> str:
        """The name of a class; raises `ConfigError` for an id outside 0..n-1."""
        if not 0 <= class_id < len(self):
            raise ConfigError(f"class id {class_id} is outside 0..{len(self) - 1}")
        return self.classes[class_id].name

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def to_dict(self) -> dict[str, Any]:
        return {"classes": [{"name": c.name, "color": c.color} for c in self.classes]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassMap:
        return cls(tuple(ClassInfo(c["name"], c.get("color")) for c in data["classes"]))


@attrs.frozen
class ChipLabel:
    """The class of a whole chip.

    ``class_id``: 0..n-1. ``scores``: float32 [n], one per class, summing to 1, on predictions.
    """

    class_id: int
    scores: NDArray[np.float32] | None = attrs.field(default=None, eq=False)


@attrs.frozen(eq=False)
class BoxLabels:
    """Boxes on a chip.

    ``boxes``: float32 [M, 4], each ymin, xmin, ymax, xmax in pixels of the chip, half-open.
    ``class_ids``: integers [M], 0..n-1. ``scores``: float32 [M] in 0..1, on predictions.
    """

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.integer[Any]]
    scores: NDArray[np.float32] | None = None


@attrs.frozen(eq=False)
class PixelLabels:
    """A class for each pixel of a chip; one of the two is set.

    ``mask``: uint8 [H, W], class ids 0..n-1, 255 for unlabelled.
    ``probabilities``: float32 [H, W, n], on predictions.
    """

    mask: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None


Label = ChipLabel | BoxLabels | PixelLabels
"""What a chip is labelled with; which of the three is decided by the task."""
