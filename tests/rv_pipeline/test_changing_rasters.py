"""Rasters that change under our hands, and rasters that hold nothing."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig
from rv_pipeline.runners.local import RunOptions

from rv_core import DataError, Kernel, Progress, Window
from rv_pipeline import Experiment, SceneConfig, run


def write(path: Path, value: int, size: int = 64, left: int = 0, **options: Any) -> str:
    """A GeoTIFF of one value; written elsewhere and renamed, as careful programs do."""
    part = path.with_suffix(".part")
    with rasterio.open(
        part, "w", driver="GTiff", width=size, height=size, count=3, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(5e5 + left, 5e6, 1, 1), **options,
    ) as sink:  # fmt: skip
        sink.write(np.full((3, size, size), value, np.uint8))
    part.replace(path)
    return str(path)


WINDOW = Window(0, 0, 8, 8)


def test_a_raster_that_changes_is_not_read_on(tmp_path: Path, kernel: Kernel) -> None:
    path = write(tmp_path / "a.tif", 1)
    raster = RasterSource.open(RasterConfig.of(path), kernel)
    packed = pickle.dumps(raster)
    assert (raster.read(WINDOW)[0] == 1).all()
    write(tmp_path / "a.tif", 2)
    for stale in (raster, pickle.loads(packed)):
        with pytest.raises(DataError, match=r"a\.tif changed while it was in use") as error:
            stale.read(WINDOW)
        assert error.value.hint is not None
    assert (RasterSource.open(RasterConfig.of(path), kernel).read(WINDOW)[0] == 2).all()


def test_one_file_of_a_mosaic_that_changes_is_named(tmp_path: Path, kernel: Kernel) -> None:
    uris = [write(tmp_path / "a.tif", 1), write(tmp_path / "b.tif", 1, left=64)]
    raster = RasterSource.open(RasterConfig(uris=uris), kernel)
    os.utime(uris[1], (1, 1))
    assert (raster.read(WINDOW)[0] == 1).all()
    with pytest.raises(DataError, match=r"b\.tif changed"):
        raster.read(Window(60, 0, 8, 8))


def test_a_raster_that_is_gone_is_named(tmp_path: Path, kernel: Kernel) -> None:
    path = write(tmp_path / "a.tif", 1)
    raster = RasterSource.open(RasterConfig.of(path), kernel)
    Path(path).unlink()
    with pytest.raises(DataError, match=r"a\.tif changed"):
        raster.read(WINDOW)


# --- in experiments


def brighten(scene: SceneConfig) -> None:
    """Other pixels in a file of the same size."""
    path = scene.raster.uris[0]
    with rasterio.open(path) as source:
        pixels, profile = source.read(), source.profile
    part = f"{path}.part"
    with rasterio.open(part, "w", **profile) as sink:
        sink.write(np.minimum(pixels, 245) + 10)
    Path(part).replace(path)


@pytest.mark.slow
def test_a_raster_that_changed_between_chips_and_predictions_is_chipped_anew(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    made = experiment()
    run(made, ("analyze", "chip", "train"), kernel=kernel)
    brighten(made.dataset.validation[0])
    reports = {report.command: report for report in run(made, kernel=kernel)}
    assert reports["analyze"].status == "skipped"
    for command, status in (("chip", "done"), ("predict", "done")):
        assert reports[command].status == status
    assert "south.tif changed" in reports["chip"].reason


@pytest.mark.slow
@pytest.mark.parametrize("command", ["CHIP", "PREDICT"])
def test_a_raster_that_changes_while_a_command_reads_it_fails_the_command(
    experiment: Callable[..., Experiment], kernel: Kernel, command: str
) -> None:
    made = experiment()
    changed: list[str] = []

    def change(progress: Progress) -> None:
        if progress.stage == command and not changed:
            changed.append(command)
            brighten(made.dataset.validation[0])

    with pytest.raises(DataError, match=r"south\.tif changed while"):
        run(made, kernel=kernel, options=RunOptions(on_progress=change))
    reports = {report.command: report.status for report in run(made, kernel=kernel)}
    assert set(reports.values()) <= {"done", "skipped"}
    assert reports[command.lower()] == "done"


@pytest.mark.slow
def test_windows_without_data_become_no_chips_and_no_predictions(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    made = experiment()
    for scene in (*made.dataset.train, *made.dataset.validation):
        with rasterio.open(scene.raster.uris[0], "r+") as sink:
            sink.nodata = 0
            pixels = sink.read()
            pixels[:, :, :64] = 0  # the left half
            sink.write(pixels)
    run(made, ("analyze", "chip", "train", "predict"), kernel=kernel)
    backend = kernel.backend("TOY_CLASSIFICATION")(
        kernel.backend_config("TOY_CLASSIFICATION"), kernel
    )
    chips = list(backend.read_chips(made.output_uri("chip"), "train"))
    assert len(chips) == 32
    assert all(chip.window.col_off >= 64 for chip in chips)
    path = Path(made.output_uri("predict")) / "south.geojson"
    assert len(json.loads(path.read_text())["features"]) == 32


def test_scenes_without_any_data_are_named(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    made = experiment()
    with rasterio.open(made.dataset.train[0].raster.uris[0], "r+") as sink:
        sink.nodata = 0
        sink.write(np.zeros((3, sink.height, sink.width), np.uint8))
    with pytest.raises(DataError, match=r"none of the pixels looked at in .*north\.tif has data"):
        run(made, ("analyze",), kernel=kernel)
