"""Colors of classes and of mistakes that colour-blind people can tell apart."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rv_core import ClassMap

Rgb = tuple[int, int, int]

DISTINCT: Final = (
    # Okabe and Ito, "Color Universal Design" (2008), without black and in an order in which the
    # first few differ most; then what Paul Tol's "muted" scheme adds to it.
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#882255",
    "#999933",
    "#332288",
    "#44aa99",
    "#aa4499",
)
"""Colors for classes without one, in the order in which they are given out."""

BACKGROUND: Final = "#5c5c5c"
"""Of a class named ``background`` that has no color."""

CORRECT: Final = "#009e73"
MISSED: Final = "#e69f00"
FALSE: Final = "#56b4e9"
CONFUSED: Final = "#cc3d8f"
"""Mistakes: of the Okabe-Ito scheme, but for its purple, which is stronger here: most wrong pixels
are of this kind, and have to stand out from imagery."""

_TURN: Final = 0.618033988749895  # of the colour wheel: the golden ratio never comes round


def colors_of(classes: ClassMap) -> tuple[str, ...]:
    """A ``#rrggbb`` color for each class: its own, else one that no other class has."""
    taken = {info.color.lower() for info in classes if info.color is not None}
    colors = []
    for info in classes:
        color = info.color
        if color is None and info.name.lower() == "background" and BACKGROUND not in taken:
            color = BACKGROUND
        if color is None:
            color = next(c for c in map(_nth, range(2 * len(classes) + 12)) if c not in taken)
        taken.add(color.lower())
        colors.append(color.lower())
    return tuple(colors)


def _nth(index: int) -> str:
    """The distinct colors, then turns of the colour wheel at three lightnesses."""
    if index < len(DISTINCT):
        return DISTINCT[index]
    hue, light = (index * _TURN) % 1, (0.40, 0.62, 0.50)[index % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def rgb_of(color: str) -> Rgb:
    """Red, green and blue, 0..255, of ``#rrggbb``."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def luminance(color: Rgb) -> float:
    """The relative luminance, 0..1, of WCAG 2.1."""
    parts = [c / 255 for c in color]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
