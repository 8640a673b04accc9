"""Writing sample scenes: a GeoTIFF and its labels for each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from rv_core import ConfigError
from rv_pipeline.samples._layout import Layout, plan
from rv_pipeline.samples._painting import Painter
from rv_pipeline.windows import to_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUND_RESOLUTION: Final = 0.3
"""Metres per pixel."""

CRS: Final = "EPSG:32632"
_ORIGIN: Final = (482_000.0, 5_344_000.0)  # upper left corner of the first scene
_APART: Final = 2_000.0  # metres from one scene to the next
_SMALLEST: Final = 256


@attrs.frozen
class SampleScene:
    """The files of one scene.

    ``image``: tiled uint8 RGB GeoTIFF. The rest is GeoJSON in EPSG:4326 whose features have
    ``class_name`` and ``class_id``: ``buildings``: polygons (building); ``boxes``: upright
    rectangles (building, car); ``land_cover``: polygons (building, road, water, tree).
    """

    id: str
    image: Path
    buildings: Path
    boxes: Path
    land_cover: Path


@attrs.frozen
class SampleScenes:
    """Scenes to train on, to validate with, and one that no training has seen."""

    train: SampleScene
    validation: SampleScene
    unseen: SampleScene


def draw_sample_scenes(
    out_dir: str | os.PathLike[str], *, seed: int = 0, size: int = 1024
) -> SampleScenes:
    """Draw three scenes of ``size`` x ``size`` pixels, 0.3 m each, into a local folder.

    The same seed and size give the same scenes. Each file appears under its name once it is whole.
    """
    if size < _SMALLEST:
        raise ConfigError(f"sample scenes are at least {_SMALLEST} px wide, got {size}")
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    ids = ("train", "validation", "unseen")
    return SampleScenes(*(_draw(folder, name, place, seed, size) for place, name in enumerate(ids)))


def _draw(folder: Path, name: str, place: int, seed: int, size: int) -> SampleScene:
    rng = np.random.default_rng([seed, place])
    layout = plan(size * GROUND_RESOLUTION, rng)
    origin = (_ORIGIN[0] + place * _APART, _ORIGIN[1])
    transform = Affine(GROUND_RESOLUTION, 0, origin[0], 0, -GROUND_RESOLUTION, origin[1])
    scene = SampleScene(
        id=name,
        image=folder / f"{name}.tif",
        buildings=folder / f"{name}-buildings.geojson",
        boxes=folder / f"{name}-boxes.geojson",
        land_cover=folder / f"{name}-land-cover.geojson",
    )
    _write_image(scene.image, Painter(layout, size, rng).paint(), transform)
    frame = shapely.box(0, 0, layout.size, layout.size)
    footprints = [building.footprint for building in layout.buildings]
    cars = [shapely.Point(car.x, car.y).buffer(1.6) for car in layout.cars]
    buildings = [("building", shape) for shape in footprints]
    boxes = [(kind, shapely.box(*shape.intersection(frame).bounds))
             for kind, shape in [*buildings, *(("car", car) for car in cars)]
             if shape.intersects(frame)]  # fmt: skip
    for path, labels, classes in (
        (scene.buildings, buildings, ("building",)),
        (scene.boxes, boxes, ("building", "car")),
        (scene.land_cover, _land_cover(layout), ("building", "road", "water", "tree")),
    ):
        _write_labels(path, labels, classes, frame, transform)
    return scene


def _land_cover(layout: Layout) -> list[tuple[str, Any]]:
    """What one sees from above: a crown hides the ground, a roof hides all."""
    building = shapely.union_all([b.footprint for b in layout.buildings])
    crowns = [shapely.Point(t.x, t.y).buffer(t.radius, quad_segs=4) for t in layout.trees]
    tree = shapely.union_all(crowns).difference(building)
    over = shapely.union_all([building, tree])
    return [
        ("building", building),
        ("road", layout.roads.difference(over)),
        ("water", layout.water.difference(over)),
        ("tree", tree),
    ]


def _write_image(path: Path, pixels: NDArray[np.uint8], transform: Affine) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with rasterio.open(
            part, "w", driver="GTiff", width=pixels.shape[1], height=pixels.shape[0], count=3,
            dtype="uint8", crs=CRS, transform=transform, photometric="rgb", interleave="pixel",
            tiled=True, blockxsize=256, blockysize=256, compress="deflate", predictor=2,
        ) as dataset:  # fmt: skip
            dataset.write(pixels.transpose(2, 0, 1))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_labels(
    path: Path,
    labels: Iterable[tuple[str, Any]],
    classes: Sequence[str],
    frame: Any,
    transform: Affine,
) -> None:
    """Polygons in the scene's metres, cut to the frame, as GeoJSON in EPSG:4326."""
    to_lonlat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        mapped = to_map(points / GROUND_RESOLUTION, transform)
        return np.column_stack(to_lonlat.transform(mapped[:, 0], mapped[:, 1])).round(9)

    features = []
    for name, shape in labels:
        for polygon in shapely.get_parts(shapely.intersection(shape, frame)):
            if polygon.geom_type == "Polygon" and not polygon.is_empty:
                outline = shapely.orient_polygons(shapely.transform(polygon, move))
                features.append(
                    {
                        "type": "Feature",
                        "properties": {"class_id": classes.index(name), "class_name": name},
                        "geometry": shapely.geometry.mapping(outline),
                    }
                )
    part = path.with_name(f".{path.name}.part")
    try:
        lines = ",\n".join(json.dumps(feature) for feature in features)
        part.write_text(f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n', "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
