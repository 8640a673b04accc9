"""Cutting chips block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import attrs

from rv_core import (
    UNLABELLED,
    ChipSample,
    ChipSpec,
    ChipWriter,
    InterruptedRunError,
    PixelLabels,
    ShardInfo,
    Window,
)
from rv_pipeline.augmentors import augment, make_augmentor
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.chip import CHIP_SPLITS, labelled_scenes
from rv_pipeline.commands.reading import Layout, about, read_windows
from rv_pipeline.commands.train import make_backend, resolved_backend
from rv_pipeline.commands.workers import Surroundings, Work, do_blocks
from rv_pipeline.scenes import open_scene
from rv_pipeline.tasks.task import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from rv_core import Label
    from rv_pipeline.commands.command import Job
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import Scene, SceneConfig
    from rv_pipeline.statistics import RasterStats

_BLOCK_BYTES: Final = 16 << 20  # of pixels: small enough to share out, large enough for one file
_MIN_BLOCK: Final = 16


@attrs.frozen
class Block:
    """Some windows of a scene; those of them that are labelled become one shard.

    Blocks do not depend on the number of workers, hence neither do the chips.
    """

    split: str
    scene: SceneConfig
    windows: Sequence[Window]
    shard: str


@attrs.frozen
class Cut:
    """What came of a block; no shards where none of its windows is labelled."""

    split: str
    shards: tuple[ShardInfo, ...]


def plan_blocks(job: Job) -> tuple[ChipSpec, list[Block]]:
    """What the chips have in common, and the blocks to cut, in order.

    Raises `DataError` for scenes that differ in bands or dtype, or are smaller than a chip.
    """
    experiment = job.experiment
    stats = read_stats(job.upstream["analyze"])
    task = task_of(experiment, job.kernel)
    height, width = task.chip_size
    layout: Layout | None = None
    blocks: list[Block] = []
    for split in CHIP_SPLITS:
        for config in labelled_scenes(experiment, split):
            with (
                about(config.id),
                open_scene(config, job.kernel, classes=task.classes, stats=stats) as scene,
            ):
                found = Layout.of(scene)
                layout = layout or found
                layout.check_chips(found)
                windows = task.chip_windows(scene, split)
            per_chip = height * width * found.bands * _item_size(found.dtype)
            step = max(_MIN_BLOCK, _BLOCK_BYTES // per_chip)
            blocks += [
                Block(
                    split,
                    config,
                    windows[start : start + step],
                    f"{job.token}-{config.id}-{start // step:05d}",
                )
                for start in range(0, len(windows), step)
            ]
    assert layout is not None  # labelled_scenes gives at least one scene to train on
    size = (height, width)
    spec = ChipSpec(experiment.task.key, experiment.task.classes, layout.bands, layout.dtype, size)  # type: ignore[arg-type]  # mypy reads its converter as that of an empty tuple
    return spec, blocks


def cut_all(
    job: Job, spec: ChipSpec, blocks: Sequence[Block], on_tick: Callable[[int], None]
) -> Iterator[Cut]:
    """Cut the blocks, in order, with as many processes as the job asks for; ``on_tick`` hears of
    the windows looked at."""
    stats = read_stats(job.upstream["analyze"])
    experiment = attrs.evolve(
        job.experiment, backend=resolved_backend(job.experiment, job.kernel).to_dict()
    )
    work = Work("CHIP", Cutter, (experiment, job.output.uri, spec, stats))
    return do_blocks(
        work,
        blocks,
        job.workers,
        job.kernel,
        on_tick=on_tick,
        should_stop=job.context.should_stop,
    )


class Cutter:
    """Cuts blocks in one process; keeps the last scene open, since blocks come scene by scene."""

    def __init__(
        self,
        experiment: Experiment,
        chips_uri: str,
        spec: ChipSpec,
        stats: RasterStats,
        surroundings: Surroundings,
    ) -> None:
        kernel = surroundings.kernel
        self._chips_uri = chips_uri
        self._spec = spec
        self._stats = stats
        self._around = surroundings
        self._backend = make_backend(experiment, kernel)
        self._task = task_of(experiment, kernel)
        self._augmentors = [make_augmentor(c, kernel) for c in self._task.chip.augmentors]
        self._open = ExitStack()
        self._current: tuple[SceneConfig, Scene] | None = None

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def __call__(self, block: Block) -> Cut:
        """Read and label the windows of a block, and write those that are labelled."""
        with about(block.scene.id):
            shards = self._cut(block, self._scene(block.scene))
        self._around.tick(len(block.windows))
        return Cut(block.split, shards)

    def _cut(self, block: Block, scene: Scene) -> tuple[ShardInfo, ...]:
        labels = self._task.label(scene, block.windows)
        # Of windows that are drawn at random, one may be there twice: it is two chips.
        labelled = [
            (window, label)
            for window, label in zip(block.windows, labels, strict=True)
            if label is not None
        ]
        reads = read_windows(scene.raster, (window for window, _ in labelled))
        writer: ChipWriter | None = None
        try:
            for (_, truth), (window, pixels, nodata) in zip(labelled, reads, strict=True):
                if self._around.should_stop():
                    raise InterruptedRunError(
                        "CHIP was stopped", hint="the next run starts it over"
                    )
                label = _without(nodata, truth)
                if label is None:
                    continue
                if writer is None:
                    writer = self._backend.chip_writer(
                        self._chips_uri, block.split, block.shard, self._spec
                    )
                sample = ChipSample(pixels, label, window, block.scene.id, nodata)
                if block.split == "train":
                    sample = augment(sample, self._augmentors, self._task.chip.seed)
                writer.write(sample)
        except BaseException:
            if writer is not None:
                writer.abort()
            raise
        if writer is None:
            return ()
        writer.close()
        return tuple(writer.shards)

    def _scene(self, config: SceneConfig) -> Scene:
        if self._current is None or self._current[0] != config:
            self._open.close()
            self._current = None
            scene = self._open.enter_context(
                open_scene(
                    config, self._around.kernel, classes=self._task.classes, stats=self._stats
                )
            )
            self._current = (config, scene)
        return self._current[1]


def _without(nodata: NDArray[np.bool_] | None, label: Label) -> Label | None:
    """The label with the pixels that hold no data unlabelled; ``None`` if nothing is left."""
    if nodata is None:
        return label
    if nodata.all():
        return None
    if not isinstance(label, PixelLabels) or label.mask is None:
        return label
    import numpy as np

    mask = np.where(nodata, np.uint8(UNLABELLED), label.mask)
    return PixelLabels(mask) if (mask != UNLABELLED).any() else None


def _item_size(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize
