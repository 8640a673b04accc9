"""TensorFlow starts with the kernels that make training on CPUs bearable; nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
def ours():
    return {k: v for k, v in os.environ.items() if k.startswith("TF_")}
before = ours()
from rv_learner.tensorflow_setup import start_tensorflow
assert "tensorflow" not in sys.modules
start_tensorflow()
assert ours() == before, ours()
assert "tensorflow" in sys.modules
start_tensorflow()
"""


def start(**environ: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, "TF_CPP_MIN_LOG_LEVEL": "0", **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_onednn_is_on_and_the_environment_as_it_was():
    assert "oneDNN custom operations are on" in start()


@pytest.mark.slow
def test_who_turned_onednn_off_has_it_off():
    assert "oneDNN custom operations are on" not in start(TF_ENABLE_ONEDNN_OPTS="0")
