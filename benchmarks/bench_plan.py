"""How long `rv run -n` takes over an experiment of 1,000 scenes, before anything was made and when
everything is there. Target: under 3 s, the start of Python included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import table
from rv_pipeline.commands import command_names
from rv_pipeline.commands.command import Result
from rv_pipeline.outputs import DoneRecord, Output, now

from rv_core import Kernel
from rv_pipeline import dag, load_experiments

SCENES = 1000
EXPERIMENT = f"""
from rv_pipeline import *

def exp_large():
    def scene(n):
        return SceneConfig(id=str(n), raster=f"data/{{n}}.tif", labels=f"data/{{n}}.geojson")
    return Experiment(
        id="large", root_uri="out",
        task=ChipClassificationConfig(classes=["building", "background"]),
        backend={{"backend": "KERAS_CLASSIFICATION"}},
        dataset=DatasetConfig(
            train=[scene(n) for n in range({SCENES * 7 // 10})],
            validation=[scene(n) for n in range({SCENES * 7 // 10}, {SCENES})],
        ),
    )
"""


def lay_out(folder: Path) -> None:
    """The scenes' files, which a plan does not open."""
    (folder / "large.py").write_text(EXPERIMENT)
    (folder / "data").mkdir()
    for n in range(SCENES):
        for suffix in ("tif", "geojson"):
            (folder / "data" / f"{n}.{suffix}").write_bytes(b"x" * n)


def vouch() -> None:
    """Outputs as a run would have left them, without the work."""
    kernel = Kernel()
    for step in dag.build(load_experiments("large.py"), command_names(), kernel):
        output = Output(step.uri, kernel)
        names = [f"{n}.geojson" for n in range(SCENES)] if step.command.name == "predict" else []
        for name in names:
            kernel.files.write_bytes(output.path(name), b"{}")
        decision = dag.decide(step, kernel)
        assert decision.fingerprint is not None
        output.finish(
            DoneRecord(
                command=step.command.name,
                key=step.key,
                experiment_id=step.experiment.id,
                fingerprint=decision.fingerprint,
                identity=Result().identity,
                files=output.files(),
                seconds=1.0,
                finished=now(),
            )
        )


def dry_run() -> tuple[float, str]:
    """The best of three, and what it printed."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        command = [str(Path(sys.executable).with_name("rv")), "run", "-n", "large.py"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        times.append(time.perf_counter() - start)
    return min(times), done.stdout


def main() -> None:
    import os

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        lay_out(Path(folder))
        first, _ = dry_run()
        vouch()
        again, printed = dry_run()
        assert printed.count(" skip ") == len(command_names()), printed
        os.chdir("/")
    rows = [
        ("nothing made yet", f"{first:.2f} s", "under 3"),
        ("everything up to date", f"{again:.2f} s", "under 3"),
    ]
    table(f"rv run -n over {SCENES} scenes, local URIs", rows)


if __name__ == "__main__":
    main()
