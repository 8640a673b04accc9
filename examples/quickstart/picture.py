"""A scene three times side by side: as it is, with its true buildings, with the predicted cells."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import transform_geom

COLOR = np.array([217, 95, 2])  # the class color of the experiment
GAP = 8


def draw_picture(target: Path, image: Path, truth: Path, prediction: Path) -> None:
    """Write the PNG: buildings as labelled, and cells by their score for the class building."""
    with rasterio.open(image) as dataset:
        pixels = dataset.read([1, 2, 3])
        crs, transform, shape = dataset.crs, dataset.transform, dataset.shape

    def shapes(path: Path) -> list[tuple[dict, dict]]:
        features = json.loads(path.read_text())["features"]
        # GeoJSON is in EPSG:4326 unless it says otherwise; the experiment predicts in it too.
        return [
            (transform_geom("EPSG:4326", crs, f["geometry"]), f["properties"]) for f in features
        ]

    def burn(weighted: list[tuple[dict, float]]) -> np.ndarray:
        return rasterio.features.rasterize(
            weighted, out_shape=shape, transform=transform, dtype="float32"
        )

    def tinted(weights: np.ndarray) -> np.ndarray:
        return pixels + (COLOR[:, None, None] - pixels) * weights

    labelled = burn([(shape_, 0.65) for shape_, _ in shapes(truth)])
    scored = [(g, 0.65 * p["scores"]["building"]) for g, p in shapes(prediction)]
    panels = [pixels, tinted(labelled), tinted(burn(scored))]
    gap = np.full((3, shape[0], GAP), 255)
    wide = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=2).astype(np.uint8)
    height, width = wide.shape[1:]
    part = target.with_suffix(".part")
    profile = {"driver": "PNG", "width": width, "height": height, "count": 3, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # three panels lie nowhere
        with rasterio.open(part, "w", **profile) as picture:
            picture.write(wide)
    part.replace(target)
    target.with_suffix(".part.aux.xml").unlink(missing_ok=True)
