"""Bare URIs: what they stand for, by extension, task and plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from rv_pipeline.providers import complete

from rv_core import Kernel, PluginContractError
from rv_pipeline import (
    DatasetConfig,
    Experiment,
    LabelConfig,
    RasterConfig,
    RasterLabelConfig,
    SceneConfig,
    StatsTransformerConfig,
    TaskConfig,
)

PLUGIN = """
from rv_core import hookimpl
from rv_pipeline import LabelConfig, RasterConfig, StatsTransformerConfig

@hookimpl
def rv_raster_config(uris, kernel):
    return RasterConfig(uris=uris, transformers=[StatsTransformerConfig()])

@hookimpl
def rv_label_config(uris, task, kernel):
    return LabelConfig(uris=uris, default_class="roof") if task == "OBJECT_DETECTION" else 1
"""


def completed(
    raster: object, labels: object, kernel: Kernel, task: str = "SEMANTIC_SEGMENTATION"
) -> SceneConfig:
    scene = SceneConfig(id="a", raster=raster, labels=labels)  # type: ignore[arg-type]
    experiment = Experiment(
        id="e",
        root_uri="out",
        task=TaskConfig(key=task, classes=["roof"]),
        backend={"key": "X"},
        dataset=DatasetConfig(test=scene),
    )
    return complete(experiment, kernel).dataset.test[0]


@pytest.fixture
def with_plugin(make_distribution: Callable[..., Path]) -> Kernel:
    folder = make_distribution(
        "acme-providers",
        {
            "rv.raster_providers.v1": {"tif": "acme_providers"},
            "rv.label_providers.v1": {"drawn": "acme_providers"},
        },
        {"acme_providers.py": PLUGIN},
    )
    return Kernel(path=[folder, *sys.path])


@pytest.mark.parametrize("uri", ["l.tif", "S3://b/l.TIFF", "https://h/l.png?token=x.geojson"])
def test_the_labels_of_segmentation_are_pixels_where_the_file_holds_some(
    uri: str, kernel: Kernel
) -> None:
    assert completed("a.tif", uri, kernel).labels == RasterLabelConfig(uris=uri)
    assert completed("a.tif", uri, kernel, "OBJECT_DETECTION").labels == LabelConfig(uris=uri)


def test_other_labels_are_vectors(kernel: Kernel) -> None:
    for uri in ("l.geojson", "l.gpkg", "folder.tif/l", "l"):
        assert completed("a.tif", uri, kernel).labels == LabelConfig(uris=uri)
    assert completed("a.tif", None, kernel).labels is None


def test_a_plugin_says_what_its_extensions_stand_for(with_plugin: Kernel) -> None:
    made = completed("a.TIF", "l.drawn", with_plugin, "OBJECT_DETECTION")
    assert made.raster.transformers == (StatsTransformerConfig(),)
    assert made.labels == LabelConfig(uris="l.drawn", default_class="roof")
    with pytest.raises(PluginContractError, match=r"\.drawn files"):
        completed("a.png", "l.drawn", with_plugin)


def test_a_config_that_says_more_stays_as_it_is(with_plugin: Kernel) -> None:
    raster = RasterConfig(uris="a.tif", channel_order=[0])
    labels = LabelConfig(uris="l.drawn", class_property="kind")
    made = completed(raster, labels, with_plugin)
    assert made.raster is raster
    assert made.labels is labels


def test_labels_in_yaml_are_told_apart_by_type(tmp_path: Path) -> None:
    from rv_pipeline._structure import structure

    from rv_pipeline import load_experiments

    data = {"id": "a", "raster": "a.tif", "labels": {"type": "raster", "uris": "l.tif"}}
    assert structure(data, SceneConfig).labels == RasterLabelConfig(uris="l.tif")
    data["labels"] = {"uris": "l.tif"}
    assert structure(data, SceneConfig).labels == LabelConfig(uris="l.tif")
    text = """
    id: e
    root_uri: out
    task: {key: CHIP_CLASSIFICATION, classes: [roof]}
    backend: {key: X}
    dataset:
      train: {id: a, raster: a.tif, labels: {type: rester, uris: a}}
    """
    (tmp_path / "e.yaml").write_text(text.replace("train: {", "train: [{").replace("a}}", "a}}]"))
    with pytest.raises(Exception, match=r"e\.yaml:7: .*'rester'") as caught:
        load_experiments(tmp_path / "e.yaml")
    assert "vector, or raster" in str(getattr(caught.value, "hint", ""))


def test_an_experiment_is_completed_before_it_runs(
    experiment: Callable[..., Experiment], with_plugin: Kernel
) -> None:
    from rv_pipeline import dag

    step = dag.build([experiment()], ["analyze"], with_plugin)[0]
    assert step.experiment.dataset.train[0].raster.transformers == (StatsTransformerConfig(),)
    assert attrs.evolve(step.experiment, dataset=experiment().dataset) == experiment()
