"""Reading chips back one by one, for contact sheets, reports and tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rv_core import UNLABELLED, ChipLabel, ChipSample, ChipSpec, DataError, Window
from rv_learner.chip_files._manifest import open_chips, read_manifest
from rv_learner.chip_files._writer import CHIP_FORMAT

if TYPE_CHECKING:
    from rv_core import Kernel


def read_chips(kernel: Kernel, chips_uri: str, split: str) -> Iterator[ChipSample]:
    """The chips of a split in the files' order; raises `DataError` where a file is damaged."""
    import tensorflow as tf

    manifest = read_manifest(kernel, chips_uri, (CHIP_FORMAT,))
    chips = open_chips(kernel, chips_uri, manifest, split)
    for path in chips.paths:
        try:
            for record in tf.data.TFRecordDataset(str(path)):
                yield _sample(tf.train.Example.FromString(record.numpy()), chips.spec)
        except tf.errors.DataLossError as error:
            raise DataError(
                f"the chip file {path} is damaged: {error.message}", hint="run CHIP again"
            ) from error


def _sample(example: Any, spec: ChipSpec) -> ChipSample:
    import numpy as np

    features: Mapping[str, Any] = example.features.feature
    height, width = spec.size
    encoded = features["image/encoded"].bytes_list.value[0]
    pixels = np.frombuffer(encoded, np.dtype(spec.dtype).newbyteorder("<"))
    class_id = int(features["image/class/label"].int64_list.value[0])
    mask = None
    if "image/nodata_mask" in features:
        packed = np.frombuffer(features["image/nodata_mask"].bytes_list.value[0], np.uint8)
        bits = np.unpackbits(packed, count=height * width)
        mask = bits.reshape(height, width).astype(bool)
    return ChipSample(
        pixels=pixels.reshape(height, width, spec.bands).astype(spec.dtype),
        label=None if class_id == UNLABELLED else ChipLabel(class_id),
        window=Window(*features["image/window"].int64_list.value),
        scene_id=features["image/source_id"].bytes_list.value[0].decode("utf-8"),
        nodata_mask=mask,
    )
