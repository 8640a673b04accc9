"""Object detection from an experiment to a bundle, with a third party's backend."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pystac
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rv_pipeline.label_stores import StoredBoxes, read_boxes, write_boxes
from rv_pipeline.rasters import RasterSource
from rv_pipeline.runners.local import RunOptions
from rv_pipeline.tasks.object_detection import ObjectDetection
from rv_pipeline.tasks.task import Predicted, find_task

from rv_core import (
    BoxLabels,
    ChipManifest,
    ClassMap,
    ConfigError,
    DataError,
    Kernel,
    ModelError,
    Window,
)
from rv_pipeline import (
    DatasetConfig,
    DetectionChipOptions,
    DetectionPredictOptions,
    Experiment,
    ObjectDetectionConfig,
    Predictor,
    RasterConfig,
    SceneConfig,
    open_scene,
    run,
)
from rv_pipeline import boxes as geometry

CLASSES = ClassMap.of("car", "boat")
COLORS = [(230, 60, 60), (60, 60, 230)]
GROUND = (90, 120, 80)

Draw = Callable[..., SceneConfig]
Make = Callable[..., Experiment]

# With chips of 64 px, 32 px apart: on seams, across them, larger than half a chip, at the border
# of the scene, and two that touch.
OBJECTS = [
    (0, 32, 20, 64, 40),
    (1, 96, 50, 128, 78),
    (0, 50, 100, 70, 160),
    (1, 120, 150, 180, 210),
    (0, 10, 180, 30, 200),
    (0, 0, 225, 12, 240),
    (1, 180, 20, 199, 30),
    (1, 180, 31, 199, 50),
    (0, 150, 64, 160, 96),
]


def as_boxes(objects: list[tuple[int, ...]]) -> StoredBoxes:
    rows = np.array(objects, float).reshape(-1, 5)
    return StoredBoxes(rows[:, 1:], rows[:, 0].astype(int))


def scattered(seed: int, height: int, width: int, count: int = 12) -> list[tuple[int, ...]]:
    generator = np.random.default_rng(seed)
    found: list[tuple[int, ...]] = []
    for _ in range(count):
        h, w = generator.integers(6, 30, 2)
        y, x = generator.integers(0, height - h), generator.integers(0, width - w)
        box = np.array([[y - 2, x - 2, y + h + 2, x + w + 2]], float)
        if not geometry.iou(box, as_boxes(found).boxes).any():
            found.append((int(generator.integers(0, 2)), int(y), int(x), int(y + h), int(x + w)))
    return found


@pytest.fixture
def draw(tmp_path: Path, kernel: Kernel) -> Draw:
    """Draw a scene of bright objects on quiet ground, and write its labels."""

    def make(
        name: str, objects: list[tuple[int, ...]], height: int = 200, width: int = 240
    ) -> SceneConfig:
        generator = np.random.default_rng(len(name))
        pixels = generator.normal(GROUND, 4, (height, width, 3))
        for class_id, top, left, bottom, right in objects:
            pixels[top:bottom, left:right] = COLORS[class_id]
        image, labels = tmp_path / f"{name}.tif", tmp_path / f"{name}.geojson"
        transform = from_origin(500_000, 5_000_000, 0.5, 0.5)
        with rasterio.open(
            *(image, "w", "GTiff", width, height, 3, "EPSG:32633", transform, "uint8")
        ) as sink:
            sink.write(pixels.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
        with RasterSource.open(RasterConfig.of(image), kernel) as raster:
            write_boxes(str(labels), as_boxes(objects), raster, CLASSES, kernel)
        return SceneConfig(id=name, raster=str(image), labels=str(labels))

    return make


@pytest.fixture
def experiment(draw: Draw, tmp_path: Path) -> Make:
    train = draw("train", scattered(1, 200, 240))
    validation = draw("validation", OBJECTS)

    def make(**fields: Any) -> Experiment:
        given: dict[str, Any] = {
            "id": "cars",
            "root_uri": str(tmp_path / "out"),
            "task": ObjectDetectionConfig(classes=CLASSES, chip_size=64),
            "backend": {"backend": "TOY_DETECTION"},
            "dataset": DatasetConfig(train=train, validation=validation),
        }
        return Experiment(**{**given, **fields})

    return make


def stored(path: Path, scene: SceneConfig, kernel: Kernel) -> StoredBoxes:
    with RasterSource.open(scene.raster, kernel) as raster:
        return read_boxes(str(path), raster, CLASSES, kernel)


def same(found: StoredBoxes, objects: list[tuple[int, ...]]) -> None:
    rows = zip(found.class_ids.tolist(), np.rint(found.boxes).tolist(), strict=True)
    assert sorted((i, *map(int, box)) for i, box in rows) == sorted(objects)


def test_every_object_is_found_once_wherever_it_lies(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    reports = {report.command: report for report in run(made, kernel=kernel)}
    path = tmp_path / "out/predict/cars/validation.geojson"
    found = stored(path, made.dataset.validation[0], kernel)
    same(found, OBJECTS)
    assert found.scores is not None
    assert (np.diff(found.scores) <= 0).all()
    item = pystac.Item.from_file(str(path.with_suffix(".stac.json")))
    assert item.assets["boxes"].get_absolute_href() == str(path)
    figures = json.loads((tmp_path / "out/eval/cars/eval.json").read_text())
    overall = figures["overall"]
    assert (overall["ap"], overall["boxes"], overall["count_error"]) == (1.0, len(OBJECTS), 0)
    assert overall["classes"]["boat"]["recall"] == 1.0
    confusion = {"classes": ["car", "boat", "nothing"], "counts": [[5, 0, 0], [0, 4, 0], [0, 0, 0]]}
    assert overall["confusion_matrix"] == figures["scenes"]["validation"]["confusion_matrix"]
    assert overall["confusion_matrix"] == confusion
    assert figures["scenes"]["validation"]["ap50"] == 1.0
    assert "AP 1.000 (AP50 1.000)" in reports["eval"].summary["line"]


@pytest.mark.slow
def test_several_processes_and_a_bundle_find_the_same(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    run(made, kernel=kernel)
    other = experiment(root_uri=str(tmp_path / "other"))
    run(other, kernel=kernel, options=RunOptions(workers=2))
    path = tmp_path / "out/predict/cars/validation.geojson"
    again = tmp_path / "other/predict/cars/validation.geojson"
    assert path.read_bytes() == again.read_bytes()
    manifests = [
        ChipManifest.from_dict(json.loads((root / "chip/cars/manifest.json").read_text()))
        for root in (tmp_path / "out", tmp_path / "other")
    ]
    one, two = ([s.sha256 for s in m.splits["train"]] for m in manifests)
    assert one == two
    out = tmp_path / "found.geojson"
    with Predictor(tmp_path / "out/bundle/cars/bundle.zip", kernel) as predictor:
        assert predictor.predict(made.dataset.validation[0].raster.uris[0], out) == len(OBJECTS)
    assert out.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_blocks_leave_no_seams(
    experiment: Make, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scene in 20 blocks instead of one."""
    made = experiment()
    run(made, kernel=kernel)
    monkeypatch.setattr("rv_pipeline.tasks.task.BLOCK_SIZE", 50)
    other = experiment(root_uri=str(tmp_path / "other"))
    run(other, kernel=kernel)
    whole = (tmp_path / "out/predict/cars/validation.geojson").read_bytes()
    assert (tmp_path / "other/predict/cars/validation.geojson").read_bytes() == whole


