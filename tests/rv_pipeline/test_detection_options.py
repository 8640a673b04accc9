"""The options of object detection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rv_core import (
    ConfigError,
)
from rv_pipeline import (
    DetectionChipOptions,
    DetectionPredictOptions,
    ObjectDetectionConfig,
    load_experiments,
)

YAML = """
id: cars
root_uri: out
task: {key: OBJECT_DETECTION, classes: {car: '#cc3311', boat: '#0077bb'}, chip_size: 64}
backend: {key: TOY_DETECTION}
chip: {windows: label, label_buffer: 8, neg_ratio: 0.5, ioa_thresh: 0.7}
predict: {stride: 16, score_thresh: 0.05, merge_thresh: 0.4}
dataset: {train: [], validation: []}
"""


def test_yaml_spells_the_options(tmp_path: Path) -> None:
    path = tmp_path / "cars.yaml"
    path.write_text(YAML)
    (made,) = load_experiments(str(path))
    assert made.task == ObjectDetectionConfig(
        classes={"car": "#cc3311", "boat": "#0077bb"},  # type: ignore[arg-type]
        chip_size=64,
    )
    assert made.chip == DetectionChipOptions(
        windows="label", label_buffer=8, neg_ratio=0.5, ioa_thresh=0.7
    )
    assert made.predict == DetectionPredictOptions(stride=16, score_thresh=0.05, merge_thresh=0.4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"neg_ioa_thresh": 0.9}, "neg_ioa_thresh is 0.9, above ioa_thresh"),
        ({"label_buffer": 5}, "label_buffer is for windows 'label'"),
        ({"windows": "random"}, "windows"),
        ({"ioa_thresh": 1.5}, "ioa_thresh"),
        ({"neg_ratio": -1}, "neg_ratio"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        DetectionChipOptions(**options)
