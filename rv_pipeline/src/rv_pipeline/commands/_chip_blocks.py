"""Cutting chips block by block, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Final

import attrs

from rv_core import ChipSample, ChipSpec, ChipWriter, DataError, Kernel, ShardInfo, Window
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.chip import CHIP_SPLITS, labelled_scenes
from rv_pipeline.commands.reading import about, read_windows
from rv_pipeline.commands.train import make_backend, resolved_backend
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.task import find_task

if TYPE_CHECKING:
    from rv_core import KernelSpec
    from rv_pipeline.commands.command import Job
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import Scene, SceneConfig
    from rv_pipeline.statistics import RasterStats

_BLOCK_BYTES: Final = 16 << 20  # of pixels: small enough to share out, large enough for one file
_MIN_BLOCK: Final = 16


@attrs.frozen
class Block:
    """The windows ``start`` to ``stop`` of a scene; they become one shard.

    Blocks do not depend on the number of workers, hence neither do the chips.
    """

    split: str
    scene: SceneConfig
    start: int
    stop: int
    shard: str

    @property
    def count(self) -> int:
        return self.stop - self.start


@attrs.frozen
class Cut:
    """What came of a block; no shards where none of its windows is labelled."""

    block: Block
    shards: tuple[ShardInfo, ...]


def plan_blocks(job: Job) -> tuple[ChipSpec, list[Block]]:
    """What the chips have in common, and the blocks to cut, in order.

    Raises `DataError` for scenes that differ in bands or dtype, or are smaller than a chip.
    """
    experiment = job.experiment
    stats = read_stats(job.upstream["analyze"])
    task = find_task(experiment.task, job.kernel)
    height, width = task.chip_size
    layout: tuple[int, str, str] | None = None
    blocks: list[Block] = []
    for split in CHIP_SPLITS:
        for scene_config in labelled_scenes(experiment, split):
            with open_scene(scene_config, job.kernel, stats=stats, with_labels=False) as scene:
                bands, dtype = scene.raster.bands, str(scene.raster.dtype)
                layout = layout or (bands, dtype, scene_config.id)
                if layout[:2] != (bands, dtype):
                    raise DataError(
                        f"scene {scene_config.id!r} has {bands} bands of {dtype}, "
                        f"{layout[2]!r} has {layout[0]} of {layout[1]}",
                        hint="choose bands with channel_order and a dtype with transformers",
                    )
                with about(scene_config.id):
                    count = len(task.chip_windows(scene, split, experiment.chip))
            per_chip = height * width * bands * _item_size(dtype)
            step = max(_MIN_BLOCK, _BLOCK_BYTES // per_chip)
            blocks += [
                Block(
                    split,
                    scene_config,
                    start,
                    min(start + step, count),
                    f"{job.token}-{scene_config.id}-{start // step:05d}",
                )
                for start in range(0, count, step)
            ]
    assert layout is not None  # labelled_scenes gives at least one scene to train on
    bands, dtype, _ = layout
    size = (height, width)
    spec = ChipSpec(experiment.task.key, experiment.task.classes, bands, dtype, size)  # type: ignore[arg-type]  # mypy reads its converter as that of an empty tuple
    return spec, blocks


def cut_all(job: Job, spec: ChipSpec, blocks: Sequence[Block]) -> Iterator[Cut]:
    """Cut the blocks, in order, with as many processes as the job asks for."""
    stats = read_stats(job.upstream["analyze"])
    experiment = attrs.evolve(
        job.experiment, backend=resolved_backend(job.experiment, job.kernel).to_dict()
    )
    workers = min(job.workers, len(blocks))
    if workers <= 1:
        with Cutter(experiment, job.kernel, job.output.uri, spec, stats) as cutter:
            yield from map(cutter.cut, blocks)
        return
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        _start_worker,
        (experiment, job.kernel.spec(), job.output.uri, spec, stats),
    )
    try:
        futures: list[Future[Cut]] = [pool.submit(_cut_in_worker, block) for block in blocks]
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a CHIP worker died before its work was done",
            hint="it may have run out of memory: use fewer --workers",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Cutter:
    """Cuts blocks in one process; keeps the last scene open, since blocks come scene by scene."""

    def __init__(
        self,
        experiment: Experiment,
        kernel: Kernel,
        chips_uri: str,
        spec: ChipSpec,
        stats: RasterStats,
    ) -> None:
        self._experiment = experiment
        self._kernel = kernel
        self._chips_uri = chips_uri
        self._spec = spec
        self._stats = stats
        self._backend = make_backend(experiment, kernel)
        self._task = find_task(experiment.task, kernel)
        self._open = ExitStack()
        self._current: tuple[str, SceneConfig, Scene, Sequence[Window]] | None = None

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def cut(self, block: Block) -> Cut:
        """Read and label the windows of a block, and write those that are labelled."""
        scene, windows = self._scene(block)
        windows = windows[block.start : block.stop]
        labels = self._task.label(scene, windows)
        labelled = [
            (w, label) for w, label in zip(windows, labels, strict=True) if label is not None
        ]
        writer: ChipWriter | None = None
        try:
            by_window = dict(labelled)
            for window, pixels, nodata in read_windows(scene.raster, [w for w, _ in labelled]):
                if nodata is not None and nodata.all():
                    continue
                if writer is None:
                    writer = self._backend.chip_writer(
                        self._chips_uri, block.split, block.shard, self._spec
                    )
                sample = ChipSample(pixels, by_window[window], window, block.scene.id, nodata)
                writer.write(sample)
        except BaseException:
            if writer is not None:
                writer.abort()
            raise
        if writer is None:
            return Cut(block, ())
        writer.close()
        return Cut(block, tuple(writer.shards))

    def _scene(self, block: Block) -> tuple[Scene, Sequence[Window]]:
        if self._current is None or self._current[:2] != (block.split, block.scene):
            self._open.close()
            self._current = None
            scene = self._open.enter_context(
                open_scene(
                    block.scene,
                    self._kernel,
                    classes=self._experiment.task.classes,
                    stats=self._stats,
                )
            )
            windows = self._task.chip_windows(scene, block.split, self._experiment.chip)
            self._current = (block.split, block.scene, scene, windows)
        return self._current[2], self._current[3]


_make_cutter: Callable[[], Cutter] | None = None


def _start_worker(
    experiment: Experiment, kernel: KernelSpec, chips_uri: str, spec: ChipSpec, stats: RasterStats
) -> None:
    """Ctrl-C is for the parent to deal with; a worker whose parent is gone ends, as nobody would
    ever ask it for anything. The cutter is made with the first block, so that what goes wrong
    there reaches the parent."""
    global _make_cutter  # noqa: PLW0603  # a worker process has one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make_cutter = cache(
        lambda: Cutter(experiment, Kernel.from_spec(kernel), chips_uri, spec, stats)
    )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cut_in_worker(block: Block) -> Cut:
    assert _make_cutter is not None
    return _make_cutter().cut(block)


def _item_size(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize
