"""The floor: rasterio reads the windows, nothing is labelled. Usage: plain.py SCENE LABELS"""

from __future__ import annotations

import sys
import time

import rasterio
from rasterio.windows import Window
from windows import SIZE, random_windows, report


def main(image: str, _labels: str) -> None:
    with rasterio.open(image) as dataset:
        windows = [Window(c, r, SIZE, SIZE) for r, c in random_windows(*dataset.shape[::-1])]
        for window in windows:
            dataset.read(window=window)
        start = time.perf_counter()
        for window in windows:
            dataset.read(window=window)
        report(len(windows), time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
