"""``rv preview``: mistakes are seen before anything has run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from PIL import Image
from rasterio.transform import from_origin
from rv_pipeline.cli import preview
from rv_pipeline.report.preview import preview as make_preview

from rv_core import Kernel
from rv_pipeline import (
    DatasetConfig,
    Experiment,
    RasterConfig,
    SceneConfig,
    SemanticSegmentationConfig,
    StatsTransformerConfig,
)

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

FILE = """
from rv_pipeline import *

def exp_roofs():
    cells = CellOptions(size=16, background_class="ground", infer_cells=True)
    task = ChipClassificationConfig(classes=["roof", "ground"], cells=cells)
    scene = lambda name: SceneConfig(
        id=name, raster=f"data/{name}.tif", labels=f"data/{name}.geojson"
    )
    return [
        Experiment(
            id=name,
            root_uri="out",
            task=task,
            backend={"backend": "TOY_CLASSIFICATION", "num_steps": steps},
            dataset=DatasetConfig(train=scene("north"), validation=scene("south")),
        )
        for name, steps in (("short", 10), ("long", 1000))
    ]
"""


@pytest.fixture
def file(experiment: Callable[..., Experiment], tmp_path: Path) -> str:
    (tmp_path / "e.py").write_text(FILE)
    return "e.py"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(preview, arguments, obj=Kernel())


def test_a_preview_is_a_page_and_pictures_once_for_the_same_chips(
    file: str, tmp_path: Path
) -> None:
    result = call(file, "--out", "look")
    assert result.exit_code == 0, result.exception
    assert sorted(p.relative_to("look").as_posix() for p in Path("look").rglob("*.*")) == [
        "short/chips/train.png",
        "short/chips/validation.png",
        "short/north.png",
        "short/preview.html",
        "short/south.png",
    ]
    html = Path("look/short/preview.html").read_text("utf-8")
    assert "EPSG:32633" in html and "Windows: 64" in html
    assert html.index("what it is<") < html.index("state<")  # as the cells below them
    assert not (tmp_path / "out").exists()  # nothing has run
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:4] == ["short", "train", "north", "ok"]
    assert [p.name for p in Path("look").iterdir()] == ["short"]  # "long" cuts the same chips


def test_a_scene_with_an_error_is_shown_with_its_message_and_the_others_go_on(
    file: str, tmp_path: Path
) -> None:
    labels = tmp_path / "data" / "north.geojson"
    data = json.loads(labels.read_text())
    data["crs"]["properties"]["name"] = "urn:ogc:def:crs:EPSG::32619"  # the wrong zone
    labels.write_text(json.dumps(data))
    result = call(file, "--out", "look")
    assert result.exit_code == 1
    states = {line.split()[2]: line.split()[3] for line in result.stdout.splitlines()[1:3]}
    assert states == {"north": "error", "south": "ok"}
    html = Path("look/short/preview.html").read_text("utf-8")
    assert "do not overlap the raster" in html
    assert "Image of scene north" in html  # the picture is there to compare with
    assert Path("look/short/south.png").exists()


def test_a_missing_raster_is_an_error_of_its_scene_and_said_once(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data" / "south.tif").unlink()
    result = call(file)
    assert result.exit_code == 1
    assert result.output.count("there is no such file") == 1
    assert caplog.text == ""  # the table says it
    assert "there is no such file" in Path("preview/short/preview.html").read_text("utf-8")


def test_a_warning_that_several_experiments_have_in_common_is_said_once(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data" / "north.geojson").write_text(
        '{"type": "FeatureCollection", "features": []}'
    )
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(
        text.replace("task=task,", "task=task, chip=ChipOptions(seed=steps),")
    )
    result = call(file)
    assert len(result.stdout.splitlines()) == 7  # two pages
    assert caplog.text.count("holds no labels") == 1


def test_labels_lie_on_their_objects_in_the_picture(
    experiment: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    """Roofs are bright: what is tinted must be what was bright."""
    found = make_preview(experiment(), kernel)
    (tmp_path / "north.png").write_bytes(found.files["north.png"])
    with Image.open(tmp_path / "north.png") as image:
        drawn = np.asarray(image).astype(int)
    with rasterio.open(tmp_path / "data" / "north.tif") as source:
        pixels = source.read().transpose(1, 2, 0)
    zoom = drawn.shape[0] // 128
    cells = drawn.reshape(8, 16 * zoom, 8, 16 * zoom, 3)
    inner = cells[:, 6 * zoom : 10 * zoom, :, 6 * zoom : 10 * zoom].mean(axis=(1, 3))
    bluer = inner[:, :, 2] - inner[:, :, 0] > 15  # the first class's color is blue
    bright = pixels.reshape(8, 16, 8, 16, 3).mean(axis=(1, 3, 4)) > 125
    assert (bluer == bright).all()


def test_rasters_that_are_transformed_need_no_statistics_of_a_run(
    experiment: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(300, 4000, (1, 64, 64), np.uint16)
    with rasterio.open(
        tmp_path / "dark.tif",
        "w",
        driver="GTiff",
        width=64,
        height=64,
        count=1,
        dtype="uint16",
        crs="EPSG:32633",
        transform=from_origin(500_000, 5_000_000, 0.5, 0.5),
    ) as sink:
        sink.write(pixels)
    raster = RasterConfig(uris=str(tmp_path / "dark.tif"), transformers=[StatsTransformerConfig()])
    labels = experiment().dataset.train[0].labels
    scene = SceneConfig(id="dark", raster=raster, labels=labels)
    found = make_preview(experiment(dataset=DatasetConfig(train=scene)), kernel)
    assert not any(s.failed for s in found.scenes), found.scenes
    assert ("Bands", "1 of uint8, from uint16") in found.scenes[0].view.facts


def test_areas_of_interest_are_shown_and_counted(
    experiment: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    scene = made.dataset.train[0]
    data = json.loads(Path(scene.labels.uris[0]).read_text())
    data["features"] = data["features"][:1]
    (tmp_path / "aoi.geojson").write_text(json.dumps(data))
    scene = attrs.evolve(scene, aoi_uris=str(tmp_path / "aoi.geojson"))
    found = make_preview(experiment(dataset=DatasetConfig(train=scene)), kernel)
    (north,) = found.scenes
    assert ("Areas of interest", "1 polygon") in north.view.facts
    windows = north.view.tables[1]
    assert windows.rows[-2:] == [("all chips", "1"), ("not labelled", "63")]


def test_labels_that_are_a_raster_are_drawn_and_their_pixels_counted(
    experiment: Callable[..., Experiment], kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    image = made.dataset.train[0].raster.uris[0]
    with rasterio.open(image) as source:
        profile = {**source.profile, "count": 1}
    classes = np.zeros((1, 128, 128), np.uint8)
    classes[:, 64:] = 1
    classes[:, :32] = 255
    with rasterio.open(tmp_path / "classes.tif", "w", **profile) as sink:
        sink.write(classes)
    scene = SceneConfig(id="north", raster=image, labels=str(tmp_path / "classes.tif"))
    task = SemanticSegmentationConfig(classes=["roof", "ground"], chip_size=32)
    (north,) = make_preview(
        experiment(task=task, dataset=DatasetConfig(train=scene)), kernel
    ).scenes
    assert not north.failed, north.view.error
    assert north.view.tables[0].rows == [
        ("roof", "4,096", "25.0%"),
        ("ground", "8,192", "50.0%"),
        ("unlabelled", "4,096", "25.0%"),
    ]


def test_whether_pages_can_be_written_is_found_out_before_they_are_drawn(
    file: str, tmp_path: Path
) -> None:
    (tmp_path / "data" / "south.tif").unlink()  # drawing would say so
    (tmp_path / "taken").write_text("a file")
    result = call(file, "--out", "taken/look")
    assert "a part of its path is a file" in str(result.exception)
    assert "south" not in result.output
