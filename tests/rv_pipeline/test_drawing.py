"""Labels and mistakes over pictures, pictures of any raster, and contact sheets."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.report.contact_sheets import choose, contact_sheets, write_contact_sheets
from rv_pipeline.report.drawing import Frame, LabelLayer
from rv_pipeline.report.mistakes import MistakeLayer
from rv_pipeline.report.palette import (
    CONFUSED,
    CORRECT,
    FALSE,
    MISSED,
    colors_of,
    luminance,
    rgb_of,
)
from rv_pipeline.report.pictures import checkered, encode, read_overview, shown
from rv_pipeline.report.scene_views import Limits
from rv_pipeline.scenes import RasterConfig

from rv_core import (
    BoxLabels,
    ChipLabel,
    ChipSample,
    ClassInfo,
    ClassMap,
    Kernel,
    PixelLabels,
    Window,
)

COLORS = ("#ff0000", "#00ff00")
RED, GREEN = (255, 0, 0), (0, 255, 0)


def alpha(layer: LabelLayer) -> np.ndarray:
    return np.asarray(layer.image)[:, :, 3]


def ink(layer: LabelLayer, color: tuple[int, int, int]) -> np.ndarray:
    """Where a layer is drawn in a color."""
    pixels = np.asarray(layer.image)
    return (pixels[:, :, :3] == color).all(axis=2) & (pixels[:, :, 3] > 0)


# Colors


def test_classes_keep_their_colors_and_others_get_ones_that_nobody_has() -> None:
    classes = ClassMap((ClassInfo("a"), ClassInfo("b", "#0072B2"), ClassInfo("background")))
    assert colors_of(classes) == ("#e69f00", "#0072b2", "#5c5c5c")


@pytest.mark.parametrize("count", [12, 13, 100, 255])
def test_all_classes_have_colors_of_their_own(count: int) -> None:
    colors = colors_of(ClassMap.of(*map(str, range(count))))
    assert len(set(colors)) == count
    assert all(0.0 < luminance(rgb_of(color)) < 0.95 for color in colors)


# How the three kinds of colour blindness see linear red, green and blue: Machado, Oliveira and
# Fernandes (2009), severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color: str, blindness: str) -> np.ndarray:
    """A color in CIE L*a*b* (D65), as somebody sees it."""
    share = np.array(rgb_of(color)) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / (0.9505, 1, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize(
    "colors",
    [
        (CORRECT, MISSED, FALSE, CONFUSED),
        colors_of(ClassMap.of(*"abcdefg", "background")),
    ],
    ids=["mistakes", "classes"],
)
def test_colour_blind_people_can_tell_them_apart(colors: tuple[str, ...], blindness: str) -> None:
    apart = [
        float(np.linalg.norm(lab(one, blindness) - lab(other, blindness)))
        for one, other in combinations(colors, 2)
    ]
    assert min(apart) > 15  # a difference of 2 is just seen side by side


# Pictures of rasters


def write(path: Path, pixels: np.ndarray, **profile: object) -> RasterSource:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels.shape[1],
        height=pixels.shape[0],
        count=pixels.shape[2],
        dtype=str(pixels.dtype),
        crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 0.5, 0.5),
        **profile,
    ) as sink:
        sink.write(pixels.transpose(2, 0, 1))
    return RasterSource.open(RasterConfig(uris=str(path)), Kernel())


def test_uint8_pixels_are_shown_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert (np.asarray(shown(pixels))[:, :, :3] == pixels).all()


def test_one_band_is_grey_and_of_many_the_first_three_are_red_green_and_blue() -> None:
    pixels = np.arange(5 * 5 * 5, dtype=np.uint8).reshape(5, 5, 5)
    assert (np.asarray(shown(pixels))[:, :, :3] == pixels[:, :, :3]).all()
    grey = np.asarray(shown(pixels[:, :, :2]))
    assert (grey[:, :, :3] == pixels[:, :, :1]).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "uint32"])
def test_other_pixels_are_stretched_between_their_percentiles(dtype: str) -> None:
    ramp = np.linspace(100, 1100, 10_000).reshape(100, 100, 1).astype(dtype)
    ramp[0, 0] = 30_000  # one bright pixel does not darken the rest
    picture = np.asarray(shown(ramp))[:, :, 0]
    assert picture[1, 50] < 10
    assert abs(int(picture[50, 0]) - 128) < 5
    assert picture[-1, -1] == 255


def test_pixels_without_data_are_clear_and_do_not_count() -> None:
    pixels = np.full((20, 20, 1), 500, np.uint16)
    pixels[10:] = 600
    nodata = np.zeros((20, 20), np.bool_)
    nodata[:, :5] = True
    pixels[nodata] = 0
    picture = np.asarray(shown(pixels, nodata))
    assert (picture[nodata] == 0).all()
    assert picture[0, 10].tolist() == [0, 0, 0, 255]
    assert picture[19, 10].tolist() == [255, 255, 255, 255]


def test_nothing_but_nodata_and_values_that_are_not_finite_can_be_shown() -> None:
    assert shown(np.zeros((4, 4, 3), np.float32), np.ones((4, 4), np.bool_)).size == (4, 4)
    odd = np.full((4, 4, 1), np.nan, np.float32)
    odd[0] = np.inf
    assert shown(odd).size == (4, 4)
    assert np.asarray(shown(np.full((4, 4, 1), 7, np.uint16)))[0, 0, 0] in range(100, 156)


@pytest.mark.parametrize("size", [(100, 100), (101, 250), (37, 4500)])
def test_an_overview_is_the_mean_of_areas_whatever_the_tiles(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (*size, 2), np.uint16)
    with write(tmp_path / "a.tif", pixels) as raster:
        overview = read_overview(raster, 60)
    factor = overview.factor
    assert max(overview.pixels.shape) <= 60
    rows, cols = np.arange(0, size[0], factor), np.arange(0, size[1], factor)
    wanted = [
        [pixels[r : r + factor, c : c + factor, 0].mean() for c in cols.tolist()]
        for r in rows.tolist()
    ]
    assert np.allclose(overview.pixels[:, :, 0], wanted, rtol=1e-4)


def test_an_overview_leaves_nodata_out_of_its_means(tmp_path: Path) -> None:
    pixels = np.full((40, 40, 1), 100, np.uint16)
    pixels[:, :10] = 0
    pixels[0:5, 10:20] = 0
    with write(tmp_path / "a.tif", pixels, nodata=0) as raster:
        overview = read_overview(raster, 4)
    assert overview.nodata.tolist() == [[True, False, False, False]] * 4
    assert (overview.pixels[~overview.nodata] == 100).all()


def test_pictures_stay_below_their_number_of_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (250, 200, 3), np.uint8)
    image = Image.fromarray(noise)
    large, small = encode(image, "photo", 10**7), encode(image, "photo", 20_000)
    assert (large.width, large.height) == (200, 250)
    assert len(small.data) <= 20_000 < len(large.data)
    assert small.width / small.height == pytest.approx(0.8, abs=0.02)
    assert len(encode(image, "drawing", 30_000).data) <= 30_000


@pytest.mark.parametrize("scenes", [1, 6, 7, 16, 40])
def test_a_page_of_many_scenes_still_opens(scenes: int) -> None:
    limits = Limits.for_scenes(scenes)
    assert scenes * limits.max_bytes <= 40 << 20
    assert 800 <= limits.max_side <= 1600


def test_nodata_is_checkered_where_a_picture_cannot_be_clear() -> None:
    picture = np.asarray(checkered(Image.new("RGBA", (32, 32))))
    assert len(np.unique(picture)) == 2


# Labels


def test_labels_lie_on_their_pixels() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 100, 60), (100, 60), 1.0), COLORS)
    mask = np.full((30, 40), 255, np.uint8)
    mask[10:20, 5:8] = 1
    layer.add(Window(50, 20, 40, 30), PixelLabels(mask))
    rows, cols = np.nonzero(ink(layer, GREEN))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (30, 39, 55, 57)
    assert alpha(layer).astype(bool).sum() == 30
    assert layer.seen == {1}


def test_likeliest_classes_are_drawn_of_probabilities() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 4, 4), (4, 4), 1.0), COLORS)
    probabilities = np.zeros((4, 4, 2), np.float32)
    probabilities[:, :2, 0] = probabilities[:, 2:, 1] = 0.9
    layer.add(Window(0, 0, 4, 4), PixelLabels(probabilities=probabilities))
    assert ink(layer, RED).sum() == ink(layer, GREEN).sum() == 8


def test_boxes_are_outlined_where_they_are_and_their_insides_stay_clear() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 200, 200), (200, 200), 1.0), COLORS)
    box = BoxLabels(np.array([[10, 20, 60, 90]], np.float32), np.array([0]))
    layer.add(Window(100, 50, 100, 100), box)
    rows, cols = np.nonzero(ink(layer, RED))
    assert (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1) == (60, 110, 120, 190)
    assert not alpha(layer)[70:100, 130:180].any()


def test_cells_of_neighbours_do_not_cover_each_other() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 40, 20), (40, 20), 1.0), COLORS)
    layer.add(Window(0, 0, 20, 20), ChipLabel(0))
    layer.add(Window(20, 0, 20, 20), ChipLabel(1))
    assert ink(layer, RED)[:, :20].all()
    assert ink(layer, GREEN)[:, 20:].all()


def test_polygons_have_holes() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 100, 100), (100, 100), 1.0), COLORS)
    ring = shapely.box(10, 10, 90, 90).difference(shapely.box(30, 30, 70, 70))
    layer.add_polygons([shapely.MultiPolygon([ring]), shapely.Polygon()], RED)
    assert alpha(layer)[20, 20] and not alpha(layer)[50, 50]
    layer.add_polygons([shapely.box(-500, -500, -400, -400)], RED)  # elsewhere: nothing drawn


def test_what_lies_outside_the_area_of_interest_is_darker() -> None:
    layer = LabelLayer(Frame(Window(0, 0, 100, 100), (100, 100), 1.0), COLORS)
    layer.shade_outside(np.array([shapely.box(20, 20, 60, 60)]))
    assert alpha(layer)[80, 80] and not alpha(layer)[40, 40]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(10, 1600),
    st.integers(0, 4999),
    st.integers(0, 4999),
)
def test_a_pixel_of_a_scene_lies_in_its_picture(
    width: int, height: int, side: int, col: int, row: int
) -> None:
    col, row = col % width, row % height
    factor = max(1, -(-max(width, height) // side))
    frame = Frame.of(Window(0, 0, width, height), side, factor)
    assert max(frame.size) <= max(side, 1)
    x, y = frame.place(np.array([[col + 0.5, row + 0.5]]))[0]
    assert 0 <= x < frame.size[0] and 0 <= y < frame.size[1]
    window = Window(col, row, min(7, width - col), min(9, height - row))
    (left, top, right, bottom), _ = frame.samples(window)
    assert 0 <= left <= right <= frame.size[0] and 0 <= top <= bottom <= frame.size[1]


# Mistakes


def layer_of(size: int, background: int | None = None) -> MistakeLayer:
    return MistakeLayer(Frame(Window(0, 0, size, size), (size, size), 1.0), background)


def test_wrong_pixels_are_drawn_and_right_or_unlabelled_ones_are_not() -> None:
    truth = np.array([[0, 0, 1, 255]] * 4, np.uint8)
    predicted = np.array([[0, 1, 0, 1]] * 4, np.uint8)
    layer = layer_of(4)
    layer.compare(Window(0, 0, 4, 4), PixelLabels(truth), PixelLabels(predicted))
    assert alpha(layer).astype(bool).tolist() == [[False, True, True, False]] * 4
    assert layer.counts == [4, 0, 0, 8]


def test_with_a_background_class_what_is_missed_is_told_from_what_is_false() -> None:
    truth = np.array([[0, 0, 1, 1]] * 4, np.uint8)
    predicted = np.array([[0, 1, 0, 1]] * 4, np.uint8)
    layer = layer_of(4, background=1)
    layer.compare(Window(0, 0, 4, 4), PixelLabels(truth), PixelLabels(predicted))
    correct, missed, false, confused = layer.counts
    assert (correct, missed, false, confused) == (8, 4, 4, 0)


def test_cells_are_compared_where_both_are_known() -> None:
    layer = layer_of(40)
    windows = [Window(x, 0, 10, 10) for x in (0, 10, 20)]
    layer.compare(windows[0], ChipLabel(0), ChipLabel(0))
    layer.compare(windows[1], ChipLabel(0), ChipLabel(1))
    layer.compare(windows[2], None, ChipLabel(1))
    assert layer.counts == [1, 0, 0, 1]
    assert not alpha(layer)[:, 20:].any()


def boxes(*rows: tuple[float, float, float, float], ids: object = None) -> BoxLabels:
    class_ids = np.zeros(len(rows), int) if ids is None else np.array(ids)
    return BoxLabels(np.array(rows, np.float32).reshape(-1, 4), class_ids)


def test_boxes_are_counted_as_correct_missed_false_or_of_the_wrong_class() -> None:
    layer = layer_of(100)
    truth = boxes((0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60), ids=[0, 0, 0])
    predicted = boxes((0, 0, 10, 10), (50, 50, 60, 60), (80, 80, 90, 90), ids=[0, 1, 0])
    layer.compare(Window(0, 0, 100, 100), truth, predicted)
    assert layer.counts == [1, 1, 1, 1]


def test_boxes_outside_the_area_of_interest_are_no_mistakes() -> None:
    """As in eval.json: what the area does not hold is neither missed nor false."""
    aoi = np.array([shapely.box(0, 0, 50, 100)])
    layer = MistakeLayer(Frame(Window(0, 0, 100, 100), (100, 100), 1.0), aoi=aoi)
    truth = boxes((0, 0, 10, 10), (20, 70, 30, 80), (40, 40, 60, 60))
    predicted = boxes((0, 0, 10, 10), (80, 80, 90, 90), (42, 40, 60, 60), (70, 10, 80, 20))
    layer.compare(Window(0, 0, 100, 100), truth, predicted)
    assert layer.counts == [1, 0, 1, 0]
    assert not alpha(layer)[:, 62:].any()


# Contact sheets


def chip(class_id: int | None, number: int = 0, size: int = 16) -> ChipSample:
    label = None if class_id is None else ChipLabel(class_id)
    pixels = np.full((size, size, 3), 90, np.uint8)
    return ChipSample(pixels, label, Window(number, 0, size, size), "scene")


def test_chips_on_the_sheets_are_spread_over_the_classes() -> None:
    samples = [chip(0, n) for n in range(1000)] + [chip(1, n) for n in range(3)]
    chosen = choose(samples, 2, 20, lambda sample: sample)
    ids = [sample.label.class_id for sample in chosen]
    assert len(ids) == 20
    assert ids.count(1) == 3
    assert max(sample.window.col_off for sample in chosen) > 200  # not the first ones only


def test_the_same_chips_make_the_same_sheets(tmp_path: Path) -> None:
    classes = ClassMap.of("roof", "ground")
    samples = [chip(n % 2, n) for n in range(70)]
    names = write_contact_sheets(samples, classes, tmp_path, "train")
    assert names == ["train-1.png", "train-2.png"]
    first = (tmp_path / "train-1.png").read_bytes()
    write_contact_sheets(samples, classes, tmp_path, "train")
    assert (tmp_path / "train-1.png").read_bytes() == first


def test_sheets_hold_chips_of_every_kind_of_label() -> None:
    classes = ClassMap.of("roof", "a name that is much too long for the place that there is")
    noise = np.random.default_rng(0).integers(0, 5000, (40, 30, 4), np.uint16)
    window = Window(0, 0, 30, 40)
    mask = np.zeros((40, 30), np.uint8)
    labels = [
        ChipLabel(1),
        boxes((1, 1, 20, 20), ids=[1]),
        boxes(),
        PixelLabels(mask),
        PixelLabels(np.full_like(mask, 255)),
        None,
    ]
    samples = [ChipSample(noise, label, window, "s", mask.astype(bool)) for label in labels]
    (sheet,) = contact_sheets(samples, classes)
    assert sheet.count == len(labels)
    assert list(contact_sheets([], classes)) == []


def test_sheets_glare_on_no_page_and_their_texts_can_be_read() -> None:
    """Of a page, only its papers are black or white; the contrasts are those of WCAG 2.1."""
    (sheet,) = contact_sheets([chip(None)], ClassMap.of("roof"))
    image = sheet.image.convert("RGB")
    paper = luminance(image.getpixel((0, 0)))
    captions = image.crop((0, image.height - 30, image.width, image.height))
    inks = [luminance(color) for _, color in captions.getcolors()]
    assert (max(inks) + 0.05) / (paper + 0.05) > 7
    for page in ("#fdfdfb", "#14161a"):
        darker, brighter = sorted((paper, luminance(rgb_of(page))))
        assert (brighter + 0.05) / (darker + 0.05) < 12
