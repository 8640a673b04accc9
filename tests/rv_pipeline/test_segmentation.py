"""Semantic segmentation: labels, chips and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray
from rio_cogeo import cog_validate
from rv_core.testing import BackendContract
from rv_pipeline.rasters import RasterSource
from rv_pipeline.scenes import Scene
from rv_pipeline.tasks.semantic_segmentation import SemanticSegmentation
from rv_pipeline.tasks.task import Part, Predicted
from rv_pipeline.vectors import Features

from rv_core import ConfigError, Kernel, ModelError, PixelLabels, Window
from rv_pipeline import (
    PolygonOptions,
    RasterConfig,
    SegmentationChipOptions,
    SegmentationPredictOptions,
    SemanticSegmentationConfig,
)

CLASSES = {"roof": "#cc3311", "ground": "#bbbbbb"}


class TestToySegmentation(BackendContract):
    plugins: ClassVar[tuple[str, ...]] = ("acme_toy_segmentation.plugin", "rv_plugins.plugin")
    key: ClassVar[str] = "TOY_SEGMENTATION"


def task_with(
    chip: dict[str, Any] | None = None, predict: dict[str, Any] | None = None, **config: Any
) -> SemanticSegmentation:
    config = {"classes": CLASSES, "chip_size": 32, "background_class": "ground", **config}
    return SemanticSegmentation(
        SemanticSegmentationConfig(**config),
        SegmentationChipOptions(**(chip or {})),
        SegmentationPredictOptions(**(predict or {})),
    )


MakeScene = Callable[..., Scene]


@pytest.fixture
def opened(tmp_path: Path, kernel: Kernel) -> MakeScene:
    """A scene of 100 x 70 px with a roof on its first 30 columns and one in the lower right."""

    def make(aoi: Sequence[Any] = (), pixels: NDArray[np.uint8] | None = None) -> Scene:
        path = tmp_path / "scene.tif"
        pixels = np.ones((70, 100), np.uint8) if pixels is None else pixels
        height, width = pixels.shape
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8",
            nodata=0, crs="EPSG:32633",
            transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
        ) as sink:  # fmt: skip
            sink.write(pixels, 1)
        roofs = np.array([shapely.box(0, 0, 30, 70), shapely.box(80, 50, 95, 65)])
        return Scene(
            id="here",
            raster=RasterSource.open(RasterConfig.of(path), kernel),
            features=Features(roofs, np.zeros(2, np.int64)),
            aoi=np.array(aoi, object),
        )

    return make


def masks(task: SemanticSegmentation, scene: Scene, windows: Sequence[Window]) -> list[Any]:
    labels = task.label(scene, windows)
    return [label.mask if isinstance(label, PixelLabels) else None for label in labels]


def test_what_is_not_drawn_is_background_or_unlabelled(opened: MakeScene) -> None:
    window = Window(10, 40, 32, 32)  # two rows of it are beyond the scene
    (mask,) = masks(task_with(), opened(), [window])
    assert (mask[:30, :20] == 0).all()
    assert (mask[:30, 20:] == 1).all()
    assert (mask[30:] == 255).all()
    (mask,) = masks(task_with(background_class=None), opened(), [window])
    assert (mask[:30, 20:] == 255).all()
    empty = Window(40, 0, 32, 32)
    assert masks(task_with(background_class=None), opened(), [empty]) == [None]


def test_outside_the_areas_of_interest_pixels_are_unlabelled(opened: MakeScene) -> None:
    scene = opened(aoi=[shapely.box(0, 0, 50, 20)])
    inside, outside = masks(task_with(), scene, [Window(30, 0, 32, 32), Window(60, 0, 32, 32)])
    assert (inside[:20, :20] == 1).all()
    assert (inside == 1).sum() == 400
    assert outside is None


def test_the_label_of_a_window_does_not_depend_on_the_others(opened: MakeScene) -> None:
    task, scene = task_with(), opened()
    windows = task.chip_windows(scene, "validation")
    together = masks(task, scene, windows)
    for window, mask in zip(windows, together, strict=True):
        np.testing.assert_array_equal(masks(task_with(), scene, [window])[0], mask)


def test_sliding_windows_stay_inside_the_scene(opened: MakeScene) -> None:
    windows = task_with(chip={"stride": 20}).chip_windows(opened(), "train")
    assert {w.col_off for w in windows} == {0, 20, 40, 60, 68}
    assert {w.row_off for w in windows} == {0, 20, 38}
    assert len(task_with(chip={"stride": 20}).chip_windows(opened(), "validation")) == 12


def test_negative_windows_survive_by_chance(opened: MakeScene) -> None:
    def windows(**options: Any) -> list[Window]:
        options = {"stride": 4, "target_classes": "roof", "target_count_threshold": 64, **options}
        return list(task_with(chip=options).chip_windows(opened(), "train"))

    every = windows(negative_survival_probability=1.0)
    positive = windows(negative_survival_probability=0.0)
    some = windows(negative_survival_probability=0.3)
    task, scene = task_with(), opened()
    roofs = [int((mask == 0).sum()) for mask in masks(task, scene, every)]
    assert positive == [w for w, count in zip(every, roofs, strict=True) if count >= 64]
    assert set(positive) < set(some) < set(every)
    share = (len(some) - len(positive)) / (len(every) - len(positive))
    assert 0.2 < share < 0.4
    assert some == windows(negative_survival_probability=0.3)
    assert some != windows(negative_survival_probability=0.3, seed=1)


def test_random_windows_are_as_many_as_asked_for_and_touch_the_area_of_interest(
    opened: MakeScene,
) -> None:
    options = {"windows": "random", "chips_per_scene": 50}
    scene = opened(aoi=[shapely.box(60, 0, 70, 5)])
    windows = task_with(chip=options).chip_windows(scene, "train")
    assert len(windows) == 50
    assert all(28 <= w.col_off <= 68 and w.row_off <= 5 for w in windows)
    assert windows == task_with(chip=options).chip_windows(scene, "train")
    negative = {"target_classes": ["roof"], "negative_survival_probability": 0}
    never = task_with(chip=options | negative | {"target_count_threshold": 9999})
    assert never.chip_windows(opened(), "train") == []
    few = task_with(chip=options | negative | {"target_count_threshold": 900})
    chosen = few.chip_windows(opened(), "train")
    assert 0 < len(chosen) <= 50
    assert all((mask == 0).sum() >= 900 for mask in masks(few, opened(), chosen))


def test_random_chips_without_labels_are_drawn_again(opened: MakeScene) -> None:
    """Where there is no background, most of the scene is unlabelled."""
    options = {"windows": "random", "chips_per_scene": 60}
    task, scene = task_with(chip=options, background_class=None), opened()
    windows = task.chip_windows(scene, "train")
    assert len(windows) == 60
    assert all(label is not None for label in task.label(scene, windows))


@pytest.mark.parametrize("kind", ["random", "sliding"])
def test_a_scene_smaller_than_a_chip_is_seen_with_nodata_around_it(
    opened: MakeScene, kernel: Kernel, tmp_path: Path, kind: str
) -> None:
    task = task_with(chip={"windows": kind, "chips_per_scene": 9}, chip_size=80)
    scene = opened()  # of 100 x 70 px
    task.check_scene(scene)
    for window in task.chip_windows(scene, "train"):
        assert window.row_off == 0
        (mask,) = masks(task, scene, [window])
        assert (mask[:70] != 255).all()
        assert (mask[70:] == 255).all()
    path = predict(task, scene, tmp_path / "out", kernel, says_ground)
    with rasterio.open(path) as found:
        assert found.shape == (70, 100)
        assert (found.read() == 1).all()


def says_ground(window: Window) -> PixelLabels:
    return PixelLabels(np.ones((window.height, window.width), np.uint8))


def predict(
    task: SemanticSegmentation,
    scene: Scene,
    folder: Path,
    kernel: Kernel,
    says: Callable[[Window], PixelLabels],
    blocks: Sequence[Window] | None = None,
) -> Path:
    """PREDICT's steps with a model that ``says`` something of each window."""
    parts = []
    folder.mkdir()
    for number, block in enumerate(blocks or task.predict_blocks(scene.extent)):
        path = folder / f"{number}.part"
        told = []
        for window in task.predict_windows(scene.extent, block):
            _, nodata = scene.raster.read(window)
            if nodata is None or not nodata.all():
                told.append(Predicted(window, says(window), nodata))
        task.write_part(path, scene, block, iter(told))
        parts.append(Part(block, path))
    count = task.write_predictions(folder, "here", scene, parts, kernel)
    assert count == scene.extent.width * scene.extent.height
    for part in parts:
        part.path.unlink()
    return folder / "here.tif"


