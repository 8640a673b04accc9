"""How GDAL is set up while RV reads with it, and how its complaints become our errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import rasterio
from rasterio.errors import RasterioError
from rasterio.session import DummySession

BLOCK_CACHE_BYTES: Final = 128 << 20
"""Of decoded blocks per process; GDAL's own default is a share of the machine's memory."""

READ_ERRORS: Final = (RasterioError, OSError, ValueError)
"""What rasterio raises at a file that is damaged or no raster at all."""

_USUAL: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_PAM_ENABLED": "YES"}
"""What is said otherwise for remote files. On the main thread, GDAL's options are those of the
whole process: said on each thread, they hold for local files that others open meanwhile."""

_NO_CREDENTIALS: Final = DummySession()
"""Where boto3 is installed, rasterio would look for those of Amazon each time."""

_thread = threading.local()


@contextmanager
def gdal_session() -> Iterator[None]:
    """GDAL's settings for reading, on this thread, until the block is left.

    Every read enters it; a loop over many windows enters it once around itself, which makes the
    inner ones free.
    """
    if getattr(_thread, "inside", False):
        yield
        return
    options: dict[str, Any] = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True}  # a cut-off JPEG is no image
    for name, usual in _USUAL.items():
        options[name] = os.environ.get(name, usual)
    if "GDAL_CACHEMAX" not in os.environ:
        options["GDAL_CACHEMAX"] = BLOCK_CACHE_BYTES  # rasterio takes bytes, GDAL's variable MB
    with rasterio.Env(_NO_CREDENTIALS, **options):
        _thread.inside = True
        try:
            yield
        finally:
            _thread.inside = False


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
