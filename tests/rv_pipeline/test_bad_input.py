"""Bad input: one line that names the file or key, a hint, exit code 1, and nothing lost.

Each test runs ``rv run`` in a process of its own, as a user does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import rasterio

from rv_core import DataError, Kernel, StorageError
from rv_pipeline import CellOptions, ChipClassificationConfig, Experiment, run

pytestmark = pytest.mark.slow  # experiments that are started and fail

Make = Callable[..., Experiment]
Refused = Callable[..., str]

FILE = """\
id: roofs
root_uri: out
task:
  key: CHIP_CLASSIFICATION
  classes: [roof, ground]
  cells: {size: 16, background_class: ground, infer_cells: true}
backend: {key: TOY_CLASSIFICATION, num_steps: 20}
dataset:
  train: [{id: north, raster: data/north.tif, labels: data/north.geojson}]
  validation: [{id: south, raster: data/south.tif, labels: data/south.geojson}]
"""


def rv(*arguments: str, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rv_plugins", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"},
        check=False,
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def refused(experiment: Make, tmp_path: Path, site: Path) -> Refused:
    """Run an experiment that was fine once and no longer is; what ``rv`` says."""
    file = tmp_path / "e.yaml"
    file.write_text(FILE)
    (tmp_path / "out").mkdir()

    def check(before: str = "", after: str = "", *, keep: bool = False) -> str:
        assert before in FILE
        if keep:
            good = rv("run", str(file), site=site)
            assert good.returncode == 0, good.stderr
        earlier = snapshot(tmp_path / "out")
        file.write_text(FILE.replace(before, after))
        result = rv("run", str(file), site=site)
        assert result.returncode == 1, result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith(("Error", "Hint"))]
        assert [line.split(":")[0] for line in lines] == ["Error", "Hint"], result.stderr
        assert "Traceback" not in result.stderr
        assert snapshot(tmp_path / "out") == earlier
        return "\n".join(lines)

    return check


@pytest.mark.slow
def test_an_earlier_output_is_untouched_by_a_missing_file(refused: Refused) -> None:
    assert "data/gone.tif" in refused("data/south.tif", "data/gone.tif", keep=True)


def test_an_unreadable_raster(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data/north.tif").write_text("this is no image")
    assert "data/north.tif" in refused()


def test_a_scheme_nobody_serves(refused: Refused) -> None:
    assert "'gopher'" in refused("data/south.tif", "gopher://x/south.tif")


def test_labels_that_lie_elsewhere(refused: Refused, tmp_path: Path) -> None:
    labels = tmp_path / "data/north.geojson"
    data = json.loads(labels.read_text())
    for feature in data["features"]:
        ring = feature["geometry"]["coordinates"][0]
        feature["geometry"]["coordinates"] = [[[x + 5000, y] for x, y in ring]]
    labels.write_text(json.dumps(data))
    said = refused()
    assert "north.geojson" in said
    assert "km" in said or " m " in said
    assert "32633" in said


def test_an_unknown_class(refused: Refused) -> None:
    said = refused("[roof, ground]", "[rof, ground]")
    assert "'roof'" in said
    assert "rof" in said


def test_a_chip_larger_than_the_scene(refused: Refused) -> None:
    said = refused("size: 16", "size: 500")
    assert "500" in said
    assert "scene 'north'" in said


def test_no_training_scenes(refused: Refused) -> None:
    before = "train: [{id: north, raster: data/north.tif, labels: data/north.geojson}]"
    assert "no training scenes" in refused(before, "train: []")
    assert "'north' has no labels" in refused(", labels: data/north.geojson", "")


def test_a_backend_that_is_not_installed(refused: Refused) -> None:
    assert "TOY_CLASIFICATION" in refused("TOY_CLASSIFICATION", "TOY_CLASIFICATION")


@pytest.mark.slow
def test_a_typo_in_the_file(refused: Refused) -> None:
    said = refused("dataset:", "datset:", keep=True)
    assert "e.yaml:8: unknown key 'datset'" in said
    assert "did you mean 'dataset'?" in said


def test_wrong_usage_exits_with_2(site: Path, tmp_path: Path) -> None:
    assert rv("run", site=site).returncode == 2
    assert rv("run", "e.yaml", "--worker", "2", site=site).returncode == 2


def test_an_unknown_command_is_named_with_its_likeness(
    experiment: Make, site: Path, tmp_path: Path
) -> None:
    (tmp_path / "e.yaml").write_text(FILE)
    result = rv("run", "e.yaml", "trian", site=site)
    assert result.returncode == 1
    assert "did you mean 'train'?" in result.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_is_read_only(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").chmod(0o500)
    try:
        assert "out/analyze" in refused()
    finally:
        (tmp_path / "out").chmod(0o700)


def test_an_output_below_a_file_or_on_a_read_only_system(
    experiment: Make, tmp_path: Path, kernel: Kernel
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        run(experiment(root_uri=str(tmp_path / "file")), kernel=kernel)
    assert (tmp_path / "file").read_text() == "x"
    if Path("/proc/1").is_dir():
        with pytest.raises(StorageError, match="/proc/"):
            run(experiment(root_uri="/proc/rv"), kernel=kernel)


DISK = """
import resource, signal, sys
from rv_plugins.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of file sizes stand in for a full disk")
def test_a_disk_that_is_full(experiment: Make, site: Path, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(FILE)
    good = rv("run", "e.yaml", site=site)
    assert good.returncode == 0, good.stderr
    chips = snapshot(tmp_path / "out/chip")
    (tmp_path / "e.yaml").write_text(FILE + "chip: {stride: 4}\n")
    result = subprocess.run(
        [sys.executable, "-c", DISK, "100000", "run", "e.yaml"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "Error: " in result.stderr
    assert "out/chip/roofs/train/" in result.stderr
    assert snapshot(tmp_path / "out/chip") == chips


def test_a_scene_that_is_only_predicted_is_looked_at_before_the_training(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "data/south.tif").write_text("this is no image")
    with pytest.raises(DataError, match=r"south\.tif"):
        run(experiment(), kernel=kernel)
    assert not list((tmp_path / "out").rglob("_done.json"))


def test_a_task_that_the_backend_does_not_learn(experiment: Make, kernel: Kernel) -> None:
    task = ChipClassificationConfig(
        key="CHIP_CLASIFICATION", classes=["a"], cells=CellOptions(size=16)
    )
    with pytest.raises(Exception, match="CHIP_CLASIFICATION"):
        run(experiment(task=task), kernel=kernel)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_scene_of_other_bands_is_noticed_before_the_training(
    experiment: Make, kernel: Kernel, tmp_path: Path, split: str
) -> None:
    made = experiment()
    path = tmp_path / "grey.tif"
    with rasterio.open(made.dataset.train[0].raster.uris[0]) as whole:
        profile = {**whole.profile, "count": 1}
        with rasterio.open(path, "w", **profile) as sink:
            sink.write(whole.read([1]))
    (scene,) = made.dataset.validation
    grey = attrs.evolve(scene, id="grey", raster=str(path))
    if split == "test":
        grey = attrs.evolve(grey, labels=None)
    dataset = attrs.evolve(made.dataset, **{split: grey})
    with pytest.raises(DataError, match=r"'grey' has 1 band\b.*'north' has 3 bands"):
        run(attrs.evolve(made, dataset=dataset), kernel=kernel)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("_*.json"))