@pytest.mark.slow
def test_an_image_smaller_than_a_chip_is_predicted(
    experiment: Make, draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    objects = [(0, 5, 5, 20, 25), (1, 28, 30, 40, 50)]
    small = draw("small", objects, 40, 50)
    made = experiment()
    dataset = attrs.evolve(made.dataset, test=small)
    run(experiment(dataset=dataset), kernel=kernel)
    same(stored(tmp_path / "out/predict/cars/small.geojson", small, kernel), objects)


def test_images_that_are_chips(
    experiment: Make, draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    train = [draw(f"chip-{n}", scattered(n, 60, 64, 3), 60, 64) for n in range(4)]
    chip = DetectionChipOptions(windows="image")
    made = experiment(chip=chip, dataset=DatasetConfig(train=train[:3], validation=train[3]))
    run(made, kernel=kernel)
    backend = kernel.backend("TOY_DETECTION")(kernel.backend_config("TOY_DETECTION"), kernel)
    samples = list(backend.read_chips(str(tmp_path / "out/chip/cars"), "train"))
    assert [s.window for s in samples] == [Window(0, 0, 64, 64)] * 3
    with pytest.raises(DataError, match=r"240 x 200 px .* larger than a chip of 64 x 64"):
        run(experiment(id="large", chip=chip), kernel=kernel)


def task(chip: DetectionChipOptions | None = None, **predict: Any) -> ObjectDetection:
    config = ObjectDetectionConfig(classes=CLASSES, chip_size=64)
    found = find_task(config, Kernel(plugins=[]), chip, DetectionPredictOptions(**predict))
    assert isinstance(found, ObjectDetection)
    return found


def windows_of(chip: DetectionChipOptions, scene: SceneConfig, kernel: Kernel) -> Any:
    """The training windows of a scene, and how many boxes are on each."""
    with open_scene(scene, kernel, classes=CLASSES) as opened:
        found = task(chip)
        windows = found.chip_windows(opened, "train")
        labels = found.label(opened, windows)
    assert all(isinstance(label, BoxLabels) for label in labels)
    return windows, np.array([len(label.boxes) for label in labels])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "positive", "negative"),
    [
        ({}, len(OBJECTS), len(OBJECTS)),
        ({"neg_ratio": 0}, len(OBJECTS), 0),
        ({"chips_per_scene": 40, "neg_ratio": 0.25}, 32, 8),
        ({"windows": "label", "neg_ratio": 1}, len(OBJECTS), len(OBJECTS)),
    ],
)
def test_so_many_chips_with_objects_and_without(
    draw: Draw, kernel: Kernel, options: dict[str, Any], positive: int, negative: int
) -> None:
    scene = draw("harbour", OBJECTS)
    windows, counts = windows_of(DetectionChipOptions(**options), scene, kernel)
    assert len(windows) == len(set(windows))
    assert ((counts > 0).sum(), (counts == 0).sum()) == (positive, negative)


