"""``rv run``, ``rv ls`` and ``rv predict`` as a user sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rv_pipeline.cli import ls, predict, run
from rv_pipeline.cli._progress import PlainProgress, amount, seconds

from rv_core import Kernel, Progress
from rv_pipeline import Experiment

FOR_EVER = "10000000"  # steps that take hours
FILE = """
from rv_pipeline import *

def exp_roofs(steps: int = 20):
    cells = CellOptions(size=16, background_class="ground", infer_cells=True)
    return [
        Experiment(
            id=name,
            root_uri="out",
            task=ChipClassificationConfig(classes=["roof", "ground"], cells=cells),
            backend={"backend": "TOY_CLASSIFICATION", "num_steps": steps},
            dataset=DatasetConfig(
                train=SceneConfig(id="north", raster="data/north.tif", labels="data/north.geojson"),
                validation=SceneConfig(
                    id="south", raster="data/south.tif", labels="data/south.geojson"
                ),
            ),
        )
        for name in ("one", "two")
    ]
"""


@pytest.fixture
def file(experiment: Callable[..., Experiment], tmp_path: Path) -> str:
    (tmp_path / "e.py").write_text(FILE)
    return "e.py"


def call(command: object, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments, obj=Kernel())  # type: ignore[arg-type]
    assert result.exit_code == 0, result.exception
    return result


def test_a_run_says_what_it_did_and_how_good_it_is(file: str) -> None:
    result = call(run, file, "-f", "one")
    assert "CHIP one: running (not yet run)" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["EXPERIMENT", "COMMAND", "TIME", "OUTPUT"]
    assert any(line.split()[:2] == ["one", "TRAIN"] and "out/train/one" in line for line in lines)
    assert "macro average" in result.stdout
    assert not Path("out/train/two").exists()
    again = call(run, file, "-f", "one")
    assert again.stdout.count("skipped") == 6


def test_a_dry_run_shows_the_plan_and_why(file: str) -> None:
    call(run, file, "-f", "one")
    result = call(run, file, "-n", "-f", "one", "-a", "steps", "30", "train", "eval")
    rows = [line.split(maxsplit=3) for line in result.stdout.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["one", "TRAIN", "run"], ["one", "EVAL", "skip"]]
    assert "backend.num_steps: 20 -> 30" in result.stdout
    assert "TRAIN one: " not in result.stdout
    more = call(run, file, "-n", "-v", "-f", "one", "-a", "steps", "30", "train", "eval")
    assert "TRAIN one: backend.num_steps: 20 -> 30" in more.stdout.splitlines()


def test_a_dry_run_names_all_who_share_an_output(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(FILE.replace("id=name,", 'id=name, chip_key="c",'))
    rows = [line.split("  ") for line in call(run, file, "-n").stdout.splitlines()]
    assert [row[0] for row in rows if "CHIP" in row] == ["one, two"]


def test_the_list_shows_how_far_each_experiment_has_come(file: str) -> None:
    call(run, file, "-f", "one", "analyze", "chip")
    rows = json.loads(call(ls, file, "--json").stdout)
    states = {(row["experiment"], row["command"]): row["state"] for row in rows}
    assert states["one", "CHIP"] == "up to date"
    assert states["one", "TRAIN"] == "not yet run"
    assert states["two", "ANALYZE"] == "not yet run"
    assert len(rows) == 12
    assert "64 train" in call(ls, file).stdout


def test_predict_writes_the_result(file: str) -> None:
    call(run, file, "-f", "one")
    result = call(predict, "out/bundle/one/bundle.zip", "data/south.tif", "p.geojson")
    assert "p.geojson: 64 cells" in result.stdout
    assert len(json.loads(Path("p.geojson").read_text())["features"]) == 64


def test_importing_the_package_and_its_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys, rv_pipeline, rv_pipeline.cli, rv_pipeline.plugin;"
        "heavy = {'numpy', 'rasterio', 'shapely', 'pyproj', 'rich', 'cattrs', 'yaml', 'attrs'};"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() in ([], ["attrs"])


def test_pure_data_costs_no_numpy() -> None:
    code = (
        "import sys; from rv_pipeline import Experiment, SceneConfig;"
        "from rv_pipeline import ChipClassificationConfig, CellOptions;"
        "print(*sorted({'numpy', 'rasterio', 'shapely'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.slow
def test_ctrl_c_while_training_leaves_a_state_to_go_on_from(
    file: str, tmp_path: Path, site: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "rv_plugins",
        "run",
        file,
        "-f",
        "one",
        "-a",
        "steps",
        FOR_EVER,
    ]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    checkpoint = tmp_path / "out/train/one/checkpoint.json"
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "out/train/one/_done.json").exists()
    assert not (tmp_path / "out/train/one/_lock.json").exists()
    (plan,) = call(
        run, file, "-n", "-f", "one", "-a", "steps", FOR_EVER, "train"
    ).stdout.splitlines()[1:]
    assert "the last run was cut short" in plan


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = PlainProgress()
    for done in range(101):
        progress(Progress("CHIP", done, 100, "window"))
        now += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "CHIP 20/100 windows, 2 windows/s, 40 s left"
    assert lines[-1] == "CHIP 100/100 windows, 2 windows/s"
    assert len(lines) == 5


def test_quantities_are_readable() -> None:
    assert amount(Progress("x", 1.5e6, 20e6, "B"), 3.1e6) == "1.5/20 MB, 3.1 MB/s"
    assert amount(Progress("x", 3, None, "chip")) == "3 chips"
    assert [seconds(n) for n in (0.42, 12.3, 185, 7800)] == [
        "0.4 s",
        "12 s",
        "3 min 05 s",
        "2 h 10 min",
    ]


@pytest.mark.slow
def test_a_warning_is_said_once_however_often_a_scene_is_opened(
    file: str, tmp_path: Path, site: Path
) -> None:
    labels = tmp_path / "data/north.geojson"
    data = json.loads(labels.read_text())
    ring = data["features"][0]["geometry"]["coordinates"][0]
    ring[1], ring[2] = ring[2], ring[1]  # a bow tie
    labels.write_text(json.dumps(data))
    done = subprocess.run(
        [sys.executable, "-m", "rv_plugins", "run", file, "-f", "one"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("repaired") == 1
