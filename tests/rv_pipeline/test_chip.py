"""Cutting chips: which, how many, by how many processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import rasterio
from rv_pipeline.commands import _chip_blocks
from rv_pipeline.runners.local import RunOptions
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.task import task_of

from rv_core import ChipManifest, DataError, Kernel, Window
from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    ChipOptions,
    DatasetConfig,
    Experiment,
    RasterLabelConfig,
    SceneConfig,
    run,
)

Make = Callable[..., Experiment]


def chips(experiment: Experiment, kernel: Kernel) -> ChipManifest:
    text = (Path(experiment.output_uri("chip")) / "manifest.json").read_text()
    return ChipManifest.from_dict(json.loads(text))


def test_chips_are_the_cells_with_their_classes(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    run(made, ["analyze", "chip"], kernel=kernel)
    manifest = chips(made, kernel)
    roofs = len(json.loads((tmp_path / "data/north.geojson").read_text())["features"])
    assert manifest.class_counts("train") == {0: roofs, 1: 64 - roofs}
    assert manifest.count("validation") == 64
    assert manifest.spec.size == (16, 16)
    backend = kernel.backend("TOY_CLASSIFICATION")(
        kernel.backend_config("TOY_CLASSIFICATION"), kernel
    )
    for chip in backend.read_chips(made.output_uri("chip"), "train"):
        bright = chip.pixels.mean() > 125
        assert bright == (chip.label.class_id == 0), chip.window


def test_a_smaller_stride_cuts_overlapping_chips_to_train_on_alone(
    experiment: Make, kernel: Kernel
) -> None:
    made = experiment(chip=ChipOptions(stride=8))
    run(made, ["analyze", "chip"], kernel=kernel)
    assert chips(made, kernel).count("train") == 15 * 15
    assert chips(made, kernel).count("validation") == 64


@pytest.mark.slow
def test_several_processes_make_the_same_chips(
    experiment: Make, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_chip_blocks, "_BLOCK_BYTES", 20 * 16 * 16 * 3)
    alone, together = (experiment(root_uri=str(tmp_path / name)) for name in ("one", "two"))
    run(alone, ["analyze", "chip"], kernel=kernel)
    run(together, ["analyze", "chip"], kernel=kernel, options=RunOptions(workers=2))
    one, two = chips(alone, kernel), chips(together, kernel)
    assert len(one.splits["train"]) == 4
    assert [s.sha256 for s in one.splits["train"]] == [s.sha256 for s in two.splits["train"]]


@pytest.mark.slow
def test_what_fails_in_a_worker_is_told_as_it_is(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    run(made, ["analyze", "chip"], kernel=kernel)
    image = tmp_path / "data/north.tif"
    data = image.read_bytes()
    image.write_bytes(data[: len(data) * 2 // 3])  # its header is whole
    before = {p: p.read_bytes() for p in Path(made.output_uri("chip")).rglob("*") if p.is_file()}
    options = RunOptions(workers=2)
    with pytest.raises(DataError, match=r"north\.tif"):
        run(made, ["chip"], kernel=kernel, options=options)
    after = {p: p.read_bytes() for p in Path(made.output_uri("chip")).rglob("*") if p.is_file()}
    assert after == before  # the earlier chips are whole, and nothing was added


def test_earlier_chips_go_when_new_ones_are_there(experiment: Make, kernel: Kernel) -> None:
    run(experiment(), ["analyze", "chip"], kernel=kernel)
    made = experiment(chip=ChipOptions(stride=8))
    run(made, ["analyze", "chip"], kernel=kernel)
    folder = Path(made.output_uri("chip"))
    shards = {s.name for split in chips(made, kernel).splits.values() for s in split}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == shards | {"manifest.json", "_done.json"}


def test_an_empty_training_split_is_refused(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    cells = CellOptions(size=16, ioc_threshold=0.5)
    empty = tmp_path / "data/north.geojson"
    data = json.loads(empty.read_text())
    # A roof that covers a hundredth of one cell.
    (x, y), *_ = data["features"][0]["geometry"]["coordinates"][0]
    ring = [[x, y], [x + 0.8, y], [x + 0.8, y - 0.8], [x, y - 0.8], [x, y]]
    data["features"] = [data["features"][0]]
    data["features"][0]["geometry"]["coordinates"] = [ring]
    empty.write_text(json.dumps(data))
    made = experiment()
    made = attrs.evolve(made, task=attrs.evolve(made.task, cells=cells))
    with pytest.raises(
        DataError, match="training split is empty: none of the 64 windows of north"
    ) as caught:
        run(made, kernel=kernel)
    assert "cells.ioc_threshold" in str(caught.value.hint)
    assert not (Path(made.output_uri("chip")) / "manifest.json").exists()


def test_scenes_that_differ_in_bands_are_refused(
    experiment: Make, scene: Callable[..., SceneConfig], kernel: Kernel
) -> None:
    made = experiment()
    gray = scene("gray", seed=4)
    gray = attrs.evolve(gray, raster=attrs.evolve(gray.raster, channel_order=(0,)))
    mixed = attrs.evolve(made, dataset=DatasetConfig(train=made.dataset.train, validation=gray))
    with pytest.raises(DataError, match="'gray' has 1 band of uint8, 'north' has 3 bands"):
        run(mixed, kernel=kernel)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = """
import os
import time
from rv_core import Kernel
from rv_pipeline.commands.workers import Work, do_blocks

class Worker:
    def __init__(self, around): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def __call__(self, block):
        time.sleep(block)
        return os.getpid()

if __name__ == "__main__":
    done = do_blocks(
        Work("CHIP", Worker, ()), [0, 600, 600], 2, Kernel(),
        on_tick=lambda n: None, should_stop=lambda: False,
    )
    print(next(done), flush=True)
    next(done)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_labels_lie_where_the_pixels_are(experiment: Make, kernel: Kernel) -> None:
    made = experiment(chip=ChipOptions(stride=16))
    run(made, ["analyze", "chip"], kernel=kernel)
    backend = kernel.backend("TOY_CLASSIFICATION")(
        kernel.backend_config("TOY_CLASSIFICATION"), kernel
    )
    windows = [s.window for s in backend.read_chips(made.output_uri("chip"), "train")]
    places = np.array([(w.row_off, w.col_off) for w in windows])
    assert sorted(map(tuple, places.tolist())) == [
        (r, c) for r in range(0, 128, 16) for c in range(0, 128, 16)
    ]


def test_there_are_as_many_random_chips_as_were_asked_for(experiment: Make, kernel: Kernel) -> None:
    """A scene that hardly holds more than one chip gives the same one again."""
    cells = CellOptions(size=127, background_class="ground", infer_cells=True)
    made = experiment(
        task=ChipClassificationConfig(classes=["roof", "ground"], cells=cells),
        chip=ChipOptions(windows="random", chips_per_scene=50),
    )
    run(made, ["analyze", "chip"], kernel=kernel)
    assert chips(made, kernel).count("train") == 50


def test_a_scene_smaller_than_a_cell_can_be_predicted_but_not_learnt_from(
    experiment: Make, kernel: Kernel, scene: Callable[..., SceneConfig]
) -> None:
    task = task_of(experiment(), kernel)
    config = scene("tiny", size=10, cell=5)
    with open_scene(config, kernel, with_labels=False) as tiny:
        task.check_scene(tiny)
        assert task.predict_windows(tiny.extent, tiny.extent) == [Window(0, 0, 16, 16)]
    match = "16 x 16 px is larger than the scene of 10 x 10 px"
    with (
        open_scene(config, kernel, classes=task.classes) as tiny,
        pytest.raises(DataError, match=match),
    ):
        task.check_scene(tiny)


def test_random_chips_lie_in_the_area_of_interest_as_many_as_were_asked_for(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    labels = json.loads((tmp_path / "data/north.geojson").read_text())
    ring = [[500_000 + x, 5_000_000 - y] for x, y in ((0, 0), (32, 0), (32, 16), (0, 16), (0, 0))]
    square = {"type": "Polygon", "coordinates": [ring]}
    labels["features"] = [{"type": "Feature", "properties": {}, "geometry": square}]
    (tmp_path / "aoi.geojson").write_text(json.dumps(labels))
    made = experiment(chip=ChipOptions(windows="random", chips_per_scene=50))
    train = attrs.evolve(made.dataset.train[0], aoi_uris=str(tmp_path / "aoi.geojson"))
    made = attrs.evolve(made, dataset=DatasetConfig(train=train))
    run(made, ["analyze", "chip"], kernel=kernel)
    assert chips(made, kernel).count("train") == 50


def test_labels_that_are_pixels_are_refused_where_vectors_are_needed(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    with rasterio.open(made.dataset.train[0].raster.uris[0]) as source:
        profile = {**source.profile, "count": 1}
    with rasterio.open(tmp_path / "mask.tif", "w", **profile) as sink:
        sink.write(np.zeros((1, 128, 128), np.uint8))
    labels = RasterLabelConfig(uris=str(tmp_path / "mask.tif"))
    train = attrs.evolve(made.dataset.train[0], labels=labels)
    with pytest.raises(DataError, match="'north' are a raster, where CHIP_CLASSIFICATION needs"):
        run(attrs.evolve(made, dataset=DatasetConfig(train=train)), kernel=kernel)
