"""What the tests of remote rasters have in common; `conftest` makes it importable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rv_pipeline.rasters import RasterSource
from rv_pipeline.rasters.config import RasterConfig

from rv_core import (
    Kernel,
    Window,
)

SIZE = 2048
ACCESS_KEY, SECRET_KEY, TOKEN = "AKIDNOBODYS", "hush-secret-key", "hush-session-token"
PASSWORD = "hush-password"
SECRETS = (SECRET_KEY, TOKEN, PASSWORD, "hush-signature")
FEW = [Window(10, 20, 300, 300), Window(1500, 1500, 300, 300)]
ALL = [Window(c, r, 512, 512) for r in range(0, SIZE, 512) for c in range(0, SIZE, 512)]


def read(raster: RasterSource, windows: list[Window], pixels: NDArray[np.uint8]) -> None:
    for w in windows:
        found, nodata = raster.read(w)
        assert nodata is None
        part = pixels[w.row_off : w.row_off + w.height, w.col_off : w.col_off + w.width]
        np.testing.assert_array_equal(found, part)


def cached() -> list[Path]:
    return [p for p in Path(os.environ["RV_CACHE_DIR"]).rglob("*.tif") if p.is_file()]


def open_raster(uri: str, kernel: Kernel | None = None, **options: Any) -> RasterSource:
    return RasterSource.open(RasterConfig(uris=uri, **options), kernel or Kernel())


def shown(error: BaseException) -> str:
    """All that a traceback would tell."""
    import traceback

    return "".join(traceback.format_exception(error))
