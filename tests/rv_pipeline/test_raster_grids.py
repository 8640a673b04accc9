"""A raster can be cut, moved under its labels, and brought to another resolution."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import ExtentCrop, RasterConfig
from rv_pipeline.vectors import read_features
from rv_pipeline.vectors.config import LabelConfig

from rv_core import ClassMap, ConfigError, Kernel, Window

PLAIN = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
Write = Callable[..., str]
Open = Callable[..., RasterSource]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write pixels [H, W, C] as a GeoTIFF; returns its path."""

    def make(
        pixels: NDArray[Any],
        name: str = "a.tif",
        *,
        transform: Affine = PLAIN,
        crs: str | None = "EPSG:32633",
        mask: NDArray[np.bool_] | None = None,
        colors: list[ColorInterp] | None = None,
        nodata: float | None = None,
    ) -> str:
        path = tmp_path / name
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver="GTiff", height=pixels.shape[0], width=pixels.shape[1],
                count=pixels.shape[2], dtype=pixels.dtype.name, crs=crs, transform=transform,
                nodata=nodata, tiled=True, blockxsize=16, blockysize=16,
            ) as sink:  # fmt: skip
                sink.write(pixels.transpose(2, 0, 1))
                if colors:
                    sink.colorinterp = colors
                if mask is not None:
                    sink.write_mask(mask)
        return str(path)

    return make


@pytest.fixture
def open_raster(kernel: Kernel) -> Open:
    def make(*uris: str, **options: Any) -> RasterSource:
        return RasterSource.open(RasterConfig(uris=uris, **options), kernel)

    return make


def noise(height: int = 60, width: int = 80, bands: int = 3, dtype: str = "uint8") -> NDArray[Any]:
    values = np.random.default_rng(0).uniform(1, 250, (height, width, bands))
    return values.astype(dtype)


def map_of(raster: RasterSource, col: float, row: float) -> tuple[float, float]:
    x, y = raster.transform @ (col, row)
    return float(x), float(y)


# --- cutting


def test_fractions_of_the_scene_are_cut_off(write: Write, open_raster: Open) -> None:
    pixels = noise(60, 80)
    crop = ExtentCrop(top=0.1, left=0.25, bottom=0.5, right=0.05)
    raster = open_raster(write(pixels), extent_crop=crop)
    assert (raster.height, raster.width) == (24, 56)
    found, nodata = raster.read(raster.extent)
    np.testing.assert_array_equal(found, pixels[6:30, 20:76])
    assert nodata is None
    assert map_of(raster, 0, 0) == map_of(open_raster(write(pixels)), 20, 6)


def test_what_is_cut_off_is_beyond_the_raster(write: Write, open_raster: Open) -> None:
    pixels = noise(60, 80)
    raster = open_raster(write(pixels), extent_crop=ExtentCrop(left=0.5))
    found, nodata = raster.read(Window(-10, 5, 30, 10))
    assert nodata is not None
    assert nodata[:, :10].all()
    assert not nodata[:, 10:].any()
    assert not found[:, :10].any()
    np.testing.assert_array_equal(found[:, 10:], pixels[5:15, 40:60])


def test_a_mosaic_is_cut_as_a_whole(write: Write, open_raster: Open) -> None:
    whole = noise(60, 100)
    east = write(whole[:, 40:], "east.tif", transform=PLAIN @ Affine.translation(40, 0))
    west = write(whole[:, :40], "west.tif")
    raster = open_raster(east, west, extent_crop=ExtentCrop(left=0.3, top=0.5))
    np.testing.assert_array_equal(raster.read(raster.extent)[0], whole[30:, 30:])
    inner, _ = raster.read(Window(5, 3, 20, 20))
    np.testing.assert_array_equal(inner, whole[33:53, 35:55])


def test_a_crop_that_leaves_nothing_is_refused(write: Write, open_raster: Open) -> None:
    with pytest.raises(ConfigError, match="top and bottom cut off everything"):
        ExtentCrop(top=0.6, bottom=0.4)
    with pytest.raises(ConfigError, match=r"leaves nothing of .*a\.tif"):
        open_raster(write(noise(2, 2)), extent_crop=ExtentCrop(top=0.5, bottom=0.49))


def test_a_resolution_that_leaves_nothing_is_refused(write: Write, open_raster: Open) -> None:
    path = write(noise(10, 30))  # of pixels of half a metre
    assert open_raster(path, resolution=9).extent == Window(0, 0, 2, 1)
    match = r"resolution of 50 m leaves nothing of .*a\.tif"
    with pytest.raises(ConfigError, match=match) as error:
        open_raster(path, resolution=50)
    assert "30 x 10 px are 0.3 x 0.1 of such pixels" in str(error.value)


# --- moving


