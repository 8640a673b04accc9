"""A picture, and a world without anybody's credentials."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

# Test modules import it by this name.
spec = importlib.util.spec_from_file_location(
    "remote_reading", Path(__file__).with_name("remote_reading.py")
)
assert spec is not None
assert spec.loader is not None
remote_reading: Any = importlib.util.module_from_spec(spec)
sys.modules["remote_reading"] = remote_reading
spec.loader.exec_module(remote_reading)

SIZE = remote_reading.SIZE


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(1, 255, (SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="session")
def image(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled GeoTIFF of 12 MB."""
    path = tmp_path_factory.mktemp("image") / "scene one+ü.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=SIZE, width=SIZE, count=3, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(5e5, 5e6, 0.5, 0.5), interleave="pixel",
        tiled=True, blockxsize=256, blockysize=256,
    ) as sink:  # fmt: skip
        sink.write(pixels.transpose(2, 0, 1))
    return path


@pytest.fixture(autouse=True)
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's credentials, proxies and cache."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "RV_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", remote_reading.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", remote_reading.SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", remote_reading.TOKEN)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
