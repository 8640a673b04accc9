"""From a layout to pixels: colors, light, shadows and the camera.

Colors are red, green, blue of 0..1. The sun stands in the south-west: shadows fall to the right
and a little upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely import affinity
from shapely.ops import substring

from rv_pipeline.samples._layout import Block, Building, Car, Layout, Tree

Image = NDArray[np.float32]
Rng = np.random.Generator

FINER: Final = 2  # pixels drawn per pixel of the picture, in each direction: smooth edges
SUN: Final = np.array([-0.60, 0.38, 0.70])  # towards the sun: x right, y down, z up
SHADOW: Final = np.array([0.47, 0.50, 0.58], np.float32)  # what the sky alone gives, bluish
CROPS: Final = (  # color, how much the rows show, metres between rows
    ((0.62, 0.55, 0.36), 0.035, 1.6),  # ripe grain
    ((0.33, 0.43, 0.21), 0.045, 2.2),  # green crop
    ((0.43, 0.34, 0.26), 0.040, 1.4),  # ploughed
    ((0.41, 0.48, 0.27), 0.010, 3.0),  # meadow
    ((0.50, 0.51, 0.30), 0.025, 1.8),  # stubble
)


class Painter:
    """A canvas of a scene, ``FINER`` times as fine as the picture."""

    def __init__(self, layout: Layout, size: int, rng: Rng) -> None:
        self.layout = layout
        self.rng = rng
        self.side = size * FINER
        self.per_metre = self.side / layout.size
        self.image: Image = np.zeros((self.side, self.side, 3), np.float32)
        self.shade: Image = np.zeros((self.side, self.side), np.float32)
        self.rough = noise(self.side, 1.1, rng)
        self.cloudy = noise(self.side, 2.6, rng)

    def paint(self) -> NDArray[np.uint8]:
        """The finished picture, uint8 [size, size, 3]."""
        layout = self.layout
        self._fields()
        self._village()
        self._water()
        self._roads()
        for pool in layout.pools:
            self._fill([pool.buffer(0.7)], (0.70, 0.68, 0.63), 0.02)
            self._fill([pool], (0.30, 0.62, 0.70), 0.02)
        for car in layout.cars:
            self._car(car)
        self._shadows()
        for building in layout.buildings:
            self._roof(building)
        for tree in layout.trees:
            self._tree(tree)
        return self._develop()

    def mask(
        self, shapes: Sequence[Any], place: tuple[slice, slice] | None = None
    ) -> NDArray[np.bool_]:
        """Which pixels of the canvas, or of a part of it, lie in the shapes."""
        rows, cols = place or (slice(0, self.side), slice(0, self.side))
        finest = 1 / self.per_metre
        inside: NDArray[np.bool_] = rasterio.features.geometry_mask(
            [shape for shape in shapes if not shape.is_empty],
            (rows.stop - rows.start, cols.stop - cols.start),
            Affine(finest, 0, cols.start * finest, 0, finest, rows.start * finest),
            invert=True,
        )
        return inside

    def _around(self, shapes: Sequence[Any]) -> tuple[slice, slice] | None:
        """The part of the canvas that holds the shapes, where they lie on it."""
        there = [shape for shape in shapes if not shape.is_empty]
        if not there:
            return None
        x0, y0, x1, y1 = np.clip(shapely.total_bounds(there), 0, self.layout.size) * self.per_metre
        rows, cols = slice(int(y0), math.ceil(y1)), slice(int(x0), math.ceil(x1))
        return (rows, cols) if rows.start < rows.stop and cols.start < cols.stop else None

    def _fill(self, shapes: Sequence[Any], color: Any, roughness: float) -> None:
        place = self._around(shapes)
        if place is None:
            return
        inside = self.mask(shapes, place)
        texture = (self.rough[place][inside] + self.cloudy[place][inside]) * roughness
        self.image[place][inside] = np.asarray(color, np.float32) + texture[:, None]

    def _fields(self) -> None:
        for field in self.layout.fields:
            place = self._around([field.polygon])
            if place is None:
                continue
            inside = self.mask([field.polygon], place)
            row, col = np.nonzero(inside)
            rough, cloudy = self.rough[place][inside], self.cloudy[place][inside]
            color, contrast, spacing = CROPS[field.kind]
            across = row * math.cos(field.angle) - col * math.sin(field.angle)
            across = (across / self.per_metre + cloudy * 0.4).astype(np.float32)
            rows = np.sin(across * (2 * math.pi / spacing)) * contrast
            tracks = np.minimum(np.abs(across % 21 - 1), np.abs(across % 21 - 2.8)) < 0.22
            ground = rows - 0.05 * tracks + cloudy * 0.035 + rough * 0.02
            tint = np.array(color) * self.rng.uniform(0.9, 1.1)
            self.image[place][inside] = tint.astype(np.float32) + ground[:, None]
        edges = [field.polygon.boundary.buffer(0.7) for field in self.layout.fields]
        self._fill(edges, (0.36, 0.42, 0.24), 0.04)

    def _village(self) -> None:
        layout = self.layout
        self._fill([layout.village], (0.38, 0.43, 0.25), 0.035)
        for lot in layout.lots:
            dry = self.rng.uniform(0, 1)
            color = (0.35 + 0.09 * dry, 0.42 + 0.04 * dry, 0.23 + 0.05 * dry)
            self._fill([lot], np.array(color) * self.rng.uniform(0.9, 1.1), 0.03)
        hedged = [lot for lot in layout.lots if self.rng.random() < 0.6]
        hedges = [lot.boundary.difference(layout.roads.buffer(5)).buffer(0.6) for lot in hedged]
        self._fill(hedges, (0.19, 0.27, 0.13), 0.06)

    def _water(self) -> None:
        water = self.layout.water
        self._fill([water.buffer(2.0)], (0.33, 0.38, 0.21), 0.06)
        self._fill([water.buffer(0.4)], (0.45, 0.41, 0.31), 0.04)
        self._fill([water], (0.17, 0.25, 0.25), 0.012)

    def _roads(self) -> None:
        layout = self.layout
        in_village = layout.roads.buffer(1.7).intersection(layout.village)
        self._fill([in_village], (0.61, 0.60, 0.57), 0.02)  # pavements
        self._fill(layout.paths, (0.60, 0.57, 0.52), 0.03)
        self._fill([layout.roads.buffer(0.5).difference(in_village)], (0.50, 0.47, 0.39), 0.04)
        self._fill([layout.roads], (0.43, 0.43, 0.44), 0.025)
        main = layout.centre_lines[0]
        dashes = [
            substring(main, start, start + 3).buffer(0.10, cap_style="flat")
            for start in np.arange(0, main.length, 8.0)
        ]
        self._fill(dashes, (0.80, 0.80, 0.78), 0.02)

    def _shadows(self) -> None:
        """Darken the ground where a building or a tree stands between it and the sun."""
        shapes = []
        for building in self.layout.buildings:
            for block in building.blocks:
                eaves = block.height + (0 if block.roof == "flat" else block.width * 0.16)
                shapes.append(_swept(block.footprint, eaves))
        for tree in self.layout.trees:
            shift = _shadow_shift(tree.radius * 1.5)
            crown = shapely.Point(tree.x, tree.y).buffer(tree.radius * 0.95)
            shapes.append(affinity.translate(crown, *shift))
        self.shade = _softened(self.mask(shapes).astype(np.float32))
        self.image *= 1 - self.shade[:, :, None] * (1 - SHADOW)

    def _patch(
        self, x: float, y: float, reach: float
    ) -> tuple[tuple[slice, slice], NDArray[np.float32], NDArray[np.float32]] | None:
        """The part of the canvas within ``reach`` metres of a point, and its pixels' places
        relative to the point, in metres."""
        scale = self.per_metre
        left, right = (np.clip([x - reach, x + reach], 0, self.layout.size) * scale).astype(int)
        top, bottom = (np.clip([y - reach, y + reach], 0, self.layout.size) * scale).astype(int)
        if left >= right or top >= bottom:
            return None
        dy, dx = np.mgrid[top:bottom, left:right].astype(np.float32)
        return (
            (slice(top, bottom), slice(left, right)),
            (dx + 0.5) / scale - np.float32(x),
            (dy + 0.5) / scale - np.float32(y),
        )

    def _roof(self, building: Building) -> None:
        for block in building.blocks:
            found = self._patch(block.x, block.y, math.hypot(block.length, block.width) / 2 + 1)
            if found is not None:
                self._roof_block(block, building.color, *found)

    def _roof_block(
        self,
        block: Block,
        color: tuple[float, float, float],
        place: tuple[slice, slice],
        dx: NDArray[np.float32],
        dy: NDArray[np.float32],
    ) -> None:
        cos, sin = math.cos(block.angle), math.sin(block.angle)
        u, v = dx * cos + dy * sin, dy * cos - dx * sin
        to_end, to_side = block.length / 2 - np.abs(u), block.width / 2 - np.abs(v)
        inside = (to_end > 0) & (to_side > 0)
        if block.roof == "flat":
            light = np.full(u.shape, 0.97, np.float32)
            light[np.minimum(to_end, to_side) < 0.5] = 1.12  # the parapet, and its shadow
            inner = (to_end < 1.3) & (u * (SUN[0] * cos + SUN[1] * sin) > 0)
            light[inner & (to_end > 0.5)] = 0.78
            for unit in range(2 + int(block.length > 16)):
                at_u = block.length * (0.28 * unit - 0.25)
                box = (np.abs(u - at_u) < 0.9) & (np.abs(v - 0.12 * block.width) < 0.7)
                light[box] = 1.22
            texture = self.cloudy[place] * 0.02
        else:
            light, down = _slopes(block, u, v, to_end, to_side, cos, sin)
            texture = 0.022 * np.sin(down * (2 * math.pi / 0.75)) + self.rough[place] * 0.02
            texture = texture + self.cloudy[place] * 0.025
            ridge = block.length / 2 - (block.width / 2 if block.roof == "hip" else 0)
            light[(np.abs(v) < 0.18) & (np.abs(u) < ridge)] *= 1.16
            chimney = (np.abs(u - block.length * 0.18) < 0.45) & (np.abs(v - 1.0) < 0.45)
            light[chimney] = 0.55
            window = (np.abs(np.abs(u) - block.length * 0.27) < 0.5) & (np.abs(v - 2.6) < 0.6)
            light[window & (block.height > 5)] = 0.45
        roof = np.array(color, np.float32) * light[:, :, None] + texture[:, :, None]
        self.image[place][inside] = roof[inside]

    def _tree(self, tree: Tree) -> None:
        found = self._patch(tree.x, tree.y, tree.radius * 1.25)
        if found is None:
            return
        place, dx, dy = found
        turn = np.arctan2(dy, dx)
        edge = np.float32(tree.radius) * (
            1
            + 0.10 * np.sin(5 * turn + self.rng.uniform(0, 6))
            + 0.06 * np.sin(9 * turn + self.rng.uniform(0, 6))
            + 0.05 * self.rough[place]
        )
        share = np.hypot(dx, dy) / edge
        inside = share < 1
        bulge = np.sqrt(np.clip(1 - share**2, 0, 1))
        bumps = self.rough[place]
        light = (
            0.52
            + 0.42 * (bulge * SUN[2] + (dx * SUN[0] + dy * SUN[1]) / tree.radius * 0.85)
            + 0.20 * bumps
        )
        green = np.array([0.27, 0.36, 0.17]) * self.rng.uniform(0.78, 1.15)
        green = green + np.array([0.06, 0.03, 0.0]) * self.rng.uniform(-0.4, 1)
        crown = green.astype(np.float32) * np.clip(light, 0.22, 1.5)[:, :, None]
        self.image[place][inside] = crown[inside]

    def _car(self, car: Car) -> None:
        found = self._patch(car.x, car.y, 3.5)
        if found is None:
            return
        place, dx, dy = found
        cos, sin = math.cos(car.angle), math.sin(car.angle)
        for shift, color in (((0.5, -0.3), None), ((0.0, 0.0), car.color)):
            x, y = dx - shift[0], dy - shift[1]
            u, v = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
            body = (u < 2.2) & (v < 0.92)
            if color is None:
                self.image[place][body] *= SHADOW
                continue
            self.image[place][body] = color
            glass = (v < 0.75) & (np.abs(u - 0.95) < 0.4)
            self.image[place][glass] = (0.13, 0.15, 0.18)

    def _develop(self) -> NDArray[np.uint8]:
        """What a camera makes of it: bled edges, uneven light, haze and noise."""
        fine = self.image * (1 + 0.025 * self.cloudy[:, :, None])
        size = self.side // FINER
        coarse = fine.reshape(size, FINER, size, FINER, 3).mean(axis=(1, 3))
        coarse = coarse * 0.8 + _blurred(coarse) * 0.2
        coarse = 0.03 + 0.97 * coarse + self.rng.normal(0, 0.012, coarse.shape)
        finished: NDArray[np.uint8] = np.clip(coarse * 255 + 0.5, 0, 255).astype(np.uint8)
        return finished


def noise(side: int, beta: float, rng: Rng) -> Image:
    """Noise [side, side] of mean 0 and standard deviation 1 whose power falls with frequency as
    1/f^(2 beta): the larger beta, the softer."""
    spectrum = np.fft.rfft2(rng.standard_normal((side, side), np.float32))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    # Waves longer than a fifth of the scene would make one side of it darker than the other.
    spectrum *= np.maximum(frequency, 5 / side) ** -beta * (frequency > 0)
    field = np.fft.irfft2(spectrum, (side, side))
    scaled: Image = (field / field.std()).astype(np.float32)
    return scaled


def _slopes(
    block: Block, u: Any, v: Any, to_end: Any, to_side: Any, cos: float, sin: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The light on each pixel of a pitched roof, and its distance from the eaves."""
    tilt = math.radians(34)
    end = to_end < to_side if block.roof == "hip" else np.zeros(u.shape, np.bool_)
    normal_u = np.where(end, np.sign(u), 0) * math.sin(tilt)
    normal_v = np.where(end, 0, np.sign(v)) * math.sin(tilt)
    nx, ny = normal_u * cos - normal_v * sin, normal_u * sin + normal_v * cos
    lit = nx * SUN[0] + ny * SUN[1] + math.cos(tilt) * SUN[2]
    light = 0.48 + 0.80 * np.clip(lit, 0, None)
    return light.astype(np.float32), np.where(end, to_end, to_side)


def _shadow_shift(height: float) -> tuple[float, float]:
    return -SUN[0] / SUN[2] * height, -SUN[1] / SUN[2] * height


def _swept(footprint: Any, height: float) -> Any:
    """The shadow on the ground of a convex body that rises straight from its footprint."""
    moved = affinity.translate(footprint, *_shadow_shift(height))
    return shapely.convex_hull(shapely.union_all([footprint, moved]))


def _blurred(image: NDArray[Any]) -> NDArray[Any]:
    """The mean of each pixel and its neighbours, 3 x 3."""
    for axis in (0, 1):
        image = (np.roll(image, 1, axis) + image + np.roll(image, -1, axis)) / 3
    return image


def _softened(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    for _ in range(2):
        mask = _blurred(mask)
    return mask