@pytest.mark.parametrize(
    ("crs", "transform", "moved"),
    [
        ("EPSG:32633", PLAIN, (3.0, -4.0)),
        ("EPSG:2263", PLAIN, (3 / 0.3048006, -4 / 0.3048006)),  # US survey feet
        # A degree of longitude at 60 degrees north is 55.8 km, one of latitude 111.4 km.
        ("EPSG:4326", Affine(1e-5, 0, 10, 0, -1e-5, 60), (3 / 55_800, -4 / 111_412)),
    ],
)
def test_a_shift_in_metres_moves_the_raster(
    write: Write,
    open_raster: Open,
    crs: str,
    transform: Affine,
    moved: tuple[float, float],
) -> None:
    path = write(noise(), crs=crs, transform=transform)
    before, after = open_raster(path), open_raster(path, shift=(3, -4))
    difference = np.subtract(map_of(after, 7, 5), map_of(before, 7, 5))
    np.testing.assert_allclose(difference, moved, rtol=1e-3)
    np.testing.assert_array_equal(before.read(before.extent)[0], after.read(after.extent)[0])


def test_labels_come_to_lie_on_their_objects(
    write: Write, open_raster: Open, kernel: Kernel, tmp_path: Path
) -> None:
    """A georeference that is 10 m too far west, and labels where the houses are in the world."""
    pixels = np.zeros((60, 80, 1), np.uint8)
    pixels[20:30, 40:50] = 255  # a house
    x, y = PLAIN @ (40 + 20, 20)
    ring = [[x, y], [x + 5, y], [x + 5, y - 5], [x, y - 5], [x, y]]
    labels = tmp_path / "houses.geojson"
    labels.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
                "features": [
                    {
                        "type": "Feature",
                        "properties": {"class_name": "house"},
                        "geometry": {"type": "Polygon", "coordinates": [ring]},
                    }
                ],
            }
        )
    )
    raster = open_raster(write(pixels), shift=(10, 0))
    found = read_features(LabelConfig(uris=str(labels)), raster, ClassMap.of("house"), kernel)
    assert found.bounds.tolist() == [[40, 20, 50, 30]]


def test_pictures_without_crs_cannot_be_moved_by_metres(write: Write, open_raster: Open) -> None:
    path = write(noise(), crs=None, transform=Affine.identity())
    with pytest.raises(ConfigError, match=r"shift of .*a\.tif cannot be in metres"):
        open_raster(path, shift=(1, 0))


# --- resampling


def test_pixels_become_means_of_what_they_cover(write: Write, open_raster: Open) -> None:
    pixels = noise(60, 80, dtype="float32")
    raster = open_raster(write(pixels), resolution=1.0, resampling="average")
    assert (raster.height, raster.width) == (30, 40)
    assert (raster.transform.a, raster.transform.e) == (1.0, -1.0)
    found, nodata = raster.read(raster.extent)
    np.testing.assert_allclose(found, pixels.reshape(30, 2, 40, 2, 3).mean((1, 3)), rtol=1e-5)
    assert found.dtype == np.float32
    assert nodata is None


def test_nearest_repeats_pixels(write: Write, open_raster: Open) -> None:
    pixels = noise()
    raster = open_raster(write(pixels), resolution=0.25, resampling="nearest")
    found, _ = raster.read(raster.extent)
    np.testing.assert_array_equal(found, pixels.repeat(2, 0).repeat(2, 1))


def test_the_same_resolution_changes_nothing(write: Write, open_raster: Open) -> None:
    pixels = noise()
    raster = open_raster(write(pixels), resolution=0.5)
    assert not raster.grid.is_resampled
    np.testing.assert_array_equal(raster.read(raster.extent)[0], pixels)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "lanczos", "mode"])
def test_windows_fit_together_whatever_their_size(
    write: Write, open_raster: Open, resampling: str
) -> None:
    raster = open_raster(write(noise(70, 90)), resolution=0.83, resampling=resampling)
    whole, _ = raster.read(raster.extent)
    for size in (7, 16, 40):
        for row in range(0, raster.height, size):
            for col in range(0, raster.width, size):
                part, _ = raster.read(Window(col, row, size, size))
                inside = whole[row : row + size, col : col + size]
                np.testing.assert_array_equal(part[: inside.shape[0], : inside.shape[1]], inside)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.floats(0.1, 3),
    st.floats(-180, 180),
    st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    st.booleans(),
)
def test_a_place_on_the_map_stays_where_it_is(
    write: Write,
    open_raster: Open,
    resolution: float,
    angle: float,
    scale: tuple[float, float],
    cut: bool,
) -> None:
    """Rows as brightness, in a raster that may be rotated: they read the same at any place."""
    rows = np.broadcast_to(np.arange(64, dtype=np.float32)[:, None, None], (64, 48, 1))
    transform = (
        Affine.translation(5e5, 5e6) @ Affine.rotation(angle) @ Affine.scale(scale[0], -scale[1])
    )
    path = write(rows, transform=transform)
    raster = open_raster(
        path,
        resolution=resolution,
        extent_crop=ExtentCrop(top=0.25) if cut else None,
        resampling="bilinear",
    )
    x, y = raster.width // 2, raster.height // 2
    (_, row) = ~transform @ map_of(raster, x + 0.5, y + 0.5)
    value = float(raster.read(Window(x, y, 1, 1))[0][0, 0, 0])
    if 17 + resolution / scale[1] < row < 63 - resolution / scale[1]:  # away from the borders
        assert value == pytest.approx(row - 0.5, abs=0.15)


