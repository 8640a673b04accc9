"""Predicting with a bundle: other bands, other statistics, many images, other folders."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rv_pipeline.cli import predict
from rv_pipeline.cli._predict import _targets

from rv_core import ConfigError, Kernel, ModelError, NotFoundError, StorageError, UnknownKeyError
from rv_pipeline import (
    DatasetConfig,
    Experiment,
    Predictor,
    SceneConfig,
    StatsTransformerConfig,
    run,
)

Draw = Callable[..., SceneConfig]


@pytest.fixture
def bundle(experiment: Callable[..., Experiment], kernel: Kernel, tmp_path: Path) -> str:
    """A bundle of a model for pixels that were stretched by the training scene's statistics."""
    made = experiment()
    raster = attrs.evolve(made.dataset.train[0].raster, transformers=[StatsTransformerConfig()])
    train = attrs.evolve(made.dataset.train[0], raster=raster)
    stretched = attrs.evolve(made, dataset=DatasetConfig(train=train))
    run(stretched, ["analyze", "chip", "train", "bundle"], kernel=kernel)
    return str(tmp_path / "out/bundle/roofs/bundle.zip")


def rewritten(scene: SceneConfig, name: str, change: Callable[[Any], Any]) -> Path:
    """The scene's image with other pixels [C, H, W]."""
    old = Path(scene.raster.uris[0])
    with rasterio.open(old) as source:
        profile, pixels = source.profile, change(source.read())
    with rasterio.open(
        old.with_name(name), "w", **{**profile, "dtype": pixels.dtype, "count": len(pixels)}
    ) as sink:
        sink.write(pixels)
    return old.with_name(name)


def classes(path: Path) -> list[str]:
    features = json.loads(path.read_text())["features"]
    return [feature["properties"]["class_name"] for feature in features]


def test_bands_in_another_order_are_named_when_predicting(
    bundle: str, scene: Draw, tmp_path: Path
) -> None:
    image = scene("x", seed=8)
    with_more = rewritten(image, "more.tif", lambda p: np.concatenate([255 - p[:1], p[::-1]]))
    with Predictor(bundle) as predictor:
        predictor.predict(image.raster.uris[0], tmp_path / "a.geojson")
        predictor.predict(with_more, tmp_path / "b.geojson", channel_order=[3, 2, 1])
        with pytest.raises(ConfigError, match="asks for band 4"):
            predictor.predict(with_more, tmp_path / "c.geojson", channel_order=[4, 2, 1])
    assert (tmp_path / "a.geojson").read_text() == (tmp_path / "b.geojson").read_text()
    assert not (tmp_path / "c.geojson").exists()


def test_an_image_of_another_brightness_is_stretched_by_its_own_statistics(
    bundle: str, scene: Draw, tmp_path: Path
) -> None:
    image = scene("x", seed=8)
    dim = rewritten(image, "dim.tif", lambda p: p.astype(np.uint16) * 4 + 9000)
    with Predictor(bundle) as predictor:
        predictor.predict(image.raster.uris[0], tmp_path / "a.geojson", update_stats=True)
        predictor.predict(dim, tmp_path / "b.geojson")
        predictor.predict(dim, tmp_path / "c.geojson", update_stats=True)
    assert set(classes(tmp_path / "b.geojson")) == {"roof"}  # all of it is above the training's
    assert classes(tmp_path / "c.geojson") == classes(tmp_path / "a.geojson")


def test_many_images_go_into_a_folder_by_name(
    bundle: str, scene: Draw, tmp_path: Path, kernel: Kernel
) -> None:
    images = [scene(name, seed=n, size=64).raster.uris[0] for n, name in enumerate("pq")]
    result = CliRunner().invoke(
        predict, [bundle, *images, "made", "--export-config", "config.json"], obj=kernel
    )
    assert result.exit_code == 0, result.exception
    assert result.stdout.startswith("made/p.geojson: 16 cells in ")
    assert len(classes(tmp_path / "made/p.geojson")) == 16
    assert len(classes(tmp_path / "made/q.geojson")) == 16
    exported = json.loads((tmp_path / "config.json").read_text())
    assert exported["task"]["key"] == "CHIP_CLASSIFICATION"
    assert exported["raster"]["transformers"][0]["type"] == "stats_uint8"


