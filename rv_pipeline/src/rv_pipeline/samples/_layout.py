"""What stands where in a sample scene: a village between fields, as geometry.

Lengths are metres; x runs to the right and y downwards from the scene's upper left corner, as in
the picture. Angles are radians, from x towards y.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np
import shapely
from shapely import affinity

ROOF_COLORS: Final = (  # red, green, blue of 0..1, and how often
    ((0.58, 0.36, 0.29), 4),  # clay tiles
    ((0.49, 0.31, 0.26), 3),
    ((0.44, 0.35, 0.31), 3),  # weathered tiles
    ((0.37, 0.38, 0.41), 3),  # slate
    ((0.50, 0.50, 0.51), 1),  # concrete tiles
)
FLAT_COLORS: Final = (((0.66, 0.66, 0.64), 2), ((0.52, 0.52, 0.51), 2), ((0.76, 0.77, 0.79), 2))


@attrs.frozen
class Block:
    """A rectangular piece of a building: its middle, length along ``angle``, width and the height
    of its eaves; ``roof``: gable, hip or flat."""

    x: float
    y: float
    length: float
    width: float
    angle: float
    height: float
    roof: str

    @property
    def footprint(self) -> shapely.Polygon:
        box = shapely.box(-self.length / 2, -self.width / 2, self.length / 2, self.width / 2)
        turned = affinity.rotate(box, self.angle, origin=(0, 0), use_radians=True)
        return affinity.translate(turned, self.x, self.y)


@attrs.frozen
class Building:
    """A building of one or two blocks under one roof color."""

    blocks: tuple[Block, ...]
    color: tuple[float, float, float]

    @property
    def footprint(self) -> shapely.Polygon:
        return shapely.union_all([block.footprint for block in self.blocks])


@attrs.frozen
class Tree:
    x: float
    y: float
    radius: float


@attrs.frozen
class Car:
    x: float
    y: float
    angle: float
    color: tuple[float, float, float]


@attrs.frozen
class Field:
    """A parcel of farmland; ``kind``: an index into the painter's crops."""

    polygon: shapely.Polygon
    angle: float
    kind: int


@attrs.frozen
class Layout:
    """A whole scene of ``size`` x ``size`` metres; ``village``: its gardens and streets."""

    size: float
    fields: Sequence[Field]
    village: Any
    lots: Sequence[shapely.Polygon]
    roads: Any
    centre_lines: Sequence[shapely.LineString]
    paths: Sequence[shapely.Polygon]
    water: Any
    pools: Sequence[shapely.Polygon]
    buildings: Sequence[Building]
    trees: Sequence[Tree]
    cars: Sequence[Car]


def plan(size: float, rng: np.random.Generator) -> Layout:
    """A scene of its own for every state of the generator."""
    frame = shapely.box(0, 0, size, size)
    angle = rng.uniform(-0.6, 0.6)
    centre = size * rng.uniform(0.36, 0.64, 2)
    village = _blob(centre, size * rng.uniform(0.40, 0.47), rng)
    water = _stream(size, angle, centre, village, rng)
    village = village.difference(water.buffer(9))
    streets, main = _streets(size, angle, centre, village, rng)
    roads = shapely.union_all(
        [s.buffer(2.9, cap_style="flat") for s in streets] + [main.buffer(3.7)]
    )
    lines = [*streets, main]
    buildings, lots, paths = _build(lines, roads, village, water, frame, rng)
    gardens = shapely.union_all([lot.buffer(9) for lot in lots]).buffer(-5)
    built = shapely.union_all([b.footprint for b in buildings])
    pools = _pools(lots, built, roads, rng)
    fields = _fields(size, angle + rng.uniform(-0.25, 0.25), rng)
    taken = shapely.union_all([built.buffer(1.0), roads.buffer(1.2), water, *pools, *paths])
    trees = _trees(size, village, lots, water, taken, rng)
    cars = _cars(lines, gardens, rng)
    return Layout(
        size, fields, gardens, lots, roads, [main, *streets], paths, water, pools, buildings,
        trees, cars,
    )  # fmt: skip


