"""Experiments on the real imagery that lies beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rv_core import (
    Kernel,
)
from rv_pipeline import (
    DatasetConfig,
    DetectionPredictOptions,
    Experiment,
    ObjectDetectionConfig,
    SceneConfig,
    run,
)


@pytest.mark.slow
def test_trees_of_two_utm_zones(shared_data: Path, kernel: Kernel, tmp_path: Path) -> None:
    """Train in Florida (EPSG:32617), predict in California (EPSG:32611)."""
    folder = shared_data / "neon-trees-rgb"
    florida, california = (
        SceneConfig(
            id=name,
            raster=str(folder / f"{name}.tif"),
            labels=str(folder / f"{name}-labels.geojson"),
        )
        for name in ("train", "val")
    )
    made = Experiment(
        id="trees",
        root_uri=str(tmp_path / "out"),
        task=ObjectDetectionConfig(classes=["tree"], chip_size=160),  # type: ignore[arg-type]
        backend={"backend": "TOY_DETECTION", "min_pixels": 300},
        predict=DetectionPredictOptions(splits=("train", "validation"), score_thresh=0.2),
        dataset=DatasetConfig(train=florida, validation=california),
    )
    run(made, kernel=kernel)
    figures = json.loads((tmp_path / "out/eval/trees/eval.json").read_text())
    assert {i: s["boxes"] for i, s in figures["scenes"].items()} == {"train": 61, "val": 7}
    for name, zone in (("train", 32617), ("val", 32611)):
        data = json.loads((tmp_path / f"out/predict/trees/{name}.geojson").read_text())
        assert data["crs"]["properties"]["name"] == f"urn:ogc:def:crs:EPSG::{zone}"
        assert len(data["features"]) == figures["scenes"][name]["predicted"]
    backend = kernel.backend("TOY_DETECTION")(kernel.backend_config("TOY_DETECTION"), kernel)
    samples = list(backend.read_chips(str(tmp_path / "out/chip/trees"), "train"))
    assert len(samples) == 61
    # Trees are greener than what is around them: the boxes lie on them.
    greenness = [sample.pixels @ np.array([-1.0, 2, -1]) for sample in samples]
    masks = [_inside(sample.label, sample.pixels.shape[:2]) for sample in samples]
    on = np.mean([g[m].mean() for g, m in zip(greenness, masks, strict=True)])
    off = np.mean([g[~m].mean() for g, m in zip(greenness, masks, strict=True)])
    assert on > off + 20


def _inside(label: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for top, left, bottom, right in np.rint(label.boxes).astype(int):
        mask[top:bottom, left:right] = True
    return mask
