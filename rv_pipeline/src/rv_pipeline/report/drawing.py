"""Labels, outlines and mistakes, drawn over the picture of a scene or a chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import shapely
from PIL import Image, ImageDraw

from rv_core import UNLABELLED, BoxLabels, ChipLabel, Label, PixelLabels, Window
from rv_pipeline.report.palette import Rgb, rgb_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_ZOOM: Final = 8  # of small scenes, so that outlines on them are fine
_FILL: Final = 72  # of 255: the alpha with which cells and polygons are filled
_SOLID: Final = 255
_CASING: Final = (255, 255, 255, 170)  # around outlines, which shows them on any ground


@attrs.frozen
class Frame:
    """Where drawings lie: a picture of ``size`` (width, height) px of an ``extent``, ``scale``
    px to each of its pixels."""

    extent: Window
    size: tuple[int, int]
    scale: float

    @classmethod
    def of(cls, extent: Window, max_side: int, factor: int = 1) -> Frame:
        """The frame of an extent that is shown made smaller by ``factor`` or, where that leaves
        it small, larger by a whole number."""
        width, height = -(-extent.width // factor), -(-extent.height // factor)
        zoom = max(1, min(_MAX_ZOOM, max_side // max(width, height)))
        return cls(extent, (width * zoom, height * zoom), zoom / factor)

    def corners(self, window: Window) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of a window in the picture, half-open; at least one pixel."""
        x0 = (window.col_off - self.extent.col_off) * self.scale
        y0 = (window.row_off - self.extent.row_off) * self.scale
        x1, y1 = x0 + window.width * self.scale, y0 + window.height * self.scale
        left, top = round(x0), round(y0)
        return left, top, max(left + 1, round(x1)), max(top + 1, round(y1))

    def place(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Pixel coordinates of the scene [N, 2] (x, y) as those of the picture."""
        offset = (self.extent.col_off, self.extent.row_off)
        placed: NDArray[np.float64] = (np.asarray(points, np.float64) - offset) * self.scale
        return placed

    def samples(self, window: Window) -> tuple[tuple[int, int, int, int], Any]:
        """The picture's pixels that a window covers, as corners, and an index (rows, columns)
        into the window's own pixels that says which is shown at each of them."""
        left, top, right, bottom = self.corners(window)
        left, top = max(0, left), max(0, top)
        right, bottom = min(self.size[0], right), min(self.size[1], bottom)
        x = (np.arange(left, right) + 0.5) / self.scale
        y = (np.arange(top, bottom) + 0.5) / self.scale
        cols = np.floor(x).astype(int) + self.extent.col_off - window.col_off
        rows = np.floor(y).astype(int) + self.extent.row_off - window.row_off
        index = np.ix_(np.clip(rows, 0, window.height - 1), np.clip(cols, 0, window.width - 1))
        return (left, top, right, bottom), index


class LabelLayer:
    """A transparent picture to draw labels on; the picture it lies on shows through.

    ``colors``: ``#rrggbb`` of each class. ``seen``: the classes that were drawn.
    """

    def __init__(self, frame: Frame, colors: Sequence[str]) -> None:
        self.frame = frame
        self.colors = [rgb_of(color) for color in colors]
        self.image = Image.new("RGBA", frame.size)
        self._draw = ImageDraw.Draw(self.image)
        self.line = max(1, round(max(frame.size) / 400))
        self.seen: set[int] = set()

    def add(self, window: Window, label: Label | None) -> None:
        """Draw the label of a window; nothing for ``None``.

        The class of a window fills it lightly, boxes are outlined, and pixels are solid: whoever
        shows the layer decides how much shines through.
        """
        if isinstance(label, ChipLabel):
            self.seen.add(label.class_id)
            self.add_cell(window, self.colors[label.class_id])
        elif isinstance(label, BoxLabels):
            self.seen.update(label.class_ids.tolist())
            boxes = in_scene(label.boxes, window)
            for box, class_id in zip(boxes, label.class_ids.tolist(), strict=True):
                self.add_box(box, self.colors[class_id])
        elif isinstance(label, PixelLabels):
            place, index = self.frame.samples(window)
            mask = class_mask(label)[index]
            self.seen.update(set(np.unique(mask).tolist()) - {UNLABELLED})
            self.add_pixels(place, mask)

    def add_cell(self, window: Window, color: Rgb, fill: int = _FILL) -> None:
        """Fill a window, with an outline inside it so that those of neighbours are both seen."""
        left, top, right, bottom = self.frame.corners(window)
        place = (left, top, right - 1, bottom - 1)
        edge = (*color, _SOLID) if min(right - left, bottom - top) >= 6 else None
        self._draw.rectangle(place, (*color, fill), edge, self.line)

    def add_box(self, box: NDArray[Any], color: Rgb, *, dashed: bool = False) -> None:
        """Outline a box: ymin, xmin, ymax, xmax in the scene's pixels, half-open."""
        ymin, xmin, ymax, xmax = (float(side) for side in box)
        placed = self.frame.place(np.array([[xmin, ymin], [xmax, ymax]]))
        (left, top), (right, bottom) = np.rint(placed).astype(int).tolist()
        right, bottom = max(left + 1, right - 1), max(top + 1, bottom - 1)
        if min(right - left, bottom - top) >= 8:
            grown = (left - 1, top - 1, right + 1, bottom + 1)
            self._draw.rectangle(grown, None, _CASING, self.line + 2)
        if dashed:
            self._dashes(left, top, right, bottom, color)
        else:
            self._draw.rectangle((left, top, right, bottom), None, (*color, _SOLID), self.line)

    def _dashes(self, left: int, top: int, right: int, bottom: int, color: Rgb) -> None:
        ink, dash = (*color, _SOLID), 4 * self.line
        for start in range(left, right, 2 * dash):
            for y in (top, bottom - self.line + 1):
                end = (min(start + dash, right), y + self.line - 1)
                self._draw.rectangle((start, y, *end), ink)
        for start in range(top, bottom, 2 * dash):
            for x in (left, right - self.line + 1):
                end = (x + self.line - 1, min(start + dash, bottom))
                self._draw.rectangle((x, start, *end), ink)

    def add_pixels(self, place: tuple[int, int, int, int], mask: NDArray[np.uint8]) -> None:
        """Color pixels [h, w] of the picture, in the corners ``place``, by their class; ids beyond
        the colors are left out."""
        if not mask.size:
            return
        table = np.zeros((256, 4), np.uint8)
        table[: len(self.colors), :3] = self.colors
        table[: len(self.colors), 3] = _SOLID
        part = Image.fromarray(table[mask])
        self.image.paste(part, place[:2], part)

    def add_polygons(
        self, geometries: Iterable[Any], color: Rgb, *, fill: int = _FILL, line: int | None = None
    ) -> None:
        """Fill and outline polygons and multipolygons in the scene's pixel coordinates."""
        parts = shapely.get_parts(np.asarray(list(geometries), object))
        fine = 0.5 / self.frame.scale  # what is less than half a pixel is not seen
        for part in shapely.simplify(parts, fine, preserve_topology=False):
            if part.is_empty or part.geom_type != "Polygon":
                continue
            rings = [self.frame.place(shapely.get_coordinates(r)) for r in _rings(part)]
            self._fill_rings(rings, (*color, fill))
            width = self.line if line is None else line
            for ring in rings:
                points = [(float(x), float(y)) for x, y in ring]
                self._draw.line(points, (*color, _SOLID), width, joint="curve")

    def _fill_rings(self, rings: list[NDArray[np.float64]], ink: tuple[int, ...]) -> None:
        """The first ring is filled, the others are its holes."""
        width, height = self.frame.size
        low = np.floor(rings[0].min(axis=0)).clip(0, (width, height)).astype(int)
        high = (np.ceil(rings[0].max(axis=0)) + 1).clip(0, (width, height)).astype(int)
        if (high <= low).any():
            return
        inside = Image.new("L", tuple((high - low).tolist()))
        draw = ImageDraw.Draw(inside)
        for number, ring in enumerate(rings):
            points = [(float(x), float(y)) for x, y in ring - low]
            draw.polygon(points, fill=0 if number else ink[3])
        part = Image.new("RGBA", inside.size, (*ink[:3], 0))
        part.putalpha(inside)
        self.image.alpha_composite(part, tuple(low.tolist()))

    def add_outlines(self, windows: Iterable[Window], color: Rgb, alpha: int = 200) -> None:
        """Outline windows with thin lines; nothing of them is filled."""
        width = self.line // 2 + 1
        for window in windows:
            left, top, right, bottom = self.frame.corners(window)
            self._draw.rectangle((left, top, right - 1, bottom - 1), None, (*color, alpha), width)

    def shade_outside(self, polygons: NDArray[Any], strength: int = 150) -> None:
        """Darken what lies outside the polygons [N] of an area of interest, and outline them."""
        shade = Image.new("L", self.frame.size, strength)
        draw = ImageDraw.Draw(shade)
        outlines = []
        for part in shapely.get_parts(polygons):
            for number, ring in enumerate(_rings(part)):
                placed = self.frame.place(shapely.get_coordinates(ring))
                points = [(float(x), float(y)) for x, y in placed]
                draw.polygon(points, fill=strength if number else 0)
                outlines.append(points)
        dark = Image.new("RGBA", self.frame.size, (16, 18, 22, 0))
        dark.putalpha(shade)
        self.image.alpha_composite(dark)
        for points in outlines:
            self._draw.line(points, (255, 255, 255, 255), self.line + 2)
            self._draw.line(points, (16, 18, 22, 255), self.line)


def _rings(polygon: Any) -> list[Any]:
    return [polygon.exterior, *polygon.interiors]


def class_mask(label: PixelLabels) -> NDArray[np.uint8]:
    """The class of each pixel, uint8 [H, W], 255 for unlabelled; the likeliest where the label
    holds probabilities."""
    if label.mask is not None:
        return label.mask
    if label.probabilities is None:
        return np.full((0, 0), UNLABELLED, np.uint8)
    likeliest: NDArray[np.uint8] = label.probabilities.argmax(axis=2).astype(np.uint8)
    return likeliest


def in_scene(boxes: NDArray[Any], window: Window) -> NDArray[np.float64]:
    """Boxes of a window in the pixels of its scene."""
    shift = (window.row_off, window.col_off, window.row_off, window.col_off)
    moved: NDArray[np.float64] = np.asarray(boxes, np.float64).reshape(-1, 4) + shift
    return moved
