"""Bundles: what is in them, and which are refused."""

from __future__ import annotations

import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rv_core import ConfigError, DataError, Kernel, ModelError, NotFoundError, UnknownKeyError
from rv_pipeline import (
    DatasetConfig,
    Experiment,
    LabelConfig,
    PredictOptions,
    Predictor,
    RasterConfig,
    SceneConfig,
    StatsTransformerConfig,
    run,
)

Make = Callable[..., Experiment]


@pytest.fixture
def bundle(experiment: Make, kernel: Kernel, tmp_path: Path) -> Path:
    run(experiment(), ["analyze", "chip", "train", "bundle"], kernel=kernel)
    return tmp_path / "out/bundle/roofs/bundle.zip"


def changed(bundle: Path, **fields: Any) -> Path:
    """A copy of the bundle with other fields in its bundle.json."""
    target = bundle.with_name("changed.zip")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "bundle.json":
                data = json.dumps({**json.loads(data), **fields}).encode()
            new.writestr(name, data)
    return target


def refusal(bundle: Path, kernel: Kernel | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        Predictor(bundle, kernel)
    return str(caught.value)


def test_a_bundle_predicts_what_the_experiment_predicted(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(predict=PredictOptions(crs="image")), kernel=kernel)
    with Predictor(tmp_path / "out/bundle/roofs/bundle.zip") as predictor:
        predictor.predict(tmp_path / "data/south.tif", tmp_path / "again.geojson")
    assert (tmp_path / "again.geojson").read_bytes() == (
        tmp_path / "out/predict/roofs/south.geojson"
    ).read_bytes()


def test_a_bundle_reads_new_images_as_the_training_scenes_were_read(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    def scaled(name: str) -> SceneConfig:
        import rasterio

        with rasterio.open(tmp_path / f"data/{name}.tif") as source:
            profile, pixels = source.profile, source.read()
        with rasterio.open(
            tmp_path / f"data/{name}16.tif", "w", **{**profile, "dtype": "uint16"}
        ) as sink:
            sink.write(pixels.astype("uint16") * 37)
        raster = RasterConfig(
            uris=str(tmp_path / f"data/{name}16.tif"),
            channel_order=[2, 0],
            transformers=[StatsTransformerConfig()],
        )
        labels = LabelConfig(uris=str(tmp_path / f"data/{name}.geojson"))
        return SceneConfig(id=name, raster=raster, labels=labels)

    dataset = DatasetConfig(train=scaled("north"), validation=scaled("south"))
    reports = run(experiment(dataset=dataset), kernel=kernel)
    assert next(r for r in reports if r.command == "eval").summary["overall"]["accuracy"] > 0.99
    with Predictor(tmp_path / "out/bundle/roofs/bundle.zip") as predictor:
        assert predictor.model.bands == 2
        predictor.predict(tmp_path / "data/south16.tif", tmp_path / "again.geojson")
    again = json.loads((tmp_path / "again.geojson").read_text())
    first = json.loads((tmp_path / "out/predict/roofs/south.geojson").read_text())
    assert again["features"] == first["features"]


def test_the_crs_of_the_result_can_be_chosen(bundle: Path, kernel: Kernel, tmp_path: Path) -> None:
    with Predictor(bundle, kernel) as predictor:
        predictor.predict(tmp_path / "data/south.tif", tmp_path / "p.geojson", crs="EPSG:4326")
    point = json.loads((tmp_path / "p.geojson").read_text())["features"][0]["geometry"]
    x, y = point["coordinates"][0][0]
    assert 14.9 < x < 15.1
    assert 45 < y < 45.3


def test_the_same_model_makes_the_same_bundle(
    bundle: Path, experiment: Make, kernel: Kernel
) -> None:
    from rv_pipeline.runners.local import RunOptions

    first = bundle.read_bytes()
    run(experiment(), ["bundle"], kernel=kernel, options=RunOptions(rerun=True))
    assert bundle.read_bytes() == first


def test_a_missing_plugin_is_named_with_what_to_install(
    bundle: Path, kernel: Kernel, tmp_path: Path
) -> None:
    bare = Kernel(disable=["acme-toy-backend"])
    with pytest.raises(Exception, match=r"acme-toy-backend 1\.2\.0, which is disabled"):
        Predictor(bundle, bare)
    needs = [
        {"kind": "backends", "key": "NO_SUCH", "distribution": "acme-no-such", "version": "3.1"},
        {
            "kind": "tasks",
            "key": "CHIP_CLASSIFICATION",
            "distribution": "rv-pipeline",
            "version": "0.1",
        },
    ]
    with pytest.raises(UnknownKeyError) as caught:
        Predictor(changed(bundle, requirements=needs), kernel)
    assert "backend NO_SUCH" in str(caught.value)
    assert caught.value.hint == 'pip install "acme-no-such>=3.1"'


def test_a_newer_bundle_is_refused(bundle: Path) -> None:
    assert "format version 2, this rv-pipeline reads 1" in refusal(changed(bundle, version=2))


def test_a_bundle_with_something_else_in_it_is_named(bundle: Path) -> None:
    cases: list[tuple[str, Any, str]] = [
        ("backend", None, "its bundle.json has no usable 'backend'"),
        ("backend", {}, "its bundle.json has no usable 'backend'"),
        ("task", {"classes": ["roof"]}, "its bundle.json has no usable 'key'"),
        ("requirements", [{"a": 1}], "its bundle.json has no usable 'kind'"),
        ("model", "other.json", "it holds no model 'other.json'"),
        ("model", "../bundle.json", "it holds no model '../bundle.json'"),
        ("stats", {}, "these are no raster statistics"),
        ("raster", {"bands": 3}, "unknown key 'bands'"),
        ("predict", {"stride": 3}, "unknown key 'stride'"),
    ]
    for field, value, said in cases:
        refused = refusal(changed(bundle, **{field: value}))
        assert "changed.zip is damaged" in refused
        assert said in refused


@pytest.mark.parametrize(
    "name", ["../up.json", "/etc/passwd", "model/../../up", "C:/x", "model\\..\\x", "other.txt"]
)
def test_names_that_lead_out_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(name, "x")
    assert "does not belong into a bundle" in refusal(bundle)
    assert not (tmp_path / "up.json").exists()


def test_links_are_refused(bundle: Path) -> None:
    link = zipfile.ZipInfo("model/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "does not belong into a bundle" in refusal(bundle)


def test_a_bundle_larger_than_allowed_is_refused_before_it_is_unpacked(bundle: Path) -> None:
    small = Kernel(config={"pipeline": {"max_bundle_bytes": 100}})
    assert "more than the 100 allowed" in refusal(bundle, small)


def test_what_is_no_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("not a zip")
    assert "damaged, or no zip file" in refusal(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    assert "is not an RV bundle" in refusal(tmp_path / "y.zip")
    data = bundle.read_bytes()
    (tmp_path / "z.zip").write_bytes(data[: len(data) // 2])
    assert "damaged" in refusal(tmp_path / "z.zip")
    with pytest.raises(NotFoundError):
        Predictor(tmp_path / "gone.zip")


def test_a_bundle_that_was_damaged_on_its_way_is_refused(bundle: Path, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    start = data.index(b"bundle.json") + len("bundle.json")
    data[start : start + 40] = bytes(255 - byte for byte in data[start : start + 40])
    (tmp_path / "flipped.zip").write_bytes(data)
    assert "damaged" in refusal(tmp_path / "flipped.zip")


@pytest.mark.parametrize("name", ["model/model.json", "model/model.json/more"])
def test_a_bundle_whose_members_are_in_each_others_way_is_refused(bundle: Path, name: str) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a") as archive:
        warnings.simplefilter("ignore", UserWarning)  # a name is there twice
        archive.writestr(name, "x")
    assert "damaged" in refusal(bundle)


def test_an_image_that_does_not_fit_the_model_leaves_no_result(
    bundle: Path, kernel: Kernel, tmp_path: Path
) -> None:
    import numpy as np
    import rasterio

    with rasterio.open(
        tmp_path / "gray.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8"
    ) as sink:
        sink.write(np.zeros((1, 64, 64), np.uint8))
    out = tmp_path / "p.geojson"
    out.write_text("earlier")
    with Predictor(bundle, kernel) as predictor:
        with pytest.raises(DataError, match="with 1 band, the model was trained on 3"):
            predictor.predict(tmp_path / "gray.tif", out)
        with pytest.raises((DataError, ConfigError, NotFoundError)):
            predictor.predict(tmp_path / "gone.tif", out)
    assert out.read_text() == "earlier"