def test_of_many_images_those_that_can_be_read_are_predicted(
    bundle: str, scene: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    images = [scene(name, seed=n).raster.uris[0] for n, name in enumerate("abc")]
    damaged = Path(images[1])
    damaged.write_bytes(damaged.read_bytes()[:20_000])
    result = CliRunner().invoke(predict, [bundle, *images, "found/"], obj=kernel)
    assert str(result.exception) == "1 of 3 images failed"
    assert "found/b.geojson: failed: scene 'b': cannot read the raster" in result.stderr
    assert {p.name for p in Path("found").glob("*.geojson")} == {"a.geojson", "c.geojson"}


def test_an_image_that_is_not_there_is_said_before_the_others_are_predicted(
    bundle: str, scene: Draw, kernel: Kernel
) -> None:
    images = [scene("a", seed=1).raster.uris[0], "none.tif"]
    result = CliRunner().invoke(predict, [bundle, *images, "found/"], obj=kernel)
    assert isinstance(result.exception, NotFoundError)
    assert not Path("found").exists()


def test_two_images_of_one_name_do_not_overwrite_each_other(
    bundle: str, tmp_path: Path, kernel: Kernel
) -> None:
    result = CliRunner().invoke(predict, [bundle, "a/x.tif", "b/x.jp2", "made"], obj=kernel)
    assert isinstance(result.exception, ConfigError)
    assert "same name" in str(result.exception)
    assert not (tmp_path / "made").exists()


def test_several_files_are_one_mosaic(bundle: str, scene: Draw, tmp_path: Path) -> None:
    left = scene("left", seed=8)
    right = scene("right", seed=9, west=500_000.0 + 128 * 0.5)
    with Predictor(bundle) as predictor:
        count = predictor.predict(
            [left.raster.uris[0], right.raster.uris[0]], tmp_path / "both.geojson"
        )
    assert count == 128


def test_channel_order_is_a_list_of_numbers(bundle: str, kernel: Kernel) -> None:
    result = CliRunner().invoke(
        predict, [bundle, "x.tif", "y.geojson", "--channel-order", "r,g"], obj=kernel
    )
    assert isinstance(result.exception, ConfigError)
    assert "'r,g'" in str(result.exception)


def test_a_bundle_of_a_newer_plugin_says_what_to_upgrade(bundle: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile("newer.zip", "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "bundle.json":
                assert b'"version": "1.2.0"' in text
                text = text.replace(b'"version": "1.2.0"', b'"version": "1.10.0"')
            new.writestr(name, text)
    with pytest.raises(UnknownKeyError) as caught:
        Predictor("newer.zip")
    assert "TOY_CLASSIFICATION of acme-toy-backend 1.10.0 (here: 1.2.0)" in str(caught.value)
    assert caught.value.hint == 'pip install "acme-toy-backend>=1.10.0"'


def test_a_model_that_knows_other_classes_is_refused(bundle: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile("other.zip", "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "model/model.json":
                text = text.replace(b'"ground"', b'"grass"')
            new.writestr(name, text)
    with pytest.raises(ModelError, match="knows the classes roof, grass"):
        Predictor("other.zip")


def test_an_image_is_not_written_over_by_what_is_found_in_it(
    bundle: str, scene: Draw, tmp_path: Path
) -> None:
    image = Path(scene("x", seed=8).raster.uris[0])
    before = image.read_bytes()
    (tmp_path / "link.tif").symlink_to(image)
    with Predictor(bundle) as predictor:
        for out in (image, f"file://{image}", tmp_path / "link.tif"):
            with pytest.raises(ConfigError, match=r"over the image .*x\.tif"):
                predictor.predict(image, out)
    assert image.read_bytes() == before


def test_a_folder_is_no_name_for_a_result(
    bundle: str, scene: Draw, tmp_path: Path, kernel: Kernel
) -> None:
    image = scene("x", seed=8, size=64).raster.uris[0]
    (tmp_path / "made").mkdir()
    with Predictor(bundle) as predictor:
        with pytest.raises(ConfigError, match="made is a folder"):
            predictor.predict(image, tmp_path / "made")
        with pytest.raises(ConfigError, match="names no file"):
            predictor.predict(image, "made/")
    assert not [*tmp_path.glob("made*.json"), *(tmp_path / "made").iterdir()]
    result = CliRunner().invoke(predict, [bundle, image, "made"], obj=kernel)
    assert result.exit_code == 0, result.exception
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["x.geojson", "x.stac.json"]


def test_the_item_beside_a_result_names_it_as_it_is_called(
    bundle: str, scene: Draw, tmp_path: Path
) -> None:
    image = scene("x", seed=8, size=64).raster.uris[0]
    with Predictor(bundle) as predictor:
        predictor.predict(image, tmp_path / "roofs.json")
    item = json.loads((tmp_path / "roofs.stac.json").read_text())
    assert [asset["href"] for asset in item["assets"].values()] == ["./roofs.json"]


def test_results_are_named_after_images_and_not_after_signatures() -> None:
    images = ("https://host/a.v2.tif?sig=x/y.z", "s3://bucket/b?.tif", "here/c.tif")
    found = _targets(images, "made/", ".geojson")
    assert list(found.values()) == ["made/a.v2.geojson", "made/b?.geojson", "made/c.geojson"]


def test_a_name_that_says_another_kind_of_file_is_refused(bundle: str, tmp_path: Path) -> None:
    with Predictor(bundle) as predictor, pytest.raises(ConfigError) as caught:
        predictor.predict("image.png", "cells.tif")
    assert (
        "cells.tif ends in .tif, and predictions of CHIP_CLASSIFICATION are .geojson files"
        in str(caught.value)
    )
    assert not (tmp_path / "cells.tif").exists()


def test_where_nothing_can_be_written_is_said_before_the_work(
    bundle: str, scene: Draw, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with Predictor(bundle) as predictor, pytest.raises(StorageError, match="file"):
        predictor.predict(
            scene("x").raster.uris[0],
            "file/x.geojson",
            on_progress=lambda progress: pytest.fail("it began"),
        )
