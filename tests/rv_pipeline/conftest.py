"""A small world for the pipeline's tests: scenes of bright roofs on dark ground, and a toy backend
that is installed as a third party's would be."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rv_core.testing.fixtures import write_distribution

from rv_core import FileInfo, FileSystem, Kernel, NotFoundError, hookimpl, without_secrets
from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    DatasetConfig,
    Experiment,
    LabelConfig,
    SceneConfig,
)

EXAMPLES = Path(__file__).resolve().parent.parent / "plugin_examples"
TOY = EXAMPLES / "toy_backend"
PIXEL = 0.5  # metres
WEST, NORTH = 500_000.0, 5_000_000.0  # of EPSG:32633


def install(source: Path, site: Path, version: str | None = None) -> None:
    """Lay a distribution out in a folder as pip would."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    version = version or project["version"]
    for package in (source / "src").iterdir():
        if package.name != "__pycache__":
            shutil.copytree(
                package, site / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
    write_distribution(site, project["name"], project["entry-points"], version=version)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the toy backends are installed."""
    folder = tmp_path_factory.mktemp("site")
    for source in sorted(EXAMPLES.glob("toy_*")):
        install(source, folder)
    return folder


@pytest.fixture(autouse=True)
def _toy_installed(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def install_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install another version of the toy backend in front of the first."""

    def make(version: str) -> None:
        folder = tmp_path / f"site-{version}"
        folder.mkdir()
        install(TOY, folder, version)
        monkeypatch.syspath_prepend(str(folder))
        for name in [name for name in sys.modules if name.startswith("acme_toy_backend")]:
            monkeypatch.delitem(sys.modules, name)  # as in a new process

    return make


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def far_storage(tmp_path: Path) -> object:
    """A plugin that shows this test's folder as if it were far, by ``attic://`` URIs that may be
    signed."""

    class Attic(FileSystem):
        def open(self, uri: str, mode: Any = "rb") -> Any:
            path = tmp_path / uri.removeprefix("attic://").removesuffix("?signature=hush")
            if not path.is_file():
                raise NotFoundError(f"there is no {without_secrets(uri)}")
            return path.open(mode)

        def info(self, uri: str) -> FileInfo:
            with self.open(uri) as stream:
                return FileInfo(len(stream.read()))

        def list_paths(self, uri: str, ext: str = "") -> Any:
            return iter(())

        def delete(self, uri: str) -> None:
            raise NotImplementedError

    class Plugin:
        @hookimpl
        def rv_filesystem(self, uri: str) -> FileSystem | None:
            return Attic() if uri.startswith("attic://") else None

    return Plugin()


def draw_scene(
    folder: Path, name: str, *, size: int = 128, cell: int = 16, seed: int = 0, west: float = WEST
) -> tuple[Path, Path]:
    """A GeoTIFF of uint8 RGB whose cells are bright (roof) or dark (ground), and the roofs as
    GeoJSON polygons in its CRS; returns the two paths."""
    generator = np.random.default_rng(seed)
    cells = -(-size // cell)
    roofs = generator.random((cells, cells)) < 0.4
    mean = np.where(np.kron(roofs, np.ones((cell, cell))), 180, 70)[:size, :size, None]
    pixels = np.clip(generator.normal(mean, 15, (size, size, 3)), 0, 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    image, labels = folder / f"{name}.tif", folder / f"{name}.geojson"
    with rasterio.open(
        image,
        "w",
        driver="GTiff",
        width=size,
        height=size,
        count=3,
        dtype="uint8",
        crs="EPSG:32633",
        transform=from_origin(west, NORTH, PIXEL, PIXEL),
    ) as sink:
        sink.write(pixels.transpose(2, 0, 1))
    features = []
    for row, col in np.argwhere(roofs):
        x0, y0 = west + col * cell * PIXEL, NORTH - row * cell * PIXEL
        x1, y1 = x0 + cell * PIXEL, y0 - cell * PIXEL
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        features.append(
            {
                "type": "Feature",
                "properties": {"class_name": "roof"},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    labels.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return image, labels


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., SceneConfig]:
    """Draw a scene of this id and give its config."""

    def make(name: str, **options: Any) -> SceneConfig:
        image, labels = draw_scene(tmp_path / "data", name, **options)
        return SceneConfig(id=name, raster=str(image), labels=LabelConfig(uris=str(labels)))

    return make


@pytest.fixture
def experiment(scene: Callable[..., SceneConfig], tmp_path: Path) -> Callable[..., Experiment]:
    """An experiment over two small scenes; keyword arguments replace fields."""
    train, validation = scene("north", seed=1), scene("south", seed=2)

    def make(**fields: Any) -> Experiment:
        given: dict[str, Any] = {
            "id": "roofs",
            "root_uri": str(tmp_path / "out"),
            "task": ChipClassificationConfig(
                classes=["roof", "ground"],
                cells=CellOptions(size=16, background_class="ground", infer_cells=True),
            ),
            "backend": {"backend": "TOY_CLASSIFICATION", "num_steps": 60},
            "dataset": DatasetConfig(train=train, validation=validation),
        }
        return Experiment(**{**given, **fields})

    return make
