"""Predictions as files, and back: one module a format."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.label_stores.boxes import StoredBoxes, read_boxes, write_boxes
    from rv_pipeline.label_stores.cells import Cells, read_cells, write_cells

__all__ = ["Cells", "StoredBoxes", "read_boxes", "read_cells", "write_boxes", "write_cells"]

_MODULES = {"Cells": "cells", "StoredBoxes": "boxes"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that naming a store costs no numpy and no GDAL."""
    if name in __all__:
        module = _MODULES.get(name) or name.partition("_")[2]
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