def test_sliding_chips_are_the_grid_less_what_shows_half_an_object(
    draw: Draw, kernel: Kernel
) -> None:
    scene = draw("harbour", OBJECTS)
    options = DetectionChipOptions(windows="sliding", stride=64)
    windows, _ = windows_of(options, scene, kernel)
    assert Window(0, 0, 64, 64) in windows
    assert Window(0, 64, 64, 64) not in windows  # half of an object is in it
    fewer, _ = windows_of(attrs.evolve(options, chips_per_scene=3), scene, kernel)
    assert len(fewer) == 3
    assert set(fewer) < set(windows)


def test_a_scene_without_labels_gives_negatives(draw: Draw, kernel: Kernel) -> None:
    scene = draw("empty", [])
    for options, expected in (
        (DetectionChipOptions(), 1),
        (DetectionChipOptions(chips_per_scene=7), 7),
        (DetectionChipOptions(neg_ratio=0), 0),
    ):
        _, counts = windows_of(options, scene, kernel)
        assert counts.tolist() == [0] * expected


def test_labels_that_fit_no_chip_are_said(
    draw: Draw, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    scene = draw("ferry", [(1, 20, 20, 150, 200), (0, 170, 10, 180, 20)])
    with caplog.at_level(logging.WARNING):
        windows_of(DetectionChipOptions(), scene, kernel)
    assert "scene 'ferry': 1 of its 2 labels are on no chip" in caplog.text


def test_evaluation_leaves_out_what_is_beyond_the_area_of_interest(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    """The AOI is the left half: objects beyond it need not be labelled, nor be found."""
    made = experiment()
    scene = made.dataset.validation[0]
    aoi = tmp_path / "aoi.geojson"
    with RasterSource.open(scene.raster, kernel) as raster:
        half = StoredBoxes(np.array([[0.0, 0, 200, 120]]), np.array([0]))
        write_boxes(str(aoi), half, raster, CLASSES, kernel)
    validation = attrs.evolve(scene, aoi_uris=str(aoi))
    dataset = attrs.evolve(made.dataset, validation=validation)
    run(experiment(dataset=dataset), kernel=kernel)
    overall = json.loads((tmp_path / "out/eval/cars/eval.json").read_text())["overall"]
    assert overall["boxes"] == sum(right <= 120 for *_, right in OBJECTS) == 5
    assert (overall["ap"], overall["predicted"]) == (1.0, 5)


def test_a_stride_that_leaves_gaps_is_refused() -> None:
    with pytest.raises(ConfigError, match="stride is 65"):
        task(stride=65)


def predicted(
    kernel: Kernel,
    scene: SceneConfig,
    tmp_path: Path,
    label: Any,
    nodata: NDArray[Any] | None = None,
) -> StoredBoxes:
    """What comes of one window's prediction."""
    found = task()
    with open_scene(scene, kernel, with_labels=False) as opened:
        window, part = Window(0, 0, 64, 64), tmp_path / "part"
        found.write_part(part, opened, window, iter([Predicted(window, label, nodata)]))
        found.write_predictions(tmp_path, "one", opened, [(window, part)], kernel)  # type: ignore[list-item]
    return stored(tmp_path / "one.geojson", scene, kernel)


def labels(*boxes: tuple[float, ...], scores: float = 0.9, class_id: int = 0) -> BoxLabels:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.full(len(rows), class_id)
    return BoxLabels(rows, ids, np.full(len(rows), scores, np.float32))


def test_boxes_with_low_scores_without_area_or_on_nodata_are_dropped(
    draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    scene = draw("bay", [(0, 0, 0, 9, 9)])
    nodata = np.zeros((64, 64), bool)
    nodata[:, 40:] = True
    given = labels((5, 5, 20, 20), (30, 30, 30, 40), (10, 45, 20, 60), (-9, 35, 8, 50))
    found = predicted(kernel, scene, tmp_path, given, nodata)
    assert sorted(found.boxes.round(3).tolist()) == [[0, 35, 8, 50], [5, 5, 20, 20]]
    assert len(predicted(kernel, scene, tmp_path, labels((5, 5, 20, 20), scores=0.49))) == 0


@pytest.mark.parametrize(
    ("label", "complaint"),
    [
        (BoxLabels(np.zeros((1, 4), np.float32), np.zeros(1, int)), "without scores"),
        (labels((0, 0, float("nan"), 9)), "no numbers"),
        (labels((0, 0, 9, 9), class_id=2), "classes 2 to 2"),
        (labels((0, 0, 9, 9), class_id=-1), "classes -1 to -1"),
        (attrs.evolve(labels((0, 0, 9, 9)), class_ids=np.zeros(2, int)), "2 classes"),
        (None, "predicts NoneType"),
    ],
)
def test_a_model_that_talks_nonsense_is_told_so(
    draw: Draw, kernel: Kernel, tmp_path: Path, label: Any, complaint: str
) -> None:
    scene = draw("bay", [(0, 0, 0, 9, 9)])
    with pytest.raises(ModelError, match=complaint):
        predicted(kernel, scene, tmp_path, label)


def test_predictions_can_be_shown_window_by_window(
    draw: Draw, kernel: Kernel, tmp_path: Path
) -> None:
    scene = draw("harbour", OBJECTS)
    with open_scene(scene, kernel, classes=CLASSES) as opened:
        found = task()
        (whole,) = found.display_windows(opened.extent)
        (truth,) = found.label(opened, [whole])
        assert isinstance(truth, BoxLabels)
        np.testing.assert_allclose(truth.boxes, as_boxes(OBJECTS).boxes, atol=1e-3)
        uri = str(scene.labels.uris[0])  # type: ignore[union-attr]
        with pytest.raises(DataError, match="boxes without scores"):
            found.read_predictions(uri, opened, kernel)
        scored = attrs.evolve(as_boxes(OBJECTS), scores=np.ones(len(OBJECTS), np.float32))
        write_boxes(str(tmp_path / "scored.geojson"), scored, opened.raster, CLASSES, kernel)
        with found.read_predictions(str(tmp_path / "scored.geojson"), opened, kernel) as boxes:
            (shown,) = boxes.labels([Window(60, 90, 100, 50)])
    assert isinstance(shown, BoxLabels)
    assert len(shown.boxes) == 2
    assert shown.boxes[0].tolist() == pytest.approx([6, 0, 38, 18], abs=1e-3)
    assert shown.scores is not None
    assert shown.scores.tolist() == [1, 1]


@pytest.mark.slow
def test_the_figures_are_tables_for_people(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), kernel=kernel)
    overall = json.loads((tmp_path / "out/eval/cars/eval.json").read_text())["overall"]
    (table,) = task().tables(overall)
    assert [row[0] for row in table.rows] == ["car", "boat", "all classes"]
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert row == {
        "class": "car",
        "AP": "1.000",
        "AP50": "1.000",
        "AP75": "1.000",
        "precision": "1.000",
        "recall": "1.000",
        "F1": "1.000",
        "support": "5",
        "predicted": "5",
        "count error": "+0",
    }
    nothing = task().evaluate([], kernel)["overall"]
    assert task().headline(nothing) == "no labelled boxes"
    assert task().tables(nothing)[0].rows[0][1] == "-"
