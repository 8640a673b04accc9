"""Raster Vision 0.31.1, in its own environment. Usage: peer.py SCENE LABELS pixels|cells"""

from __future__ import annotations

import logging
import sys
import time
import warnings

from windows import SIZE, random_windows, report

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def main(image: str, labels: str, mode: str) -> None:
    from rastervision.core.box import Box
    from rastervision.core.data import (
        ChipClassificationLabelSource,
        ChipClassificationLabelSourceConfig,
        ClassConfig,
        ClassInferenceTransformer,
        GeoJSONVectorSource,
        RasterioSource,
        RasterizedSource,
        SemanticSegmentationLabelSource,
    )

    classes = ClassConfig(names=["building", "background"], null_class="background")
    raster = RasterioSource(image)
    vector = GeoJSONVectorSource(
        labels,
        crs_transformer=raster.crs_transformer,
        vector_transformers=[ClassInferenceTransformer(default_class_id=0)],
    )
    spots = random_windows(*raster.shape[1::-1])
    windows = [Box(row, column, row + SIZE, column + SIZE) for row, column in spots]
    if mode == "pixels":
        pixels = RasterizedSource(vector, background_class_id=1, bbox=raster.bbox)
        source = SemanticSegmentationLabelSource(pixels, class_config=classes)
    else:
        config = ChipClassificationLabelSourceConfig(
            ioa_thresh=0.5,
            use_intersection_over_cell=True,
            background_class_id=1,
            infer_cells=True,
            cell_sz=SIZE,
            lazy=True,
        )
        source = ChipClassificationLabelSource(config, vector, bbox=raster.bbox)
    for window in windows:
        raster.get_chip(window)
    start = time.perf_counter()
    if mode == "cells":
        source.populate_labels(cells=windows)
    for window in windows:
        raster.get_chip(window)
        if mode == "pixels":
            source.get_label_arr(window)
    report(len(windows), time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
