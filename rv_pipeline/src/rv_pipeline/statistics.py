"""Statistics of rasters, band by band, from a sample of their pixels: what ANALYZE finds out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from rv_core import DataError, Progress, Window, ignore_progress
from rv_pipeline.rasters import gdal_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import OnProgress
    from rv_pipeline.rasters import RasterSource

SAMPLE_SIZE: Final = 256
"""Height and width in pixels of the windows that are sampled."""

_KEPT: Final = 2_000_000  # values kept per band for its percentiles, which bounds the memory


@attrs.frozen(kw_only=True)
class BandStats:
    """One band: the number of pixels looked at (those with data), their mean, population standard
    deviation, extremes, and the values at the low and the high percentile."""

    count: int
    mean: float
    std: float
    min: float
    max: float
    low: float
    high: float


@attrs.frozen(kw_only=True)
class RasterStats:
    """Statistics of rasters of the same bands; ``percentiles``: which ones ``low`` and ``high``
    of each band are, in percent."""

    bands: tuple[BandStats, ...]
    percentiles: tuple[float, float] = (1.0, 99.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse of `from_dict`."""
        return {
            "percentiles": list(self.percentiles),
            "bands": [attrs.asdict(band) for band in self.bands],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RasterStats:
        """Raises `DataError` where this is not what `to_dict` makes."""
        try:
            return cls(
                bands=tuple(BandStats(**band) for band in data["bands"]),
                percentiles=(data["percentiles"][0], data["percentiles"][1]),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"these are no raster statistics: {error!r}", hint="run ANALYZE again"
            ) from error


def compute_stats(
    sources: Sequence[RasterSource],
    *,
    sample_windows: int | None = 400,
    percentiles: tuple[float, float] = (1.0, 99.0),
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
) -> RasterStats:
    """Statistics over all the rasters, before their transformers.

    ``sample_windows``: how many windows of 256 px are read in all, the same ones every time, each
    raster having its share by area; rasters of fewer windows, and ``None``, are read whole. Pixels
    without data do not count.

    Raises `DataError` where the rasters differ in their number of bands, or no pixel has data.
    """
    _check_bands(sources)
    plan = _plan(sources, sample_windows, np.random.default_rng(seed))
    collectors = [_Collector(_KEPT // max(1, len(plan))) for _ in range(sources[0].bands)]
    with gdal_session():
        for done, (source, window) in enumerate(plan):
            pixels, nodata = source.read_raw(window)
            values = pixels.reshape(-1, pixels.shape[-1]) if nodata is None else pixels[~nodata]
            for collector, band in zip(collectors, values.T, strict=True):
                collector.add(band)
            on_progress(Progress("ANALYZE", done + 1, len(plan), "window"))
    if collectors[0].count == 0:
        raise DataError(
            f"none of the pixels looked at in {_names(sources)} has data",
            hint="look at the files' nodata value, masks and alpha bands",
        )
    bands = tuple(collector.finish(percentiles) for collector in collectors)
    return RasterStats(bands=bands, percentiles=percentiles)


class _Collector:
    """The running statistics of one band."""

    def __init__(self, kept_per_window: int) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        self._min = math.inf
        self._max = -math.inf
        self._kept_per_window = max(1, kept_per_window)
        self._kept: list[NDArray[Any]] = []

    def add(self, values: NDArray[Any]) -> None:
        if values.size == 0:
            return
        exact = values.astype(np.float64)
        count, mean = exact.size, float(exact.mean())
        squares = float(np.square(exact - mean).sum())
        # Two samples' moments combine without cancellation (Chan, Golub & LeVeque 1979).
        total, shift = self.count + count, mean - self._mean
        self._mean += shift * count / total
        self._squares += squares + shift * shift * self.count * count / total
        self.count = total
        self._min = min(self._min, float(exact.min()))
        self._max = max(self._max, float(exact.max()))
        self._kept.append(values[:: -(-values.size // self._kept_per_window)].copy())

    def finish(self, percentiles: tuple[float, float]) -> BandStats:
        low, high = np.percentile(np.concatenate(self._kept), percentiles)
        return BandStats(
            count=self.count,
            mean=self._mean,
            std=math.sqrt(self._squares / self.count),
            min=self._min,
            max=self._max,
            low=float(low),
            high=float(high),
        )


def _check_bands(sources: Sequence[RasterSource]) -> None:
    if not sources:
        raise DataError("there are no rasters to make statistics of", hint="add a scene")
    first = sources[0]
    for source in sources:
        if source.bands != first.bands:
            raise DataError(
                f"{first.uri} has {first.bands} bands, {source.uri} has {source.bands}",
                hint="scenes of one experiment have the same bands; see channel_order",
            )


def _plan(
    sources: Sequence[RasterSource], sample_windows: int | None, generator: np.random.Generator
) -> list[tuple[RasterSource, Window]]:
    shapes = [(-(-s.height // SAMPLE_SIZE), -(-s.width // SAMPLE_SIZE)) for s in sources]
    total = sum(rows * cols for rows, cols in shapes)
    plan: list[tuple[RasterSource, Window]] = []
    for source, (rows, cols) in zip(sources, shapes, strict=True):
        cells: Iterable[int] = range(rows * cols)
        if sample_windows is not None and sample_windows < total:
            share = max(1, round(sample_windows * rows * cols / total))
            cells = np.sort(generator.choice(rows * cols, min(share, rows * cols), replace=False))
        for cell in cells:
            row, col = divmod(int(cell), cols)
            plan.append((source, _cell(source, row * SAMPLE_SIZE, col * SAMPLE_SIZE)))
    return plan


def _cell(source: RasterSource, row: int, col: int) -> Window:
    width, height = min(SAMPLE_SIZE, source.width - col), min(SAMPLE_SIZE, source.height - row)
    return Window(col, row, width, height)


def _names(sources: Sequence[RasterSource]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{sources[0].uri}{more}"
