"""Draw the benchmark's scene: a tiled GeoTIFF of SIZE x SIZE, and 5,000 rotated rectangles.

Written band of rows by band of rows, so that the large one needs no more memory than the small.
Usage: draw.py SCENE LABELS SIZE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.windows import Window

BAND = 1024
METRES = 0.5
LABELLED = 8192  # the rectangles lie in the upper left part of this size, whatever the scene's


def rectangles() -> list[shapely.Polygon]:
    random = np.random.default_rng(0)
    x, y = random.uniform(40, LABELLED - 40, (2, 5000))
    width, height = random.uniform(10, 50, (2, 5000))
    found = []
    for centre, size, angle in zip(
        np.stack([x, y], 1),
        np.stack([width, height], 1),
        random.uniform(0, np.pi, 5000),
        strict=True,
    ):
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        found.append(shapely.Polygon(corners @ turn.T + centre))
    return found


def draw(scene: Path, size: int, shapes: list[shapely.Polygon]) -> None:
    random = np.random.default_rng(1)
    tree = shapely.STRtree(shapes)
    profile = {
        "driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, METRES, METRES),
        "photometric": "rgb", "tiled": True, "blockxsize": 512, "blockysize": 512,
        "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    part = scene.with_suffix(".part")
    with rasterio.open(part, "w", **profile) as target:
        for top in range(0, size, BAND):
            coarse = random.integers(0, 128, (3, BAND // 32, size // 32), dtype=np.uint8)
            pixels = coarse.repeat(32, axis=1).repeat(32, axis=2)
            pixels += random.integers(0, 40, pixels.shape, dtype=np.uint8)
            near = [shapes[i] for i in tree.query(shapely.box(0, top, size, top + BAND))]
            if near:
                shifted = [shapely.transform(s, lambda c, top=top: c - [0, top]) for s in near]
                pixels[:, rasterize(shifted, out_shape=(BAND, size)) > 0] += 70
            target.write(pixels, window=Window(0, top, size, BAND))
    part.replace(scene)


def main(scene: str, labels: str, size: str) -> None:
    shapes = rectangles()
    draw(Path(scene), int(size), shapes)
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)

    def to_map(xy: np.ndarray) -> np.ndarray:
        east, north = 500_000 + xy[:, 0] * METRES, 5_000_000 - xy[:, 1] * METRES
        return np.stack(to_degrees.transform(east, north), 1)

    features = [
        {
            "type": "Feature",
            "properties": {"class_id": 0, "class_name": "building"},
            "geometry": json.loads(shapely.to_geojson(shapely.transform(shape, to_map))),
        }
        for shape in shapes
    ]
    Path(labels).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    print("{}")


if __name__ == "__main__":
    main(*sys.argv[1:])
