"""Rasters are read by window, whatever is in the file."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import CastTransformerConfig, RasterConfig

from rv_core import (
    AccessDeniedError,
    ConfigError,
    DataError,
    Kernel,
    NotFoundError,
    Window,
    hookimpl,
)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write pixels [H, W, C] as a raster file; returns its path."""

    def make(
        name: str, pixels: NDArray[Any], *, left: int = 0, top: int = 0, **options: Any
    ) -> str:
        path = tmp_path / name
        colors = options.pop("colors", None)
        mask = options.pop("mask", None)
        geo = {
            "crs": "EPSG:32633",
            "transform": from_origin(500_000 + left * 0.5, 5_000_000 - top * 0.5, 0.5, 0.5),
        }
        if Path(name).suffix in (".png", ".jpg"):
            geo = {}
        profile = {
            "driver": {".png": "PNG", ".jpg": "JPEG"}.get(Path(name).suffix, "GTiff"),
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "count": pixels.shape[2],
            "dtype": pixels.dtype.name,
            **geo,
            **options,
        }
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile) as sink:
                sink.write(pixels.transpose(2, 0, 1))
                if colors:
                    sink.colorinterp = colors
                if mask is not None:
                    sink.write_mask(mask)
        return str(path)

    return make


def pixels_of(
    height: int = 60, width: int = 80, bands: int = 3, dtype: str = "uint8"
) -> NDArray[Any]:
    values = np.random.default_rng(0).uniform(1, 250, (height, width, bands))
    return values.astype(dtype)


def read_all(config: RasterConfig | str, kernel: Kernel) -> tuple[NDArray[Any], Any]:
    with RasterSource.open(RasterConfig.of(config), kernel) as raster:
        return raster.read(raster.extent)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 16, "blockysize": 16}, {}])
def test_pixels_come_as_they_are_in_the_file(
    write: Write, kernel: Kernel, dtype: str, bands: int, layout: dict[str, Any]
) -> None:
    pixels = (pixels_of(bands=bands, dtype="float64") / 2).astype(dtype)
    with RasterSource.open(RasterConfig.of(write("a.tif", pixels, **layout)), kernel) as raster:
        window, nodata = raster.read(Window(30, 20, 25, 10))
        assert (raster.height, raster.width, raster.bands) == (60, 80, bands)
    assert raster.dtype == window.dtype == np.dtype(dtype)
    assert window.flags.c_contiguous
    assert nodata is None
    np.testing.assert_array_equal(window, pixels[20:30, 30:55])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.tuples(st.integers(-40, 110), st.integers(-40, 90), st.integers(1, 60), st.integers(1, 60))
)
def test_a_window_may_reach_beyond_the_raster(
    write: Write, kernel: Kernel, place: tuple[int, int, int, int]
) -> None:
    pixels = pixels_of()
    col, row, width, height = place
    with RasterSource.open(RasterConfig.of(write("a.tif", pixels)), kernel) as raster:
        found, nodata = raster.read(Window(col, row, width, height))
    world = np.zeros((60 + 200, 80 + 200, 3), np.uint8)
    world[100:160, 100:180] = pixels
    there = np.zeros(world.shape[:2], bool)
    there[100:160, 100:180] = True
    part = (slice(row + 100, row + 100 + height), slice(col + 100, col + 100 + width))
    np.testing.assert_array_equal(found, world[part])
    missing = np.zeros(found.shape[:2], bool) if nodata is None else nodata
    np.testing.assert_array_equal(missing, ~there[part])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 255), ("uint16", 0), ("int16", -9999), ("float32", -9999.5), ("float32", np.nan)],
)
def test_pixels_of_the_nodata_value_are_masked_and_zero(
    write: Write, kernel: Kernel, dtype: str, value: float
) -> None:
    pixels = pixels_of(dtype=dtype)
    pixels[5:9, 10:20] = value
    pixels[30, 30, 1] = value if value == value else 7  # one band alone is a color like another
    found, nodata = read_all(write("a.tif", pixels, nodata=value), kernel)
    expected = np.zeros((60, 80), bool)
    expected[5:9, 10:20] = True
    np.testing.assert_array_equal(nodata, expected)
    assert not found[nodata].any()
    np.testing.assert_array_equal(found[~nodata], pixels[~nodata])


def test_a_config_can_say_the_nodata_value(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of()
    pixels[:10] = 3
    path = write("a.tif", pixels)
    assert read_all(path, kernel)[1] is None
    assert read_all(RasterConfig(uris=path, nodata=3), kernel)[1].sum() == 10 * 80


def test_a_nodata_value_that_the_dtype_cannot_hold_is_nowhere(write: Write, kernel: Kernel) -> None:
    path = write("a.tif", pixels_of())
    assert read_all(RasterConfig(uris=path, nodata=-9999), kernel)[1] is None
    floats = write("floats.tif", pixels_of(dtype="float32"))
    with warnings.catch_warnings(action="error", category=RuntimeWarning):
        assert read_all(RasterConfig(uris=floats, nodata=1e300), kernel)[1] is None


def test_a_far_file_that_names_others_reads_none_that_are_forbidden(
    write: Write, far_storage: object, tmp_path: Path
) -> None:
    """GDAL opens what a VRT names by itself: past the hooks, were it not asked for first."""

    class Deny:
        @hookimpl(wrapper=True)
        def rv_filesystem(self, uri: str) -> Any:
            if not uri.startswith("attic://"):
                raise AccessDeniedError(f"{uri} is not for this tenant")
            return (yield)

    secret = write("secret.tif", pixels_of(bands=1))
    band = f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename>'
    band = f"<SimpleSource>{band}<SourceBand>1</SourceBand></SimpleSource>"
    band = f'<VRTRasterBand dataType="Byte" band="1">{band}</VRTRasterBand>'
    vrt = f'<VRTDataset rasterXSize="9" rasterYSize="9">{band}</VRTDataset>'
    (tmp_path / "far.vrt").write_text(vrt)
    open_to_all = Kernel(plugins=[far_storage, "rv_plugins.plugin"])
    assert read_all("attic://far.vrt", open_to_all)[0].shape == (9, 9, 1)
    denied = Kernel(plugins=[far_storage, "rv_plugins.plugin", Deny()])
    assert read_all("attic://secret.tif", denied)[0].any()
    with pytest.raises(AccessDeniedError, match=r"attic://far\.vrt names other files.*this tenant"):
        read_all("attic://far.vrt", denied)


def test_ground_control_points_are_said_to_be_no_place(
    tmp_path: Path, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    corners = [(0, 0, 5e5, 5e6), (0, 30, 500_015, 5e6), (20, 0, 5e5, 4_999_990)]
    with rasterio.open(
        tmp_path / "radar.tif", "w", driver="GTiff", width=30, height=20, count=1, dtype="uint8",
        crs="EPSG:32633", gcps=[GroundControlPoint(*corner) for corner in corners],
    ) as sink:  # fmt: skip
        sink.write(np.ones((1, 20, 30), "uint8"))
    raster = RasterSource.open(RasterConfig.of(tmp_path / "radar.tif"), kernel)
    assert raster.crs is None
    assert "radar.tif has ground control points and no geotransform" in caplog.text


def test_numbers_that_are_not_finite_never_reach_a_model(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of(dtype="float32")
    pixels[0, 0] = np.nan
    pixels[1, 1, 2] = np.inf
    found, nodata = read_all(write("a.tif", pixels), kernel)
    assert np.isfinite(found).all()
    assert np.argwhere(nodata).tolist() == [[0, 0]]
    assert found[1, 1, 0] == pixels[1, 1, 0]


def test_a_mask_in_the_file_counts(write: Write, kernel: Kernel) -> None:
    valid = np.ones((60, 80), bool)
    valid[:, :7] = False
    found, nodata = read_all(write("a.tif", pixels_of(), mask=valid), kernel)
    np.testing.assert_array_equal(nodata, ~valid)
    assert not found[:, :7].any()


RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def test_an_alpha_band_is_a_mask_and_no_channel(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of(bands=4)
    pixels[..., 3] = 255
    pixels[:4, :, 3] = 0
    found, nodata = read_all(write("a.tif", pixels, colors=RGBA), kernel)
    assert found.shape == (60, 80, 3)
    assert nodata.sum() == 4 * 80
    np.testing.assert_array_equal(found[4:], pixels[4:, :, :3])


def test_a_fourth_band_that_is_called_alpha_can_be_asked_for(write: Write, kernel: Kernel) -> None:
    """Many an infrared band is called alpha, because GDAL calls the fourth byte so."""
    pixels = pixels_of(bands=4)
    pixels[:4, :, 3] = 0
    config = RasterConfig(uris=write("a.tif", pixels, colors=RGBA), channel_order=(3, 0, 1))
    found, nodata = read_all(config, kernel)
    assert nodata is None
    np.testing.assert_array_equal(found, pixels[..., [3, 0, 1]])


def test_channels_come_in_the_order_asked_for(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of(bands=5)
    path = write("a.tif", pixels)
    found, _ = read_all(RasterConfig(uris=path, channel_order=[4, 2, 2]), kernel)
    np.testing.assert_array_equal(found, pixels[..., [4, 2, 2]])
    with pytest.raises(ConfigError, match=r"band 5 of .*a\.tif, which has 5 bands"):
        read_all(RasterConfig(uris=path, channel_order=(5,)), kernel)


def test_pictures_without_georeference_are_rasters_too(
    write: Write, kernel: Kernel, recwarn: pytest.WarningsRecorder
) -> None:
    pixels = pixels_of()
    path = write("a.png", pixels)
    recwarn.clear()
    with RasterSource.open(RasterConfig.of(path), kernel) as raster:
        np.testing.assert_array_equal(raster.read(raster.extent)[0], pixels)
    assert raster.crs is None
    assert not recwarn.list


def test_cast_clips_to_what_the_dtype_holds(write: Write, kernel: Kernel) -> None:
    pixels = np.array([-5, 0, 255, 300], "int16").reshape(2, 2, 1)
    config = RasterConfig(
        uris=write("a.tif", pixels), transformers=(CastTransformerConfig(dtype="uint8"),)
    )
    found, _ = read_all(config, kernel)
    assert found.ravel().tolist() == [0, 0, 255, 255]
    assert found.dtype == np.uint8


# --- mosaics


def test_several_files_make_one_raster(write: Write, kernel: Kernel) -> None:
    whole = pixels_of(90, 100)
    uris = [
        write("east.tif", whole[:50, 40:], left=40),
        write("west.tif", whole[:50, :40]),
        write("south.tif", whole[50:], top=50),
    ]
    with RasterSource.open(RasterConfig(uris=uris), kernel) as raster:
        found, nodata = raster.read(raster.extent)
        across, _ = raster.read(Window(30, 40, 20, 20))
        assert (raster.transform.c, raster.transform.f) == (500_000, 5_000_000)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(across, whole[40:60, 30:50])
    assert nodata is None


def test_gaps_of_a_mosaic_are_without_data(write: Write, kernel: Kernel) -> None:
    whole = pixels_of(40, 100)
    uris = [write("a.tif", whole[:, :30]), write("b.tif", whole[:, 50:], left=50)]
    found, nodata = read_all(RasterConfig(uris=uris), kernel)
    assert nodata[:, 30:50].all()
    assert not nodata[:, :30].any()
    assert not nodata[:, 50:].any()
    assert not found[:, 30:50].any()


def test_where_files_overlap_the_first_that_has_data_wins(write: Write, kernel: Kernel) -> None:
    first, second = pixels_of(), pixels_of() // 2 + 1
    first[:20, 40:] = 0
    uris = [write("a.tif", first[:, 40:], left=40, nodata=0), write("b.tif", second, nodata=0)]
    found, nodata = read_all(RasterConfig(uris=uris), kernel)
    assert nodata is None
    np.testing.assert_array_equal(found[:20], second[:20])
    np.testing.assert_array_equal(found[20:, 40:], first[20:, 40:])


@pytest.mark.parametrize(
    ("what", "bands", "dtype", "options"),
    [
        ("CRS", 3, "uint8", {"crs": "EPSG:32634"}),
        ("resolution", 3, "uint8", {"transform": from_origin(5e5, 5e6, 0.6, 0.6)}),
        ("number of bands", 1, "uint8", {}),
        ("dtype", 3, "uint16", {}),
    ],
)
def test_files_that_do_not_fit_together_are_named(
    write: Write, kernel: Kernel, what: str, bands: int, dtype: str, options: dict[str, Any]
) -> None:
    uris = [
        write("first.tif", pixels_of()),
        write("odd.tif", pixels_of(bands=bands, dtype=dtype), **options),
    ]
    with pytest.raises(DataError, match=rf"first\.tif and .*odd\.tif make no mosaic: their {what}"):
        RasterSource.open(RasterConfig(uris=uris), kernel)


# --- damaged files


def test_a_missing_file_is_named(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.tif"):
        RasterSource.open(RasterConfig.of(tmp_path / "gone.tif"), kernel)


def test_a_file_that_is_no_raster_is_named(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not an image")
    with pytest.raises(DataError, match=r"cannot read the raster .*notes\.tif") as caught:
        RasterSource.open(RasterConfig.of(tmp_path / "notes.tif"), kernel)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", {"tiled": True, "blockxsize": 16, "blockysize": 16}),
        ("a.tif", {"compress": "deflate"}),
        ("a.tif", {"compress": "jpeg", "tiled": True, "blockxsize": 16, "blockysize": 16}),
        ("a.png", {}),
        ("a.jpg", {}),
    ],
)
def test_a_file_that_was_cut_off_is_named(
    write: Write, kernel: Kernel, name: str, options: dict[str, Any], share: float
) -> None:
    path = Path(write(name, pixels_of(200, 200), **options))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=rf"cannot read the raster .*{name}") as caught:
        read_all(str(path), kernel)
    assert "\n" not in str(caught.value)


# --- processes and threads


def _sum(raster: RasterSource, window: Window) -> int:
    return int(raster.read(window)[0].sum())


WINDOWS = [Window(c, r, 17, 13) for r in range(0, 47, 5) for c in range(0, 63, 7)]


def test_threads_may_share_a_raster(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of()
    raster = RasterSource.open(RasterConfig.of(write("a.tif", pixels, compress="deflate")), kernel)
    expected = [int(pixels[w.row_off :][:13, w.col_off :][:, :17].sum()) for w in WINDOWS]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(lambda w: _sum(raster, w), WINDOWS)) == expected


def _child(raster: RasterSource, queue: Any) -> None:
    queue.put([_sum(raster, window) for window in WINDOWS])


@pytest.mark.slow
def test_a_raster_can_be_sent_to_another_process(write: Write, kernel: Kernel) -> None:
    raster = RasterSource.open(RasterConfig.of(write("a.tif", pixels_of())), kernel)
    expected = [_sum(raster, window) for window in WINDOWS]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [int(pixels.sum()) for pixels, _ in pool.map(raster.read, WINDOWS)]
    assert found == expected


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot fork")
def test_a_forked_process_may_inherit_a_raster(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of()
    raster = RasterSource.open(RasterConfig.of(write("a.tif", pixels, compress="deflate")), kernel)
    raster.read(raster.extent)  # open before the fork
    expected = [_sum(raster, window) for window in WINDOWS]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(raster, queue)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in range(30):
        assert [_sum(raster, window) for window in WINDOWS] == expected
    assert queue.get(timeout=60) == queue.get(timeout=60) == expected
    for child in children:
        child.join()


def test_a_raster_can_be_pickled_while_it_is_open(write: Write, kernel: Kernel) -> None:
    pixels = pixels_of()
    config = RasterConfig(uris=write("a.tif", pixels), channel_order=(2, 0))
    raster = RasterSource.open(config, kernel)
    raster.read(raster.extent)
    again = pickle.loads(pickle.dumps(raster))
    np.testing.assert_array_equal(again.read(again.extent)[0], pixels[..., [2, 0]])
    assert again.crs == raster.crs


# --- real imagery


def test_a_16_bit_scene_with_one_band(shared_data: Path, kernel: Kernel) -> None:
    path = shared_data / "spacenet4-atlanta-pan16" / "image.tif"
    with RasterSource.open(RasterConfig.of(path), kernel) as raster:
        inside, _ = raster.read(Window(0, 0, 900, 900))
        beyond, nodata = raster.read(Window(850, 850, 100, 100))
    assert inside.shape == (900, 900, 1)
    assert inside.dtype == np.uint16
    assert nodata is not None
    assert nodata.sum() == 100 * 100 - 50 * 50
    np.testing.assert_array_equal(beyond[:50, :50], inside[850:, 850:])


def test_reading_a_window_looks_for_no_credentials(
    write: Write, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rasterio would, each time, where the environment has some of Amazon's."""
    from rasterio.session import Session

    raster = RasterSource.open(RasterConfig.of(write("a.tif", pixels_of())), kernel)

    def asked(*arguments: object, **named: object) -> None:
        raise AssertionError("credentials were looked for")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(Session, "from_environ", asked)
    assert raster.read(raster.extent)[0].any()