def _pick(choices: Sequence[tuple[Any, int]], rng: np.random.Generator) -> Any:
    weights = np.array([weight for _, weight in choices], float)
    return choices[int(rng.choice(len(choices), p=weights / weights.sum()))][0]


def _blob(centre: np.ndarray[Any, Any], radius: float, rng: np.random.Generator) -> Any:
    """A round shape with a wavy edge."""
    turns = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    reach = np.ones_like(turns)
    for waves in (2, 3, 5):
        reach += 0.22 / waves * np.sin(waves * turns + rng.uniform(0, 2 * math.pi))
    points = centre + radius * reach[:, None] * np.column_stack([np.cos(turns), np.sin(turns)])
    return shapely.Polygon(points).buffer(0)


def _wavy(
    start: tuple[float, float], angle: float, length: float, sway: float, rng: np.random.Generator
) -> shapely.LineString:
    """A line through ``start`` that goes ``length`` to either side, swaying a little."""
    along = np.arange(-length, length + 1, 4.0)
    phase, wave = rng.uniform(0, 2 * math.pi), rng.uniform(150, 260)
    across = sway * (np.sin(along / wave * 2 * math.pi + phase) - math.sin(phase))
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = start[0] + along * cos - across * sin, start[1] + along * sin + across * cos
    return shapely.LineString(np.column_stack([x, y]))


def _stream(size: float, angle: float, centre: Any, village: Any, rng: np.random.Generator) -> Any:
    """A stream past the village that widens into a pond."""
    side = rng.choice([-1.0, 1.0])
    direction = angle + rng.uniform(-0.2, 0.2)
    away = size * rng.uniform(0.36, 0.44)
    normal = np.array([-math.sin(angle), math.cos(angle)]) * side
    start = tuple(centre + normal * away)
    line = _wavy(start, direction, size * 1.5, 16, rng)
    place = line.interpolate(line.project(shapely.Point(start)) + rng.uniform(-0.2, 0.2) * size)
    pond = _blob(np.array([place.x, place.y]), size * rng.uniform(0.06, 0.08), rng)
    return shapely.union_all([line.buffer(rng.uniform(3.0, 4.5)), pond]).buffer(3).buffer(-3)


def _streets(
    size: float, angle: float, centre: Any, village: Any, rng: np.random.Generator
) -> tuple[list[shapely.LineString], shapely.LineString]:
    """The village's streets, and the main road that leads through it."""
    normal = np.array([-math.sin(angle), math.cos(angle)])
    forward = np.array([math.cos(angle), math.sin(angle)])
    sway = rng.uniform(4, 9)
    main = _wavy(tuple(centre), angle, size * 1.6, sway, rng)
    streets = []
    offset = 0.0
    for side in (-1, 1):
        offset = 0.0
        while offset < size:
            offset += rng.uniform(49, 56)
            streets.append(_wavy(tuple(centre + side * offset * normal), angle, size, sway, rng))
    for along in np.arange(-size, size, rng.uniform(95, 120)):
        start = tuple(centre + (along + rng.uniform(-12, 12)) * forward)
        streets.append(_wavy(start, angle + math.pi / 2, size, 3, rng))
    inner = village.buffer(-6)
    clipped = [part for street in streets for part in _lines(street.intersection(inner))]
    return [street for street in clipped if street.length > 30], main


def _lines(geometry: Any) -> Iterator[shapely.LineString]:
    for part in getattr(geometry, "geoms", [geometry]):
        if part.geom_type == "LineString" and not part.is_empty:
            yield part


