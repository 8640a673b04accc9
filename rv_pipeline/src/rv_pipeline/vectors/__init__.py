"""Vectors: labels and areas of interest, brought into the pixel coordinates of a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.vectors.features import Features
    from rv_pipeline.vectors.reading import read_aoi, read_features

__all__ = ["Features", "read_aoi", "read_features"]

_HOMES = {"Features": "features", "read_aoi": "reading", "read_features": "reading"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that configurations cost no numpy and no GDAL."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
