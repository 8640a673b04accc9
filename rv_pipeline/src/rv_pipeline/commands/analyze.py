"""ANALYZE: statistics of the training scenes' bands, which transformers use everywhere after."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.fingerprint import digest_of, plain

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.outputs import Output
    from rv_pipeline.statistics import RasterStats

STATS_NAME: Final = "stats.json"


class Analyze(Command):
    name: ClassVar[str] = "analyze"

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        return {
            "scenes": [plain(scene.raster) for scene in experiment.dataset.train],
            "analyze": plain(experiment.analyze),
        }

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        return tuple(uri for scene in experiment.dataset.train for uri in scene.raster.uris)

    def run(self, job: Job) -> Result:
        from rv_pipeline.rasters import RasterSource
        from rv_pipeline.statistics import compute_stats

        experiment = job.experiment
        with ExitStack() as sources:
            stats = compute_stats(
                [
                    sources.enter_context(RasterSource.open(scene.raster, job.kernel))
                    for scene in experiment.dataset.train
                ],
                sample_windows=experiment.analyze.sample_windows,
                exact=experiment.analyze.exact_percentiles,
                workers=job.workers,
                on_progress=job.context.on_progress,
                should_stop=job.context.should_stop,
            )
        data = stats.to_dict()
        job.begin()
        job.output.write_json(STATS_NAME, data)
        job.keep_only([STATS_NAME])
        count = len(experiment.dataset.train)
        return Result({"line": f"{count} scene{'s' if count > 1 else ''}"}, digest_of(data))


def read_stats(output: Output) -> RasterStats:
    """The statistics that ANALYZE left."""
    from rv_pipeline.statistics import RasterStats

    return RasterStats.from_dict(output.read_json(STATS_NAME))
