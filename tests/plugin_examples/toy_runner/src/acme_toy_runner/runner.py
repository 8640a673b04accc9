"""Hands each step to a process as soon as what it reads is there; several run side by side."""

import pickle
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from rv_pipeline.runners.local import Runner, StepReport

from rv_core import InterruptedRunError

LOOK_SECONDS = 0.5


class ProcessRunner(Runner):
    def run(self, steps, kernel, options):
        spec = kernel.spec()
        waiting = {step.uri: step for step in steps}
        reports = {}  # output -> what became of its step
        with ThreadPoolExecutor(options.workers) as pool:
            running = {}
            while waiting or running:
                for step in list(waiting.values()):
                    needed = set(step.upstream_uris().values())
                    lost = [r for u, r in reports.items() if u in needed and is_lost(r)]
                    if lost:
                        reports[step.uri] = not_run(step, lost[0])
                        options.on_step(reports[step.uri])
                    elif needed.isdisjoint(waiting) and needed.isdisjoint(running.values()):
                        task = (step, spec, options.rerun)
                        running[pool.submit(in_process, task)] = step.uri
                    else:
                        continue
                    del waiting[step.uri]
                done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    reports[running.pop(future)] = future.result()
                    options.on_step(future.result())
                if options.should_stop():
                    raise InterruptedRunError("the run was stopped", hint="run it again to go on")
        return [reports[step.uri] for step in steps]


def in_process(task):
    command = [sys.executable, "-m", "acme_toy_runner.worker"]
    done = subprocess.run(command, input=pickle.dumps(task), stdout=subprocess.PIPE, check=True)
    return pickle.loads(done.stdout)


def is_lost(report):
    return report.status in ("failed", "not run")


def not_run(step, needed):
    reason = f"{needed.command.upper()} {needed.experiment_id} {needed.status}"
    return StepReport(step.command.name, step.experiment.id, step.uri, "not run", reason)
