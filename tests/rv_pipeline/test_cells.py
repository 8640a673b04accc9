"""Which class a cell is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rv_pipeline.scenes import SceneConfig, open_scene
from rv_pipeline.tasks.chip_classification import CellOptions, covered_shares, label_cells
from rv_pipeline.vectors import Features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassMap, ConfigError, Kernel, Window
from rv_pipeline import windows

CLASSES = ClassMap.of("building", "road", "background")
CELL = [Window(100, 200, 10, 10)]


def features(*labels: tuple[str, Any]) -> Features:
    geometries = np.empty(len(labels), object)
    geometries[:] = [shape for _, shape in labels]
    return Features(geometries, np.array([CLASSES.id_of(name) for name, _ in labels], np.int64))


def part(x0: float, y0: float, x1: float, y1: float) -> Any:
    """A rectangle in pixels from the upper left corner of `CELL`."""
    return shapely.box(100 + x0, 200 + y0, 100 + x1, 200 + y1)


def label(labels: Features, cells: Sequence[Window] = CELL, **options: Any) -> list[str | None]:
    ids = label_cells(cells, labels, CLASSES, CellOptions(size=10, **options))
    return [None if i == -1 else CLASSES.name_of(i) for i in ids.tolist()]


def test_a_cell_is_of_the_class_that_covers_enough_of_it() -> None:
    most, little = features(("road", part(0, 0, 6, 10))), features(("road", part(0, 0, 4, 10)))
    assert label(most) == ["road"]
    assert label(little) == [None]
    assert label(little, background_class="background") == ["background"]
    assert label(little, ioc_threshold=0.4) == ["road"]


def test_features_of_one_class_count_together_and_overlaps_once() -> None:
    halves = features(("road", part(0, 0, 3, 10)), ("road", part(7, 0, 10, 10)))
    assert label(halves) == ["road"]
    twice = features(("road", part(0, 0, 3, 10)), ("road", part(0, 0, 3, 10)))
    assert label(twice) == [None]


def test_empty_cells_are_left_out_or_inferred() -> None:
    far = features(("road", part(50, 50, 60, 60)))
    assert label(far, background_class="background") == [None]
    assert label(far, background_class="background", infer_cells=True) == ["background"]
    none_at_all = features()
    assert label(none_at_all, background_class="background", infer_cells=True) == ["background"]


def test_labels_may_be_cells_already() -> None:
    """Cells drawn in another CRS come back with edges that are a little off."""
    grid = windows.grid(Window(0, 0, 40, 40), 10)
    drawn = [shapely.affinity.translate(box, 1e-8, -1e-8) for box in windows.boxes(grid)[5:7]]
    found = label(
        features(("road", drawn[0]), ("building", drawn[1])), grid, ioc_threshold=1.0,
        background_class="background",
    )  # fmt: skip
    assert found == [None] * 5 + ["road", "building"] + [None] * 9


def test_the_largest_area_wins_or_the_smallest() -> None:
    both = features(("road", part(0, 0, 4, 10)), ("building", part(4, 0, 10, 10)))
    assert label(both, ioc_threshold=0.2) == ["building"]
    assert label(both, ioc_threshold=0.2, pick_smallest=True) == ["road"]
    assert label(both, ioc_threshold=0.5, pick_smallest=True) == ["building"]
    even = features(("road", part(0, 0, 5, 10)), ("building", part(5, 0, 10, 10)))
    assert label(even, ioc_threshold=0.2) == ["building"]


def test_only_what_lies_in_the_scene_counts() -> None:
    cells = [Window(6, 0, 10, 10)]  # 4 px of 10 lie in the scene
    labels = features(("road", shapely.box(6, 0, 10, 10)))
    extent = Window(0, 0, 10, 10)
    options = CellOptions(size=10)
    assert label_cells(cells, labels, CLASSES, options).tolist() == [-1]
    assert label_cells(cells, labels, CLASSES, options, extent=extent).tolist() == [1]
    outside = [Window(20, 20, 10, 10)]
    assert label_cells(outside, labels, CLASSES, options, extent=extent).tolist() == [-1]


def test_options_that_contradict_themselves() -> None:
    with pytest.raises(ConfigError, match="infer_cells"):
        CellOptions(infer_cells=True)
    with pytest.raises(ConfigError, match=r"CellOptions\.ioc_threshold must be"):
        CellOptions(ioc_threshold=1.5)
    with pytest.raises(ConfigError, match="unknown class 'bckground'"):
        label(features(), background_class="bckground")


BOX = st.tuples(
    st.integers(0, 30), st.integers(0, 30), st.integers(1, 25), st.integers(1, 25),
    st.sampled_from(CLASSES.names[:2]),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(BOX, max_size=12), st.integers(3, 20))
def test_shares_are_those_that_counting_pixels_gives(boxes: list[Any], size: int) -> None:
    painted = np.zeros((60, 60, 3), bool)
    for x, y, w, h, name in boxes:
        painted[y : y + h, x : x + w, CLASSES.id_of(name)] = True
    labels = features(*((n, shapely.box(x, y, x + w, y + h)) for x, y, w, h, n in boxes))
    grid = windows.grid(Window(0, 0, 40, 40), size)
    found = covered_shares(grid, labels, 3)
    for window, shares in zip(grid, found, strict=True):
        rows = slice(window.row_off, window.row_off + size)
        cols = slice(window.col_off, window.col_off + size)
        np.testing.assert_allclose(shares, painted[rows, cols].mean(axis=(0, 1)), atol=1e-9)


def test_polygons_of_very_many_points() -> None:
    """They are cut up inside, which changes no area."""
    turns = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    reach = 40 + 5 * np.sin(60 * turns)
    flower = shapely.Polygon(
        np.column_stack([50 + reach * np.cos(turns), 50 + reach * np.sin(turns)])
    )
    grid = windows.grid(Window(0, 0, 100, 100), 10)
    labels = features(("road", flower), ("road", shapely.box(0, 0, 100, 20)))
    assert len(labels.disjoint) > 10
    union = flower.union(shapely.box(0, 0, 100, 20))
    expected = shapely.area(shapely.intersection(windows.boxes(grid), union)) / 100
    np.testing.assert_allclose(covered_shares(grid, labels, 3)[:, 1], expected, atol=1e-9)


@pytest.mark.parametrize(("split", "buildings"), [("train", 0.21), ("val", 0.67)])
def test_the_real_district_has_as_many_building_cells_as_were_counted(
    shared_data: Path, kernel: Kernel, split: str, buildings: float
) -> None:
    folder = shared_data / "hot-oam-kampala-rgb"
    classes = ClassMap.of("building", "background")
    config = SceneConfig(
        id=split,
        raster=folder / f"{split}.tif",
        labels=LabelConfig(
            uris=folder / "labels.geojson", class_property=None, default_class="building"
        ),
    )
    options = CellOptions(size=96, background_class="background", infer_cells=True)
    with open_scene(config, kernel, classes=classes) as scene:
        assert scene.features is not None
        grid = windows.grid(scene.extent, 96)
        ids = label_cells(grid, scene.features, classes, options, extent=scene.extent)
    assert (ids == 0).mean() == pytest.approx(buildings, abs=0.01)
    assert set(ids.tolist()) == {0, 1}
