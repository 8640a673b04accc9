"""Experiments of semantic segmentation from their files to their figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import rasterio
import rasterio.features
from rv_pipeline.runners.local import RunOptions

from rv_core import ConfigError, Kernel
from rv_pipeline import (
    DatasetConfig,
    Experiment,
    PolygonOptions,
    Predictor,
    RasterConfig,
    RasterLabelConfig,
    SceneConfig,
    SegmentationChipOptions,
    SegmentationPredictOptions,
    SemanticSegmentationConfig,
    load_experiments,
    run,
)

CLASSES = {"roof": "#cc3311", "ground": "#bbbbbb"}


def figures_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "eval" / "roofs" / "eval.json").read_text())
    return found


@pytest.fixture
def segmentation(scene: Callable[..., SceneConfig], tmp_path: Path) -> Callable[..., Experiment]:
    """An experiment over two small scenes; keyword arguments replace fields."""
    train, validation = scene("north", seed=1), scene("south", seed=2)

    def make(**fields: Any) -> Experiment:
        given: dict[str, Any] = {
            "id": "roofs",
            "root_uri": str(tmp_path / "out"),
            "task": SemanticSegmentationConfig(
                classes=CLASSES, chip_size=32, background_class="ground"
            ),
            "chip": SegmentationChipOptions(windows="random", chips_per_scene=20),
            "predict": SegmentationPredictOptions(
                probabilities=True, polygons=PolygonOptions(min_area=1, sieve=4)
            ),
            "backend": {"backend": "TOY_SEGMENTATION", "num_steps": 100},
            "dataset": DatasetConfig(train=train, validation=validation),
        }
        return Experiment(**{**given, **fields})

    return make


@pytest.mark.slow
def test_an_experiment_finds_the_roofs_and_its_bundle_does_too(
    segmentation: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    run(segmentation(), kernel=kernel)
    overall = figures_of(tmp_path / "out")["overall"]
    assert overall["classes"]["roof"]["iou"] > 0.8
    # Roofs that touch are one polygon, which matches none of theirs: those that stand alone do.
    assert overall["polygons"]["classes"]["roof"]["recall"] > 0.25
    predicted = tmp_path / "out" / "predict" / "roofs"
    with Predictor(str(tmp_path / "out" / "bundle" / "roofs" / "bundle.zip"), kernel) as predictor:
        predictor.predict(str(tmp_path / "data" / "south.tif"), str(tmp_path / "again.tif"))
    with (
        rasterio.open(tmp_path / "again.tif") as again,
        rasterio.open(predicted / "south.tif") as b,
    ):
        np.testing.assert_array_equal(again.read(), b.read())


@pytest.mark.slow
def test_scenes_whose_files_would_be_the_same_are_told_apart(
    segmentation: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    """The scene ``a`` in colors is ``a-rgb.tif``, and so would be the classes of ``a-rgb``."""
    north, south = (s.raster for s in segmentation().dataset.scenes)
    scenes = (SceneConfig(id="a", raster=north), SceneConfig(id="a-rgb", raster=south))
    made = segmentation(
        dataset=attrs.evolve(segmentation().dataset, validation=(), test=scenes),
        predict=SegmentationPredictOptions(rgb=True),
    )
    with pytest.raises(ConfigError, match=r"'a-rgb' and those of another .* in a-rgb\.tif"):
        run(made, ["analyze", "chip", "train", "predict"], kernel=kernel)
    assert not (tmp_path / "out/predict/roofs/a-rgb.tif").exists()


@pytest.mark.slow
def test_several_workers_make_the_same_bytes(
    segmentation: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    found = []
    for workers in (1, 2):
        root = tmp_path / f"with {workers}"
        run(segmentation(root_uri=str(root)), kernel=kernel, options=RunOptions(workers=workers))
        folder = root / "predict" / "roofs"
        files = sorted(p for p in folder.iterdir() if p.name.startswith("south"))
        assert len(files) == 4
        found.append([(p.name, p.read_bytes()) for p in files])
        chips = sorted(p for p in (root / "chip" / "roofs").rglob("*.npz"))
        found[-1].append(("chips", b"".join(p.read_bytes() for p in chips)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_labels_may_be_a_raster(
    segmentation: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    """The figures are those of the same labels as vectors."""
    scenes = []
    for name in ("north", "south"):
        image, labels = (tmp_path / "data" / f"{name}.{kind}" for kind in ("tif", "geojson"))
        with rasterio.open(image) as source:
            profile = {**source.profile, "count": 1}
            features = json.loads(labels.read_text())["features"]
            drawn = rasterio.features.rasterize(
                [(f["geometry"], 7) for f in features], source.shape, transform=source.transform,
                dtype="uint8",
            )  # fmt: skip
        path = tmp_path / "data" / f"{name}_labels.tif"
        with rasterio.open(path, "w", **profile) as sink:
            sink.write(drawn, 1)
        config = RasterLabelConfig(uris=path, class_mapping={7: "roof", 0: "ground"})
        scenes.append(SceneConfig(id=name, raster=str(image), labels=config))
    run(segmentation(), kernel=kernel)
    vectors = figures_of(tmp_path / "out")
    dataset = DatasetConfig(train=scenes[0], validation=scenes[1])
    run(segmentation(dataset=dataset, root_uri=str(tmp_path / "rasters")), kernel=kernel)
    rasters = figures_of(tmp_path / "rasters")
    for figures in (vectors, rasters):
        for part in (figures["overall"], figures["scenes"]["south"]):
            part.pop("polygons", None)  # a raster of labels has none
    assert vectors == rasters


def test_yaml_says_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(
        """
id: pixels
root_uri: out
task: {key: SEMANTIC_SEGMENTATION, classes: {roof: '#ff0000', rest: null}, chip_size: 64}
backend: {key: TOY_SEGMENTATION}
chip: {windows: random, chips_per_scene: 9, target_classes: [roof], target_count_threshold: 5,
       negative_survival_probability: 0.5}
predict: {stride: 16, probabilities: true, polygons: {sieve: 4, min_area: 2.5, simplify: 1}}
dataset:
  train:
    - id: a
      raster: a.tif
      labels: {type: raster, uris: a_labels.tif, class_mapping: {0: rest, 1: roof, 2: null}}
"""
    )
    (found,) = load_experiments(path, kernel=Kernel())
    assert found.chip == SegmentationChipOptions(
        windows="random",
        chips_per_scene=9,
        target_classes="roof",
        target_count_threshold=5,
        negative_survival_probability=0.5,
    )
    polygons = PolygonOptions(sieve=4, min_area=2.5, simplify=1)
    assert found.predict == SegmentationPredictOptions(
        stride=16, probabilities=True, polygons=polygons
    )
    labels = found.dataset.train[0].labels
    assert isinstance(labels, RasterLabelConfig)
    assert labels.class_mapping == {"0": "rest", "1": "roof", "2": None}
    assert found.task == SemanticSegmentationConfig(
        classes={"roof": "#ff0000", "rest": None}, chip_size=64
    )
    assert isinstance(found.dataset.train[0].raster, RasterConfig)
