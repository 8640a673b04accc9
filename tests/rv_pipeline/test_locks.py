"""Two runs and one output; runs that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
from rv_pipeline.locks import STALE_SECONDS, Owner, locked
from rv_pipeline.runners.local import RunOptions, StepReport

from rv_core import AlreadyExistsError, InterruptedRunError, Kernel
from rv_pipeline import Experiment, run

Make = Callable[..., Experiment]


def dead_owner() -> Owner:
    """Someone on this machine who has held a lock and died."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return attrs.evolve(Owner.me(), pid=process.pid)


def test_an_output_in_use_is_left_alone(experiment: Make, kernel: Kernel, tmp_path: Path) -> None:
    with (
        locked(str(tmp_path / "out/analyze/roofs/_lock.json"), kernel),
        pytest.raises(AlreadyExistsError, match=f"in use by process {os.getpid()}"),
    ):
        run(experiment(), kernel=kernel)
    assert run(experiment(), ["analyze"], kernel=kernel)[0].status == "done"


def test_a_second_run_may_wait_until_the_first_is_done(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    made = experiment()
    run(made, ["analyze"], kernel=kernel)
    seen: list[tuple[str, str]] = []
    held = ExitStack()

    def on_step(report: StepReport) -> None:
        seen.append((report.status, report.reason))
        if report.status == "waiting":
            held.close()

    options = RunOptions(rerun=True, wait=True, on_step=on_step)
    with held:
        held.enter_context(locked(str(tmp_path / "out/analyze/roofs/_lock.json"), kernel))
        run(made, ["analyze"], kernel=kernel, options=options)
    assert [status for status, _ in seen] == ["waiting", "running", "done"]
    assert f"is in use by process {os.getpid()} on " in seen[0][1]


def test_a_run_that_waits_can_be_stopped(experiment: Make, kernel: Kernel, tmp_path: Path) -> None:
    options = RunOptions(wait=True, should_stop=lambda: True)
    with (
        locked(str(tmp_path / "out/analyze/roofs/_lock.json"), kernel),
        pytest.raises(InterruptedRunError),
    ):
        run(experiment(), ["analyze"], kernel=kernel, options=options)


def test_what_a_run_left_that_was_killed_at_its_very_end_goes_with_the_next(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), ["analyze"], kernel=kernel)
    folder = tmp_path / "out/analyze/roofs"
    whole = {p.name for p in folder.iterdir()}
    (folder / "_started.json").write_text("{}")
    (folder / "_lock.json").write_bytes(dead_owner().to_bytes())
    (report,) = run(experiment(), ["analyze"], kernel=kernel)
    assert report.status == "skipped"
    assert {p.name for p in folder.iterdir()} == whole


def test_the_lock_of_a_dead_process_is_taken_over(kernel: Kernel, tmp_path: Path) -> None:
    uri = tmp_path / "_lock.json"
    uri.write_bytes(dead_owner().to_bytes())
    with locked(str(uri), kernel) as lock:
        lock.check()
        assert json.loads(uri.read_text())["pid"] == os.getpid()
    assert list(tmp_path.glob("_lock*")) == []


def test_a_process_that_has_anothers_number_is_not_its_owner(
    kernel: Kernel, tmp_path: Path
) -> None:
    uri = tmp_path / "_lock.json"
    uri.write_bytes(attrs.evolve(Owner.me(), started="long ago").to_bytes())
    with locked(str(uri), kernel):
        pass


@pytest.mark.parametrize(("silent", "held"), [(1.0, True), (STALE_SECONDS + 1, False)])
def test_another_machine_is_believed_as_long_as_it_is_heard_of(
    kernel: Kernel, tmp_path: Path, silent: float, held: bool
) -> None:
    uri = tmp_path / "_lock.json"
    there = attrs.evolve(Owner.me(), host="another-machine", heard=time.time() - silent)
    uri.write_bytes(there.to_bytes())
    if held:
        with pytest.raises(AlreadyExistsError, match="another-machine"), locked(str(uri), kernel):
            pass
    else:
        with locked(str(uri), kernel):
            pass


