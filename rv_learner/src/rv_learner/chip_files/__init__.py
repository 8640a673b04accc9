"""Chips as sharded TFRecord files of ``tf.train.Example``, and ``tf.data`` pipelines over them.

Each record has the fields of the TensorFlow ecosystem: ``image/encoded`` (the pixels, row by row,
bands interleaved, little-endian), ``image/format`` (``raw``), ``image/height``, ``image/width``,
``image/channels``, ``image/dtype``, ``image/filename``, ``image/source_id`` (the scene),
``image/class/label`` (0..n-1, 255: unlabelled), ``image/class/text``, ``image/window`` (column,
row, width, height in the scene), and ``image/nodata_mask`` (packed bits) where there is nodata.
Writing needs numpy alone, so that worker processes start fast; reading needs TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_learner.chip_files._dataset import evaluation_batches, training_batches
    from rv_learner.chip_files._manifest import Chips, open_chips, read_manifest
    from rv_learner.chip_files._reader import read_chips
    from rv_learner.chip_files._writer import CHIP_FORMAT, ChipFileWriter

_HOMES = {
    "CHIP_FORMAT": "_writer",
    "ChipFileWriter": "_writer",
    "Chips": "_manifest",
    "evaluation_batches": "_dataset",
    "open_chips": "_manifest",
    "read_chips": "_reader",
    "read_manifest": "_manifest",
    "training_batches": "_dataset",
}

__all__ = [
    "CHIP_FORMAT",
    "ChipFileWriter",
    "Chips",
    "evaluation_batches",
    "open_chips",
    "read_chips",
    "read_manifest",
    "training_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
