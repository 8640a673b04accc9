"""Predictions as files, and back: one module a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.label_stores.geojson import Cells, read_cells, write_cells

__all__ = ["Cells", "read_cells", "write_cells"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that naming a store costs no numpy and no GDAL."""
    if name in __all__:
        from rv_pipeline.label_stores import geojson

        return getattr(geojson, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
