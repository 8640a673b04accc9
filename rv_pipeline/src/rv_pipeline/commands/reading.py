"""Reading the windows of a scene in an order and in pieces that suit the file."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from rv_core import ConfigError, DataError, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_pipeline.rasters import RasterSource
    from rv_pipeline.scenes import Scene

    Read = tuple[Window, NDArray[Any], NDArray[np.bool_] | None]

_STRIP_PIXELS: Final = 1 << 18
"""Pixels that are read at a time, at most. Measured on a tiled RGB file: windows of 64 px come
seven times as fast as one by one, those of 300 px, which pay for themselves, no slower; four times
as much no longer fits the processor's caches."""

T = TypeVar("T")


@attrs.frozen
class Layout:
    """What the pixels of a scene are; the scenes of one experiment have it in common."""

    scene_id: str
    bands: int
    dtype: str

    @classmethod
    def of(cls, scene: Scene) -> Layout:
        return cls(scene.id, scene.raster.bands, str(scene.raster.dtype))

    def check_chips(self, other: Layout) -> None:
        """Raises `DataError` for a scene whose chips would not fit those of this one."""
        if (self.bands, self.dtype) != (other.bands, other.dtype):
            raise DataError(
                f"scene {other.scene_id!r} has {_counted(other.bands)} of {other.dtype}, "
                f"{self.scene_id!r} has {_counted(self.bands)} of {self.dtype}",
                hint="choose bands with channel_order and a dtype with transformers",
            )

    def check_bands(self, other: Layout) -> None:
        """Raises `DataError` for a scene that a model trained on this one could not be shown."""
        if self.bands != other.bands:
            raise DataError(
                f"scene {other.scene_id!r} has {_counted(other.bands)}, the training scene "
                f"{self.scene_id!r} has {_counted(self.bands)}",
                hint="choose bands with channel_order",
            )


def _counted(bands: int) -> str:
    return f"{bands} band{'' if bands == 1 else 's'}"


def read_windows(raster: RasterSource, windows: Iterable[Window]) -> Iterator[Read]:
    """Each window with its pixels [H, W, C] and, where some are without data, which.

    Neighbours in a row of windows are read as one strip, so that no block of the file is decoded
    twice for it.
    """
    for strip, members in strips(windows):
        pixels, nodata = raster.read(strip)
        for window in members:
            left, top = window.col_off - strip.col_off, window.row_off - strip.row_off
            place = (slice(top, top + window.height), slice(left, left + window.width))
            hole = None if nodata is None else nodata[place]
            yield window, pixels[place], hole if hole is not None and hole.any() else None


def strips(
    windows: Iterable[Window], max_pixels: int = _STRIP_PIXELS
) -> Iterator[tuple[Window, Sequence[Window]]]:
    """Runs of windows that lie side by side in one row, each with the window around them all.

    Gaps of up to one window's width are read over. Windows come in the order given.
    """
    run: list[Window] = []
    right = 0
    for window in windows:
        end = window.col_off + window.width
        if run and not _continues(run, window, max(right, end), max_pixels):
            yield _around(run), run
            run = []
        right = max(right, end) if run else end
        run.append(window)
    if run:
        yield _around(run), run


def _continues(run: Sequence[Window], window: Window, right: int, max_pixels: int) -> bool:
    first, last = run[0], run[-1]
    return (
        (window.row_off, window.height) == (last.row_off, last.height)
        and last.col_off <= window.col_off <= last.col_off + 2 * last.width
        and (right - first.col_off) * window.height <= max_pixels
    )


def _around(run: Sequence[Window]) -> Window:
    left = run[0].col_off
    right = max(window.col_off + window.width for window in run)
    return Window(left, run[0].row_off, right - left, run[0].height)


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items, made by a thread that works up to ``depth`` items ahead.

    An exception of the thread is raised here; the thread ends when the iteration is left.
    """
    filled: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    left = threading.Event()

    def put(item: T | None, error: BaseException | None, end: bool) -> bool:
        while not left.is_set():
            try:
                filled.put((item, error, end), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item, None, False):
                    return
            put(None, None, True)
        except BaseException as error:  # noqa: BLE001  # it is raised where the items are used
            put(None, error, True)

    thread = threading.Thread(target=work, name="rv-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, end = filled.get()
            if error is not None:
                raise error
            if end:
                return
            yield item  # type: ignore[misc]  # only the end has none
    finally:
        left.set()
        thread.join()


@contextmanager
def about(scene_id: str) -> Iterator[None]:
    """Say in a `DataError` or `ConfigError` which scene it is about."""
    try:
        yield
    except (DataError, ConfigError) as error:
        if repr(scene_id) in error.message:
            raise
        kind = DataError if isinstance(error, DataError) else ConfigError
        raise kind(f"scene {scene_id!r}: {error.message}", hint=error.hint) from error
