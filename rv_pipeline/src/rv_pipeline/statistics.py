"""Statistics of rasters, band by band, from a sample of their pixels: what ANALYZE finds out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import numpy as np

from rv_core import DataError, InterruptedRunError, Progress, Window, ignore_progress
from rv_pipeline._order_statistics import Percentiles
from rv_pipeline.rasters import gdal_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import OnProgress
    from rv_pipeline.rasters import RasterSource

_T = TypeVar("_T")
_Item = TypeVar("_Item")

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
    exact: bool = False,
    seed: int = 0,
    workers: int = 1,
    on_progress: OnProgress = ignore_progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> RasterStats:
    """Statistics over all the rasters, before their transformers.

    ``sample_windows``: how many windows of 256 px are read in all, the same ones every time, each
    raster having its share by area; rasters of fewer windows, and ``None``, are read whole. Pixels
    without data do not count. The percentiles are those of up to 2 million values a band, spread
    evenly over what was read.
    ``exact``: the percentiles are those of all pixels, which are read whatever ``sample_windows``
    says, in bounded memory: once where they have up to 16 bits, twice of 32 bits, four times of 64.
    ``workers``: how many threads read. The result does not depend on it.

    Raises `DataError` where the rasters differ in their number of bands, or no pixel has data, and
    `InterruptedRunError` where it is to stop.
    """
    _check_bands(sources)
    plan = _plan(sources, None if exact else sample_windows, np.random.default_rng(seed))
    bands = sources[0].raw_bands
    dtype = np.result_type(*(source.raw_dtype for source in sources))
    kept = 0 if exact else max(1, _KEPT // max(1, len(plan)))
    collectors = [_Collector() for _ in range(bands)]
    searches = [Percentiles(dtype, percentiles) for _ in range(bands)] if exact else []

    def passes(look: Callable[[list[NDArray[Any]]], _T]) -> Iterator[_T]:
        for done, found in enumerate(in_order(lambda cell: look(_bands(*cell)), plan, workers), 1):
            yield found
            on_progress(Progress("ANALYZE", done, len(plan), "window"))
            if should_stop():
                raise InterruptedRunError("ANALYZE was stopped", hint="the next run starts it over")

    def measure(values: list[NDArray[Any]]) -> tuple[list[_Sample], list[NDArray[np.int64]]]:
        return [_measured(band, kept) for band in values], count(values)

    def count(values: list[NDArray[Any]]) -> list[NDArray[np.int64]]:
        # While a pass goes on, nothing changes what is counted: threads may ask at once.
        return [search.count(band) for search, band in zip(searches, values, strict=False)]

    for samples, counts in passes(measure):
        for collector, sample in zip(collectors, samples, strict=True):
            collector.add(sample)
        _add(searches, counts)
    if collectors[0].count == 0:
        raise DataError(
            f"none of the pixels looked at in {_names(sources)} has data",
            hint="look at the files' nodata value, masks and alpha bands",
        )

    while exact and not _narrowed(searches):
        for counts in passes(count):
            _add(searches, counts)
    ends = (
        [search.values() for search in searches]
        if exact
        else [collector.percentiles(percentiles) for collector in collectors]
    )
    return RasterStats(
        bands=tuple(c.finish(*pair) for c, pair in zip(collectors, ends, strict=True)),
        percentiles=percentiles,
    )


def _add(searches: Sequence[Percentiles], counts: Sequence[NDArray[np.int64]]) -> None:
    for search, counted in zip(searches, counts, strict=True):
        search.add(counted)


def _narrowed(searches: Sequence[Percentiles]) -> bool:
    """End a pass; says whether it was the last one, which it is for all at once."""
    for search in searches:
        search.narrow()
    return searches[0].is_done


def _bands(source: RasterSource, window: Window) -> list[NDArray[Any]]:
    """The values with data of each band."""
    with gdal_session():
        pixels, nodata = source.read_raw(window)
    values = pixels.reshape(-1, pixels.shape[-1]) if nodata is None else pixels[~nodata]
    return list(values.T)


@attrs.frozen(eq=False)
class _Sample:
    """What is to know of some values of a band; ``kept``: some of them."""

    count: int
    mean: float
    squares: float
    min: float
    max: float
    kept: NDArray[Any]


def _measured(values: NDArray[Any], kept: int) -> _Sample:
    if values.size == 0:
        return _Sample(0, 0.0, 0.0, math.inf, -math.inf, values)
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    return _Sample(
        count=exact.size,
        mean=mean,
        squares=float(np.square(exact - mean).sum()),
        min=float(exact.min()),
        max=float(exact.max()),
        kept=values[:: -(-values.size // kept)].copy() if kept else values[:0],
    )


class _Collector:
    """The running statistics of one band."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        self._min = math.inf
        self._max = -math.inf
        self._kept: list[NDArray[Any]] = []

    def add(self, sample: _Sample) -> None:
        if sample.count == 0:
            return
        # Two samples' moments combine without cancellation (Chan, Golub & LeVeque 1979).
        total, shift = self.count + sample.count, sample.mean - self._mean
        self._mean += shift * sample.count / total
        self._squares += sample.squares + shift * shift * self.count * sample.count / total
        self.count = total
        self._min = min(self._min, sample.min)
        self._max = max(self._max, sample.max)
        self._kept.append(sample.kept)

    def percentiles(self, wanted: tuple[float, float]) -> list[float]:
        """Of the values that were kept."""
        return [float(value) for value in np.percentile(np.concatenate(self._kept), wanted)]

    def finish(self, low: float, high: float) -> BandStats:
        return BandStats(
            count=self.count,
            mean=self._mean,
            std=math.sqrt(self._squares / self.count),
            min=self._min,
            max=self._max,
            low=low,
            high=high,
        )


def in_order(do: Callable[[_Item], _T], items: Sequence[_Item], workers: int) -> Iterator[_T]:
    """What ``do`` makes of each item, in their order, by so many threads, none of which is far
    ahead of whoever takes the results."""
    if workers <= 1:
        yield from map(do, items)
        return
    with ThreadPoolExecutor(workers, "rv-analyze") as pool:
        waiting: deque[Future[_T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(do, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _check_bands(sources: Sequence[RasterSource]) -> None:
    if not sources:
        raise DataError("there are no rasters to make statistics of", hint="add a scene")
    first = sources[0]
    for source in sources:
        if source.raw_bands != first.raw_bands:
            raise DataError(
                f"{first.uri} has {first.raw_bands} bands, {source.uri} has {source.raw_bands}",
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