def test_constant_probabilities_come_out_constant(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    task, scene = task_with(predict={"probabilities": True, "rgb": True}), opened()
    constant = np.broadcast_to(np.array([0.3, 0.7], np.float32), (32, 32, 2))
    path = predict(task, scene, tmp_path / "out", kernel, lambda _: PixelLabels(None, constant))
    with rasterio.open(path) as found:
        assert (found.read() == 1).all()
    with rasterio.open(tmp_path / "out" / "here-probabilities.tif") as found:
        assert found.descriptions == ("roof", "ground")
        stored = found.read()
        assert (stored == np.array([76, 178])[:, None, None]).all()
        np.testing.assert_allclose(stored[:, 0, 0] * np.array(found.scales), [0.3, 0.7], atol=2e-3)
    with rasterio.open(tmp_path / "out" / "here-rgb.tif") as found:
        assert (found.read() == np.array([0xBB, 0xBB, 0xBB, 255])[:, None, None]).all()


def wave(window: Window) -> PixelLabels:
    """Probabilities that depend on the place and, a little, on the window."""
    rows, cols = np.mgrid[: window.height, : window.width]
    rows, cols = rows + window.row_off, cols + window.col_off
    wobble = np.random.default_rng(window.row_off * 1000 + window.col_off).normal(
        0, 0.1, rows.shape
    )
    roof = np.clip(0.5 + 0.4 * np.sin(rows / 9) * np.cos(cols / 7) + wobble, 0, 1)
    return PixelLabels(None, np.stack([roof, 1 - roof], axis=-1).astype(np.float32))


def test_files_do_not_depend_on_the_blocks(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    task = task_with(predict={"probabilities": True, "polygons": PolygonOptions(sieve=4)})
    scene, pixels = opened(), []
    for name, blocks in (
        ("one", None),
        ("many", [Window(c, r, 50, 35) for r in (0, 35) for c in (0, 50)]),
    ):
        path = predict(task, scene, tmp_path / name, kernel, wave, blocks)
        files = sorted(p.name for p in path.parent.iterdir())
        assert files == [
            "here-polygons.geojson", "here-probabilities.tif", "here.stac.json", "here.tif",
        ]  # fmt: skip
        pixels.append([(tmp_path / name / file).read_bytes() for file in files])
    assert pixels[0] == pixels[1]


def test_pixels_without_data_stay_so_and_windows_without_any_are_no_trouble(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    pixels = np.ones((70, 100), np.uint8)
    pixels[:, 60:] = 0
    pixels[30:33, 10:20] = 0
    task, scene = task_with(), opened(pixels=pixels)
    path = predict(task, scene, tmp_path / "out", kernel, wave)
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1) == 255, pixels == 0)
        assert found.nodata == 255
    nothing = opened(pixels=np.zeros((70, 100), np.uint8))
    path = predict(task, nothing, tmp_path / "none", kernel, wave)
    with rasterio.open(path) as found:
        assert (found.read(1) == 255).all()


@pytest.mark.parametrize(("size", "chip"), [(100, 64), (1500, 500)])
def test_files_are_cloud_optimized_with_the_classes_colors(
    opened: MakeScene, kernel: Kernel, tmp_path: Path, size: int, chip: int
) -> None:
    task = task_with(predict={"probabilities": True, "rgb": True}, chip_size=chip)
    scene = opened(pixels=np.ones((size, size), np.uint8))
    constant = np.broadcast_to(np.array([0.3, 0.7], np.float32), (chip, chip, 2))
    path = predict(task, scene, tmp_path / "out", kernel, lambda _: PixelLabels(None, constant))
    for file in path.parent.glob("*.tif"):
        valid, errors, warnings = cog_validate(file, strict=True)
        assert valid, (errors, warnings)
    with rasterio.open(path) as found:
        assert found.colormap(1)[0] == (0xCC, 0x33, 0x11, 255)
        assert found.crs == scene.raster.crs
        assert found.transform == scene.raster.transform
        assert json.loads(found.tags()["RV_CLASSES"]) == ["roof", "ground"]
        assert len(found.overviews(1)) == (2 if size > 1024 else 0)


def test_windows_that_are_votes_are_blended_too(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    def votes(window: Window) -> PixelLabels:
        mask = np.full((window.height, window.width), 1, np.uint8)
        cols = np.arange(window.width) + window.col_off
        mask[:, cols < 40] = 0
        mask[:, cols >= 90] = 255
        return PixelLabels(mask)

    path = predict(task_with(), opened(), tmp_path / "out", kernel, votes)
    with rasterio.open(path) as found:
        expected = np.repeat([0, 1, 255], [40, 50, 10])
        assert (found.read(1) == expected).all()


def test_a_model_that_says_something_else_is_told_so(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    odd = PixelLabels(None, np.zeros((32, 32, 3), np.float32))
    with pytest.raises(ModelError, match=r"\(32, 32, 3\) for a window of 32 x 32 px and 2 classes"):
        predict(task_with(), opened(), tmp_path / "out", kernel, lambda _: odd)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (PixelLabels(None, np.full((32, 32, 2), np.nan, np.float32)), "are no numbers"),
        (PixelLabels(np.full((32, 32), 7, np.uint8)), "predicts class 7, and there are 0 to 1"),
    ],
)
def test_a_model_that_makes_no_sense_is_not_taken_for_the_first_class(
    opened: MakeScene, kernel: Kernel, tmp_path: Path, odd: PixelLabels, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        predict(task_with(), opened(), tmp_path / "out", kernel, lambda _: odd)


def test_polygons_of_a_picture_cannot_be_measured_and_it_is_said_before_the_run(
    opened: MakeScene, kernel: Kernel, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    with rasterio.open(
        path, "w", driver="PNG", width=50, height=50, count=1, dtype="uint8"
    ) as sink:
        sink.write(np.ones((1, 50, 50), np.uint8))
    picture = RasterSource.open(RasterConfig.of(path), kernel)
    scene = Scene(id="p", raster=picture, features=None, aoi=np.empty(0, object))
    task = task_with(predict={"polygons": PolygonOptions(min_area=2)})
    task.check_scene(opened())
    with pytest.raises(ConfigError, match="cannot be measured in square metres"):
        task.check_scene(scene)
    task_with(predict={"polygons": PolygonOptions(min_area=2, min_area_units="px")}).check_scene(
        scene
    )


def test_options_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown class 'hut'"):
        task_with(background_class="hut")
    with pytest.raises(ConfigError, match="unknown class 'hut'"):
        task_with(chip={"target_classes": ["hut"]})
    with pytest.raises(ConfigError, match="unknown class 'hut'"):
        task_with(predict={"polygons": PolygonOptions(classes="hut")})
    with pytest.raises(ConfigError, match="leave gaps"):
        task_with(predict={"stride": 33})
