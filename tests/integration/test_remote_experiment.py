"""The main job with nothing on the disk: imagery, labels, output and model lie in a bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from rv_pipeline.samples import draw_sample_scenes

from rv_core import Kernel

EXPERIMENT = """
args: {data: "", root: ""}
id: remote
root_uri: ${root}
task:
  key: CHIP_CLASSIFICATION
  classes: {building: "#d95f02", background: "#7570b3"}
  cells: {size: 64, ioc_threshold: 0.2, background_class: background, infer_cells: true}
backend: {key: KERAS_CLASSIFICATION, network: small_cnn, num_steps: 8, batch_size: 8}
dataset:
  train:
    - {id: train, raster: "${data}/train.tif", labels: "${data}/train-buildings.geojson"}
  validation:
    - id: validation
      raster: "${data}/validation.tif"
      labels: "${data}/validation-buildings.geojson"
"""
BUCKET = "s3://imagery"


@pytest.fixture
def bucket(
    run_moto: Callable[..., AbstractContextManager[int]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty bucket on an S3 server of its own process, which the settings lead to."""
    with run_moto() as port:
        address = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("RV_S3_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a test server takes any")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="imagery")
        yield BUCKET


def rv(*words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "rv_plugins", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_an_experiment_lives_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    scenes = draw_sample_scenes(tmp_path / "scenes", size=512)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    rv("fs", "sync", tmp_path / "scenes", f"{bucket}/data")
    arguments = ("-a", "data", f"{bucket}/data", "-a", "root", f"{bucket}/out")

    first = rv("run", tmp_path / "experiment.yaml", *arguments)
    assert "TRAIN remote: running" in first.stderr
    again = rv("run", tmp_path / "experiment.yaml", *arguments)
    assert "running" not in again.stderr
    metrics = json.loads(Kernel().files.read_str(f"{bucket}/out/eval/remote/eval.json"))
    assert metrics

    bundle = f"{bucket}/out/bundle/remote/bundle.zip"
    rv("predict", bundle, scenes.unseen.image, f"{bucket}/unseen.geojson")
    cells = json.loads(Kernel().files.read_str(f"{bucket}/unseen.geojson"))
    assert len(cells["features"]) == 64
    assert {p.name for p in tmp_path.iterdir()} >= {"scenes", "experiment.yaml"}
    assert not (tmp_path / "out").exists()