def test_of_many_that_take_over_a_dead_lock_one_gets_it(kernel: Kernel, tmp_path: Path) -> None:
    uri = tmp_path / "_lock.json"
    uri.write_bytes(dead_owner().to_bytes())
    inside: list[int] = []
    most: list[int] = []

    def take(number: int) -> bool:
        try:
            with locked(str(uri), kernel):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.05)
                inside.remove(number)
                return True
        except AlreadyExistsError:
            return False

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(take, range(8)))
    assert any(got)
    assert max(most) == 1


def test_a_training_that_was_stopped_goes_on_where_it_was(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30

    run(experiment(), ["analyze", "chip"], kernel=kernel)
    with pytest.raises(InterruptedRunError):
        run(experiment(), ["train"], kernel=kernel, options=RunOptions(should_stop=should_stop))
    (report,) = run(experiment(), ["train"], kernel=kernel)
    assert report.reason == "the last run was cut short"
    trained = json.loads((tmp_path / "out/train/roofs/trained.json").read_text())
    assert trained["report"]["resumed_at"] == 30


def test_what_was_stopped_under_other_options_starts_afresh(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), ["analyze", "chip"], kernel=kernel)
    with pytest.raises(InterruptedRunError):
        run(experiment(), ["train"], kernel=kernel, options=RunOptions(should_stop=lambda: True))
    other = experiment(backend={"key": "TOY_CLASSIFICATION", "num_steps": 30})
    run(other, ["train"], kernel=kernel)
    trained = json.loads((tmp_path / "out/train/roofs/trained.json").read_text())
    assert trained["report"]["resumed_at"] == 0


# Killed after so many seconds of its own: those on the wall depend on what else the machine does.
KILLED = """
import signal, sys
from rv_core import Kernel
from rv_pipeline import load_experiments, run
experiments, kernel = load_experiments(sys.argv[1]), Kernel()
signal.setitimer(signal.ITIMER_PROF, float(sys.argv[2]))
run(experiments, kernel=kernel)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_ends_the_same_when_run_again(
    experiment: Make, kernel: Kernel, tmp_path: Path, site: Path
) -> None:
    run(experiment(root_uri=str(tmp_path / "calm")), kernel=kernel)
    file = tmp_path / "e.yaml"
    file.write_text(f"""
        id: roofs
        root_uri: {tmp_path / "out"}
        task:
          key: CHIP_CLASSIFICATION
          classes: [roof, ground]
          cells: {{size: 16, background_class: ground, infer_cells: true}}
        backend: {{key: TOY_CLASSIFICATION, num_steps: 60}}
        dataset:
          train: [{{id: north, raster: data/north.tif, labels: data/north.geojson}}]
          validation: [{{id: south, raster: data/south.tif, labels: data/south.geojson}}]
    """)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", KILLED, str(file)]
    generator = random.Random(4)
    codes = []
    while 0 not in codes:
        most = generator.uniform(0.05, 0.6 + 0.1 * len(codes)) if len(codes) < 9 else 0  # no limit
        done = subprocess.run([*command, str(most)], env=environment, check=False)
        codes.append(done.returncode)
        assert done.returncode in (0, -signal.SIGPROF)
    assert -signal.SIGPROF in codes
    for name in ("train/roofs/model.json", "predict/roofs/south.geojson", "eval/roofs/eval.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    left = {p.name for p in (tmp_path / "out").rglob("*") if p.name.startswith((".", "_"))}
    assert left - {"_done.json"} == {n for n in left if n.endswith(".part")}
    for done in (tmp_path / "calm").rglob("_done.json"):
        assert (tmp_path / "out" / done.relative_to(tmp_path / "calm")).exists()
