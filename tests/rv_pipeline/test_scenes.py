"""Scene configs are plain data; open scenes are read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rv_pipeline.rasters.config import (
    CastTransformerConfig,
    RasterConfig,
    StatsTransformerConfig,
)
from rv_pipeline.scenes import DatasetConfig, SceneConfig, open_scene
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassMap, ConfigError, Kernel
from rv_pipeline import windows


def test_configs_cost_no_heavy_import() -> None:
    code = (
        "import sys\n"
        "import rv_pipeline.scenes, rv_pipeline.tasks.chip_classification\n"
        "import rv_pipeline.rasters, rv_pipeline.vectors, rv_pipeline.label_stores\n"
        "import rv_pipeline.samples\n"
        "rv_pipeline.scenes.SceneConfig(id='a', raster='b.tif', labels='c.geojson')\n"
        "print({'numpy', 'rasterio', 'shapely', 'pyproj', 'pyogrio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_one_uri_is_as_good_as_several() -> None:
    scene = SceneConfig(id="a", raster=Path("image.tif"), labels="labels.geojson")
    assert scene.raster.uris == ("image.tif",)
    assert scene.labels == LabelConfig(uris=("labels.geojson",))
    assert SceneConfig(id="a", raster=["x.tif", "y.tif"]) == SceneConfig(  # type: ignore[arg-type]
        id="a", raster=RasterConfig(uris=("x.tif", "y.tif"))
    )
    assert SceneConfig(id="a", raster="x.tif", aoi_uris="aoi.json").aoi_uris == ("aoi.json",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RasterConfig(uris=()), r"RasterConfig\.uris needs at least 1 URI"),
        (lambda: RasterConfig(uris=("a", "")), r"RasterConfig\.uris holds URIs, got ''"),
        (lambda: RasterConfig(uris="a", channel_order=(-1,)), r"channel_order must be band"),
        (lambda: RasterConfig(uris="a", channel_order=()), r"channel_order must be band"),
        (lambda: RasterConfig(uris="a", nodata="0"), r"RasterConfig\.nodata must be a number"),
        (lambda: LabelConfig(uris="a", class_property=None), "neither class_property nor"),
        (lambda: LabelConfig(uris="a", line_buffer=-1), r"LabelConfig\.line_buffer must be"),
        (lambda: LabelConfig(uris="a", buffer_units="feet"), r"LabelConfig\.buffer_units must be"),
        (lambda: SceneConfig(id="a", raster={"uris": "a.tif"}), r"stands where a URI .* needed"),
        (lambda: SceneConfig(id="a/b", raster="a"), r"SceneConfig\.id must be usable as a file"),
        (lambda: SceneConfig(id="..", raster="a"), r"SceneConfig\.id must be usable as a file"),
        (lambda: StatsTransformerConfig(stretch="x"), r"StatsTransformerConfig\.stretch must be"),
        (lambda: CastTransformerConfig(dtype="complex64"), r"CastTransformerConfig\.dtype must"),
    ],
)
def test_nonsense_is_refused_with_the_field_it_is_in(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_scene_ids_differ_across_splits() -> None:
    one, two = SceneConfig(id="a", raster="1.tif"), SceneConfig(id="a", raster="2.tif")
    with pytest.raises(ConfigError, match="scene ids must differ, but a is there twice"):
        DatasetConfig(train=one, validation=[two])
    assert DatasetConfig(train=one).scenes == (one,)


def test_an_open_scene_reads_pixels_and_labels(
    scene: Callable[..., SceneConfig], kernel: Kernel
) -> None:
    classes = ClassMap.of("ground", "roof")
    with open_scene(scene("a"), kernel, classes=classes) as opened:
        pixels, _ = opened.raster.read(opened.extent)
        assert opened.features is not None
        assert set(opened.features.class_ids.tolist()) == {1}
        roofs = np.zeros(pixels.shape[:2], bool)
        for x0, y0, x1, y1 in opened.features.bounds.round().astype(int).tolist():
            roofs[y0:y1, x0:x1] = True
        assert pixels[roofs].mean() > pixels[~roofs].mean() + 80
        assert opened.in_aoi(windows.grid(opened.extent, 16)).all()


def test_labels_can_be_left_aside_but_not_read_without_classes(
    scene: Callable[..., SceneConfig], kernel: Kernel
) -> None:
    config = scene("a")
    with open_scene(config, kernel, with_labels=False) as opened:
        assert opened.features is None
    with pytest.raises(ConfigError, match="scene 'a' has labels"), open_scene(config, kernel):
        pass