def _build(
    lines: Sequence[shapely.LineString], roads: Any, village: Any, water: Any, frame: Any,
    rng: np.random.Generator,
) -> tuple[list[Building], list[shapely.Polygon], list[shapely.Polygon]]:  # fmt: skip
    """Houses on lots along both sides of the streets, each with a path to its street."""
    buildings: list[Building] = []
    lots: list[shapely.Polygon] = []
    paths: list[shapely.Polygon] = []
    standing: list[shapely.Polygon] = []
    ground = village.difference(shapely.union_all([roads.buffer(2.0), water.buffer(5)]))
    shapely.prepare(ground)
    for line in lines:
        for side in (-1, 1):
            along = rng.uniform(6, 14)
            while along < line.length:
                depth, front = rng.uniform(22, 25), rng.uniform(15, 21)
                big = rng.random() < 0.10
                front = front * 1.7 if big else front
                here, ahead = line.interpolate(along), line.interpolate(along + 1)
                angle = math.atan2(ahead.y - here.y, ahead.x - here.x)
                building, lot, path = _lot((here.x, here.y), angle, side, front, depth, big, rng)
                shape = building.footprint
                fits = shape.intersects(frame) and ground.covers(shape)
                if not fits or any(shape.distance(other) < 2.5 for other in standing):
                    along += 3  # a little further there may be room
                    continue
                along += front + rng.uniform(0.3, 2)
                buildings.append(building)
                standing.append(shape)
                lots.append(lot)
                paths.append(path)
    return buildings, lots, paths


def _lot(
    start: tuple[float, float], angle: float, side: int, front: float, depth: float, big: bool,
    rng: np.random.Generator,
) -> tuple[Building, shapely.Polygon, shapely.Polygon]:  # fmt: skip
    cos, sin = math.cos(angle), math.sin(angle)

    def at(along: float, away: float) -> tuple[float, float]:
        away *= side
        return start[0] + along * cos - away * sin, start[1] + along * sin + away * cos

    length = front * (0.74 if big else rng.uniform(0.68, 0.82))
    width = rng.uniform(13, 17) if big else rng.uniform(9.5, 12.5)
    setback = 5.0 + rng.uniform(0.8, 3.2)
    turned = not big and rng.random() < 0.25  # the gable looks at the street
    turn = angle + (math.pi / 2 if turned else 0) + rng.normal(0, 0.025)
    x, y = at(front / 2, setback + width / 2)
    flat = rng.random() < (0.6 if big else 0.07)
    roof = "flat" if flat else _pick((("gable", 3), ("hip", 2)), rng)
    height = rng.uniform(6, 10) if big else rng.uniform(4, 7)
    if turned:
        length = min(length, 14.0)
    blocks = [Block(x, y, length, width, turn, height, roof)]
    if rng.random() < 0.35 and not flat:  # a wing or a garage behind
        wing = rng.uniform(5, 7.5)
        wx, wy = at(front / 2 + rng.choice([-1, 1]) * length * 0.24, setback + width)
        blocks.append(Block(wx, wy, wing * 1.5, wing, turn + math.pi / 2, height * 0.8, "gable"))
    color = _pick(FLAT_COLORS if flat else ROOF_COLORS, rng)
    shade = rng.uniform(0.86, 1.14)
    tint = rng.normal(1, 0.015, 3)
    red, green, blue = (
        float(np.clip(c * shade * t, 0, 1)) for c, t in zip(color, tint, strict=True)
    )
    lot = shapely.Polygon([at(0, 4.2), at(front, 4.2), at(front, depth), at(0, depth)])
    left = front / 2 - length * 0.36
    path = shapely.Polygon(
        [at(left, 2.5), at(left + 3, 2.5), at(left + 3, setback + 1), at(left, setback + 1)]
    )
    return Building(tuple(reversed(blocks)), (red, green, blue)), lot, path


def _pools(
    lots: Sequence[shapely.Polygon], built: Any, roads: Any, rng: np.random.Generator
) -> list[shapely.Polygon]:
    pools = []
    for lot in lots:
        if rng.random() < 0.12:
            spot = affinity.scale(lot, 0.30, 0.14)
            corner = lot.exterior.coords[2]
            spot = affinity.translate(
                spot, (corner[0] - lot.centroid.x) * 0.45, (corner[1] - lot.centroid.y) * 0.45
            )
            if spot.distance(built) > 1.5 and spot.distance(roads) > 2:
                pools.append(spot.buffer(0.5))
    return pools


