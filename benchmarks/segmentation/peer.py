"""Raster Vision 0.31.1, in its own environment. Usage: peer.py chips SCENE LABELS random|sliding;
peer.py predict SCENE FOLDER"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from task import BATCH, CHIP, PREDICTED, STRIDE, Clock, chip_windows

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def chips(image: str, labels: str, mode: str) -> None:
    from rastervision.core.box import Box
    from rastervision.core.data import (
        ClassConfig,
        ClassInferenceTransformer,
        GeoJSONVectorSource,
        RasterioSource,
        RasterizedSource,
        SemanticSegmentationLabelSource,
    )

    raster = RasterioSource(image)
    vector = GeoJSONVectorSource(
        labels,
        crs_transformer=raster.crs_transformer,
        vector_transformers=[ClassInferenceTransformer(default_class_id=0)],
    )
    drawn = RasterizedSource(vector, background_class_id=1, bbox=raster.bbox)
    classes = ClassConfig(names=["building", "background"], null_class="background")
    source = SemanticSegmentationLabelSource(drawn, class_config=classes)
    spots = chip_windows(*raster.shape[1::-1], mode)
    windows = [Box(row, col, row + CHIP, col + CHIP) for row, col in spots]
    for window in windows:
        raster.get_chip(window)
    labelled, clock = 0, Clock()
    for window in windows:
        raster.get_chip(window)
        labelled += int((source.get_label_arr(window) == 0).sum())
    clock.report(len(windows), labelled=labelled)


def predict(image: str, folder: str) -> None:
    from rastervision.core.data import (
        ClassConfig,
        RasterioSource,
        SemanticSegmentationLabels,
        SemanticSegmentationLabelStore,
    )

    clock = Clock()
    raster = RasterioSource(image)
    windows = raster.extent.get_windows(PREDICTED, STRIDE)

    def predictions() -> Iterator[Any]:
        for first in range(0, len(windows), BATCH):
            batch = np.stack([raster.get_chip(w) for w in windows[first : first + BATCH]])
            bright = batch.mean(-1, dtype="f4") / np.float32(255)
            yield from np.stack([bright, 1 - bright], 1)

    labels = SemanticSegmentationLabels.from_predictions(
        windows, predictions(), extent=raster.extent, num_classes=2, smooth=True
    )
    blended = clock.seconds
    store = SemanticSegmentationLabelStore(
        folder,
        crs_transformer=raster.crs_transformer,
        class_config=ClassConfig(names=["building", "background"], null_class="background"),
        smooth_output=False,
    )
    store.save(labels)
    clock.report(len(windows), blended=blended)


if __name__ == "__main__":
    {"chips": chips, "predict": predict}[sys.argv[1]](*sys.argv[2:])
