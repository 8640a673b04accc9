"""Rasters, read by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.rasters._coverage import holds_data
    from rv_pipeline.rasters._gdal import gdal_session
    from rv_pipeline.rasters.source import RasterSource
    from rv_pipeline.rasters.transformers import Transformer, make_transformer

__all__ = ["RasterSource", "Transformer", "gdal_session", "holds_data", "make_transformer"]

_HOMES = {
    "RasterSource": "source",
    "Transformer": "transformers",
    "gdal_session": "_gdal",
    "holds_data": "_coverage",
    "make_transformer": "transformers",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that configurations cost no numpy and no GDAL."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
