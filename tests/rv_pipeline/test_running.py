"""The main job, end to end: from scenes to a bundle that predicts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from rv_core import Kernel
from rv_pipeline import Experiment, Predictor, SceneConfig, run


def test_an_experiment_runs_from_scenes_to_a_bundle_that_predicts(
    experiment: Callable[..., Experiment],
    scene: Callable[..., SceneConfig],
    kernel: Kernel,
    tmp_path: Path,
) -> None:
    reports = run(experiment(), kernel=kernel)
    assert [r.command for r in reports] == ["analyze", "chip", "train", "predict", "eval", "bundle"]
    assert all(r.status == "done" for r in reports)
    out = tmp_path / "out"
    figures = json.loads((out / "eval/roofs/eval.json").read_text())
    assert figures["overall"]["macro"]["f1"] > 0.99
    assert figures["overall"]["cells"] == 64
    assert set(figures["scenes"]) == {"south"}
    cells = json.loads((out / "predict/roofs/south.geojson").read_text())["features"]
    assert len(cells) == 64
    assert {c["properties"]["class_name"] for c in cells} == {"roof", "ground"}
    with zipfile.ZipFile(out / "bundle/roofs/bundle.zip") as bundle:
        assert set(bundle.namelist()) == {"bundle.json", "model/model.json"}

    unseen = scene("unseen", seed=9, size=100)
    with Predictor(out / "bundle/roofs/bundle.zip", kernel) as predictor:
        count = predictor.predict(unseen.raster.uris[0], tmp_path / "unseen.geojson")
    assert count == 49  # 100 px hold 6 1/4 cells of 16 px: the last ones reach beyond the image
    assert len(json.loads((tmp_path / "unseen.geojson").read_text())["features"]) == 49
