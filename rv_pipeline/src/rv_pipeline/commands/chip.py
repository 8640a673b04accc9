"""CHIP: cut the labelled windows of the training and validation scenes into chips."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rv_core import (
    MANIFEST_NAME,
    ChipManifest,
    ConfigError,
    DataError,
)
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.workers import Count
from rv_pipeline.fingerprint import digest_of, plain
from rv_pipeline.rasters.label_raster import RasterLabelConfig
from rv_pipeline.tasks.task import task_of

if TYPE_CHECKING:
    from rv_core import ChipSpec, Kernel
    from rv_pipeline.commands._chip_blocks import Block, Cut
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.outputs import Output
    from rv_pipeline.scenes import SceneConfig

CHIP_SPLITS: Final = ("train", "validation")
DEBUG_FOLDER: Final = "debug"
"""Of the contact sheets in a CHIP output."""

logger = logging.getLogger(__name__)


class Chip(Command):
    name: ClassVar[str] = "chip"
    upstream: ClassVar[tuple[str, ...]] = ("analyze",)

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        task = task_of(experiment, kernel)
        scenes = {split: labelled_scenes(experiment, split) for split in CHIP_SPLITS}
        learnt = plain(task.config)
        labels = [scene.labels for several in scenes.values() for scene in several]
        if not any(isinstance(one, RasterLabelConfig) for one in labels):
            learnt["classes"] = list(task.classes.names)  # colors tell pixels of labels apart only
        return {
            "task": learnt,
            "scenes": {split: plain(several) for split, several in scenes.items()},
            "chip": plain(task.chip),
            "format": kernel.backend(experiment.backend_key).chip_format,
        }

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        scenes = [s for split in CHIP_SPLITS for s in labelled_scenes(experiment, split)]
        return tuple(uri for scene in scenes for uri in scene_uris(scene))

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        others = [config for config in experiment.chip.augmentors if isinstance(config, Mapping)]
        return ("tasks", experiment.task.key), *(("augmentors", c["type"]) for c in others)

    def run(self, job: Job) -> Result:
        """Chips go to the output as they are cut, under names that the earlier manifest does not
        know: until the new manifest is written, the earlier chips are whole."""
        from rv_pipeline.commands._chip_blocks import cut_all, plan_blocks

        spec, blocks = plan_blocks(job)
        before = job.output.files()
        if any(job.token in name for name in before):
            job.begin()  # the same chips over again: their names are those of the earlier ones
        try:
            count = Count("CHIP", sum(len(b.windows) for b in blocks), job.context.on_progress)
            cuts = list(cut_all(job, spec, blocks, count.add))
            manifest = _manifest(job, spec, blocks, cuts)
        except BaseException:
            for name in job.output.files().keys() - before.keys():
                job.output.drop(name)
            raise
        job.begin()
        job.output.write_json(MANIFEST_NAME, manifest.to_dict())
        shards = [shard.name for split in manifest.splits.values() for shard in split]
        vital = (MANIFEST_NAME, *shards)
        job.keep_only([*vital, *_write_debug_sheets(job, manifest)])
        return Result(_summary(manifest), digest_of(_content(manifest)), vital)


def _write_debug_sheets(job: Job, manifest: ChipManifest) -> list[str]:
    """With the backend's ``debug``: the chips as they lie there, with their labels, on contact
    sheets ``debug/<split>-1.png`` and so on; returns the names."""
    from rv_pipeline.commands.train import make_backend

    backend = make_backend(job.experiment, job.kernel)
    if not backend.config.debug:
        return []
    from rv_pipeline.report.contact_sheets import write_contact_sheets

    names = []
    for split in manifest.splits:
        chips = backend.read_chips(job.output.uri, split)
        made = write_contact_sheets(chips, manifest.spec.classes, job.context.tmp_dir, split)
        for name in made:
            names.append(f"{DEBUG_FOLDER}/{name}")
            job.kernel.files.copy(str(job.context.tmp_dir / name), job.output.path(names[-1]))
    return names


def labelled_scenes(experiment: Experiment, split: str) -> tuple[SceneConfig, ...]:
    """The scenes of a split that chips can be cut from.

    Raises `ConfigError` where there is none to train on, or one of those has no labels.
    """
    scenes: tuple[SceneConfig, ...] = getattr(experiment.dataset, split)
    if split == "train":
        if not scenes:
            raise ConfigError(
                f"experiment {experiment.id!r} has no training scenes",
                hint="list some under dataset.train",
            )
        for scene in scenes:
            if scene.labels is None:
                raise ConfigError(
                    f"training scene {scene.id!r} has no labels", hint="set its 'labels'"
                )
    return tuple(scene for scene in scenes if scene.labels is not None)


def scene_uris(scene: SceneConfig) -> tuple[str, ...]:
    """All files that a scene is made of."""
    vectors = scene.labels.uris if scene.labels is not None else ()
    return (*scene.raster.uris, *vectors, *scene.aoi_uris)


def read_manifest(output: Output) -> ChipManifest:
    """The manifest of a finished CHIP output."""
    return ChipManifest.from_dict(output.read_json(MANIFEST_NAME))


def _manifest(
    job: Job, spec: ChipSpec, blocks: Sequence[Block], cuts: Sequence[Cut]
) -> ChipManifest:
    experiment = job.experiment
    manifest = ChipManifest(
        format=job.kernel.backend(experiment.backend_key).chip_format,
        spec=spec,
        splits={
            split: tuple(shard for cut in cuts if cut.split == split for shard in cut.shards)
            for split in CHIP_SPLITS
        },
    )
    if not manifest.count("train"):
        windows = sum(len(block.windows) for block in blocks if block.split == "train")
        raise DataError(
            f"the training split is empty: none of the {windows} windows of "
            f"{', '.join(scene.id for scene in experiment.dataset.train)} got a label",
            hint="rv preview shows whether the labels lie on the scenes; or "
            + task_of(experiment, job.kernel).more_chips,
        )
    if not manifest.count("validation"):
        logger.warning("there are no validation chips: training goes on without them")
    for class_id, count in _counts(manifest, "train").items():
        if not count:
            logger.warning("no training chip is of class %r", spec.classes.name_of(class_id))
    return manifest


def _counts(manifest: ChipManifest, split: str) -> dict[int, int]:
    counts = manifest.class_counts(split)
    return {i: counts.get(i, 0) for i in range(len(manifest.spec.classes))} if counts else {}


def _summary(manifest: ChipManifest) -> dict[str, Any]:
    splits: dict[str, Any] = {
        split: {
            "chips": manifest.count(split),
            "classes": {
                manifest.spec.classes.name_of(i): n for i, n in _counts(manifest, split).items()
            },
        }
        for split in manifest.splits
    }
    parts = []
    for split, found in splits.items():
        classes = ", ".join(f"{n} {name}" for name, n in found["classes"].items())
        parts.append(f"{found['chips']} {split}" + (f" ({classes})" if classes else ""))
    return {"line": "; ".join(parts), "splits": splits}


def _content(manifest: ChipManifest) -> list[Any]:
    """What the chips are, whatever their files are called, and however classes are drawn."""
    spec = {**manifest.spec.to_dict(), "classes": list(manifest.spec.classes.names)}
    shards = [[s.sha256 for s in manifest.splits[split]] for split in sorted(manifest.splits)]
    return [manifest.format, spec, sorted(manifest.splits), shards]