def test_scenes_of_other_resolutions_come_to_one_on_the_ground(
    write: Write, open_raster: Open
) -> None:
    plain = open_raster(write(noise()), resolution=0.6)
    degrees = Affine(4e-6, 0, 10, 0, -4e-6, 60)
    lonlat = open_raster(
        write(noise(), "d.tif", crs="EPSG:4326", transform=degrees), resolution=0.6
    )
    assert plain.transform.a == pytest.approx(0.6)
    # 4e-6 degrees at 60 degrees north are 0.2232 m to the east and 0.4457 m to the north.
    assert (lonlat.width, lonlat.height) == (30, 45)
    feet = open_raster(write(noise(), "f.tif", crs="EPSG:2263"), resolution=0.6)
    assert feet.transform.a == pytest.approx(0.6 / 0.3048006)


def test_pictures_are_resampled_in_their_own_pixels(write: Write, open_raster: Open) -> None:
    pixels = noise(dtype="uint16")
    path = write(pixels, crs=None, transform=Affine.identity())
    with pytest.raises(ConfigError, match=r"resolution of .*a\.tif cannot be in metres") as error:
        open_raster(path, resolution=2)
    assert "crs" in str(error.value.hint)
    raster = open_raster(path, resolution=2, resolution_units="crs", resampling="average")
    found, _ = raster.read(raster.extent)
    means = pixels.astype(float).reshape(30, 2, 40, 2, 3).mean((1, 3))
    np.testing.assert_allclose(found, means, atol=0.5)


def test_a_mosaic_is_resampled_without_seams(write: Write, open_raster: Open) -> None:
    ramp = np.broadcast_to(np.arange(100, dtype=np.float32)[None, :, None] + 1, (60, 100, 1))
    east = write(ramp[:, 41:], "east.tif", transform=PLAIN @ Affine.translation(41, 0))
    west = write(ramp[:, :41], "west.tif")
    raster = open_raster(east, west, resolution=0.8)
    found, nodata = raster.read(raster.extent)
    assert nodata is None
    expected = (np.arange(raster.width) + 0.5) * 1.6 + 0.5
    np.testing.assert_allclose(found[30, 2:-2, 0], expected[2:-2], atol=0.7)


@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan"])
def test_pixels_without_data_do_not_bleed_into_others(
    write: Write, open_raster: Open, kind: str
) -> None:
    dtype = "float32" if kind == "nan" else "uint8"
    pixels = np.full((60, 80, 3), 200, dtype)
    missing = np.zeros((60, 80), bool)
    missing[:21, :31] = True
    pixels[missing] = np.nan if kind == "nan" else 0
    options: dict[str, Any] = {}
    if kind == "nodata":
        options["nodata"] = 0
    elif kind == "mask":
        options["mask"] = ~missing
    elif kind == "alpha":
        pixels = np.dstack([pixels, np.where(missing, 0, 255).astype(dtype)])
        options["colors"] = [
            ColorInterp.red,
            ColorInterp.green,
            ColorInterp.blue,
            ColorInterp.alpha,
        ]
    raster = open_raster(write(pixels, **options), resolution=1.0)
    found, nodata = raster.read(raster.extent)
    assert found.shape == (30, 40, 3)
    assert nodata is not None
    assert nodata[:10, :15].all()
    assert not nodata[11:].any()
    assert not nodata[:, 16:].any()
    assert (found[~nodata] == 200).all()
    assert not found[nodata].any()


def test_an_infrared_band_that_is_called_alpha_is_resampled_as_the_others(
    write: Write, open_raster: Open
) -> None:
    pixels = noise(bands=4, dtype="uint8")
    pixels[:20, :, 3] = 0
    colors = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    path = write(pixels, colors=colors)
    raster = open_raster(path, resolution=1.0, channel_order=(3, 0), resampling="average")
    found, nodata = raster.read(raster.extent)
    means = pixels.astype(float).reshape(30, 2, 40, 2, 4).mean((1, 3))
    assert nodata is None
    np.testing.assert_allclose(found, means[..., [3, 0]], atol=0.5)


def test_crop_shift_and_resolution_go_together(write: Write, open_raster: Open) -> None:
    pixels = noise(60, 80, dtype="float32")
    raster = open_raster(
        write(pixels),
        extent_crop=ExtentCrop(left=0.5, top=0.5),
        shift=(100, 0),
        resolution=1,
        resampling="average",
    )
    found, _ = raster.read(raster.extent)
    means = pixels[30:, 40:].reshape(15, 2, 20, 2, 3).mean((1, 3))
    np.testing.assert_allclose(found, means, rtol=1e-5)
    assert map_of(raster, 0, 0) == (500_000 + 20 + 100, 5_000_000 - 15)