def _fields(size: float, angle: float, rng: np.random.Generator) -> list[Field]:
    """The whole ground, cut again and again into parcels."""
    whole = affinity.rotate(
        shapely.box(-size, -size, size, size), angle, origin=(0, 0), use_radians=True
    )
    frame = shapely.box(0, 0, size, size)
    fields: list[Field] = []

    def cut(x0: float, y0: float, x1: float, y1: float) -> None:
        wide, high = x1 - x0, y1 - y0
        if max(wide, high) > rng.uniform(100, 200):
            share = rng.uniform(0.35, 0.65)
            if wide > high:
                cut(x0, y0, x0 + share * wide, y1)
                cut(x0 + share * wide, y0, x1, y1)
            else:
                cut(x0, y0, x1, y0 + share * high)
                cut(x0, y0 + share * high, x1, y1)
            return
        box = affinity.rotate(shapely.box(x0, y0, x1, y1), angle, origin=(0, 0), use_radians=True)
        polygon = affinity.translate(box, size / 2, size / 2).intersection(frame)
        if not polygon.is_empty:
            rows = angle + (math.pi / 2 if high > wide else 0)
            fields.append(Field(polygon, rows, int(rng.integers(0, 5))))

    cut(*whole.bounds)
    return fields


def _trees(
    size: float, village: Any, lots: Sequence[shapely.Polygon], water: Any, taken: Any,
    rng: np.random.Generator,
) -> list[Tree]:  # fmt: skip
    """Trees in the gardens, along the water, on their own in the fields, and in woods."""
    spots: list[tuple[float, float, float]] = []
    for lot in lots:
        x0, y0, x1, y1 = lot.bounds
        spots += [
            (rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(1.0, 3.6))
            for _ in range(int(rng.integers(2, 8)))
        ]
    bank = water.boundary
    for along in np.arange(0, bank.length, 4.5):
        if rng.random() < 0.55:
            point = bank.interpolate(along)
            x, y = rng.normal((point.x, point.y), 2.5)
            spots.append((x, y, rng.uniform(2.0, 4.2)))
    spots += [(*rng.uniform(0, size, 2), rng.uniform(2.0, 4.5)) for _ in range(int(size / 12))]
    outside = shapely.box(0, 0, size, size).difference(village.buffer(10))
    for _ in range(4):
        centre = rng.uniform(0, size, 2)
        wood = _blob(centre, size * rng.uniform(0.08, 0.14), rng).intersection(outside)
        x0, y0, x1, y1 = wood.bounds if not wood.is_empty else (0, 0, 0, 0)
        for x in np.arange(x0, x1, 4.4):
            for y in np.arange(y0, y1, 4.4):
                jx, jy = rng.normal((x, y), 0.9)
                if wood.contains(shapely.Point(jx, jy)):
                    spots.append((jx, jy, rng.uniform(2.4, 4.6)))
    if not spots:
        return []
    points = np.array(spots)
    crowns = shapely.buffer(shapely.points(points[:, 0], points[:, 1]), points[:, 2] * 0.7)
    free = ~shapely.intersects(taken, crowns)
    order = np.argsort(points[:, 2], kind="stable")  # tall ones are painted over small ones
    return [Tree(*map(float, points[i])) for i in order if free[i]]


def _cars(lines: Sequence[shapely.LineString], village: Any, rng: np.random.Generator) -> list[Car]:
    """Cars parked and driving along the streets."""
    colors = (
        ((0.85, 0.85, 0.86), 4), ((0.12, 0.12, 0.14), 4), ((0.45, 0.46, 0.48), 4),
        ((0.55, 0.10, 0.10), 1), ((0.12, 0.22, 0.45), 2),
    )  # fmt: skip
    cars = []
    for line in lines:
        along = rng.uniform(5, 40)
        while along + 1 < line.length:
            here, ahead = line.interpolate(along), line.interpolate(along + 1)
            if village.contains(here):
                angle = math.atan2(ahead.y - here.y, ahead.x - here.x)
                lane = rng.choice([-1.7, 1.7])
                x, y = here.x - lane * math.sin(angle), here.y + lane * math.cos(angle)
                cars.append(Car(x, y, angle, _pick(colors, rng)))
            along += rng.uniform(7, 55)
    return cars
