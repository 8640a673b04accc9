"""EVAL: compare predictions with labels, and draw both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rv_core import InterruptedRunError
from rv_pipeline.commands.analyze import read_stats
from rv_pipeline.commands.chip import scene_uris
from rv_pipeline.commands.command import Command, Job, Result
from rv_pipeline.commands.reading import about
from rv_pipeline.commands.workers import Count
from rv_pipeline.fingerprint import digest_of, plain
from rv_pipeline.tasks.task import EvaluatedScene, task_of

if TYPE_CHECKING:
    from rv_core import Kernel
    from rv_pipeline.experiment import Experiment
    from rv_pipeline.scenes import SceneConfig

EVAL_NAME: Final = "eval.json"


class Evaluate(Command):
    name: ClassVar[str] = "eval"
    upstream: ClassVar[tuple[str, ...]] = ("analyze", "predict")

    def config(self, experiment: Experiment, kernel: Kernel) -> dict[str, Any]:
        return {
            "task": plain(task_of(experiment, kernel).config),
            "scenes": [plain(scene) for scene in evaluated_scenes(experiment)],
        }

    def inputs(self, experiment: Experiment) -> tuple[str, ...]:
        return tuple(uri for s in evaluated_scenes(experiment) for uri in scene_uris(s))

    def plugins(self, experiment: Experiment) -> tuple[tuple[str, str], ...]:
        return (("tasks", experiment.task.key),)

    def run(self, job: Job) -> Result:
        from rv_pipeline.report.evaluation import REPORT_NAME, EvaluationReport
        from rv_pipeline.scenes import open_scene

        experiment = job.experiment
        task = task_of(experiment, job.kernel)
        stats = read_stats(job.upstream["analyze"])
        configs = evaluated_scenes(experiment)
        report = EvaluationReport(job, task, configs)
        count = Count("EVAL", len(configs), job.context.on_progress, "scene")

        def scenes() -> Iterator[EvaluatedScene]:
            for config in configs:
                if job.context.should_stop():
                    raise InterruptedRunError(
                        "EVAL was stopped", hint="the next run starts it over"
                    )
                with (
                    about(config.id),
                    open_scene(config, job.kernel, classes=task.classes, stats=stats) as scene,
                ):
                    predicted = job.upstream["predict"].path(f"{config.id}{task.suffix}")
                    evaluated = EvaluatedScene(config.id, scene, predicted)
                    yield evaluated
                    report.add(evaluated)  # while it is open: its labels are read once
                count.add(1)

        figures = task.evaluate(scenes(), job.kernel)
        job.begin()
        job.output.write_json(EVAL_NAME, figures)
        report.write(figures, stats)
        job.keep_only([EVAL_NAME, REPORT_NAME])
        overall = figures["overall"]
        line = task.headline(overall) if configs else "no labelled scenes"
        return Result({"line": line, "overall": overall}, digest_of(figures))


def evaluated_scenes(experiment: Experiment) -> tuple[SceneConfig, ...]:
    """The predicted scenes that have labels; may be none."""
    return tuple(s for s in experiment.predicted_scenes if s.labels is not None)
