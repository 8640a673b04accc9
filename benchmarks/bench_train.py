"""A ResNet50 training step fed from chip files, against the same step on tensors in memory.

96 px, batch of 16, uint8 RGB; what a training run does, without its checkpoints. Blocks of steps
are taken in turn, and compared by the median step. Target: at most 1.1 times.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from peers import table
from rv_backend_keras.backend import KerasClassification
from rv_backend_keras.classifier import build_classifier
from rv_backend_keras.learner import ClassifierLearner
from rv_backend_keras.train import input_scale
from rv_learner.chip_files import CHIP_FORMAT, open_chips, read_manifest
from rv_learner.tensorflow_setup import start_tensorflow

from rv_core import ChipLabel, ChipManifest, ChipSample, ChipSpec, ClassMap, Kernel, Window, join

CHIPS, SIZE, BATCH = 1024, 96, 16
BLOCKS, STEPS = 6, 12


def write_chips(backend: KerasClassification, uri: str) -> None:
    spec = ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("a", "b"), 3, "uint8", (SIZE, SIZE))
    random = np.random.default_rng(0)
    shards = []
    for shard in range(4):
        with backend.chip_writer(uri, "train", f"bench-{shard}", spec) as writer:
            for index in range(CHIPS // 4):
                pixels = random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
                where = Window(0, index, SIZE, SIZE)
                writer.write(ChipSample(pixels, ChipLabel(index % 2), where, "scene"))
        shards += writer.shards
    manifest = ChipManifest(CHIP_FORMAT, spec, {"train": tuple(shards)})
    backend.kernel.files.write_str(join(uri, "manifest.json"), json.dumps(manifest.to_dict()))


def block(learner: ClassifierLearner, batches: Iterator[object]) -> list[float]:
    seen = []
    for _ in range(STEPS):
        start = time.perf_counter()
        learner.step(next(batches), 0.001)
        seen.append(time.perf_counter() - start)
    return seen


def main() -> None:
    start_tensorflow()  # as the backend does before it trains
    kernel = Kernel()
    config = kernel.backend_config("KERAS_CLASSIFICATION", batch_size=BATCH, network="resnet50")
    backend = KerasClassification(config, kernel)
    with tempfile.TemporaryDirectory() as folder:
        uri = str(Path(folder) / "chips")
        write_chips(backend, uri)
        chips = open_chips(kernel, uri, read_manifest(kernel, uri, (CHIP_FORMAT,)), "train")
        classifier = build_classifier(config, chips.spec, input_scale(config, chips))
        learner = ClassifierLearner(config, classifier, chips, None, [1.0, 1.0], mixed=False)
        fed = learner.batches(0)
        held = repeat(next(fed))
        block(learner, held)  # compiles
        block(learner, fed)
        times: dict[str, list[float]] = {"in memory": [], "from chips": []}
        for _ in range(BLOCKS):
            times["in memory"] += block(learner, held)
            times["from chips"] += block(learner, fed)
    memory, files = (statistics.median(seen) for seen in times.values())
    rows = [
        ("on tensors in memory", f"{memory * 1e3:.0f} ms", ""),
        ("fed from chip files", f"{files * 1e3:.0f} ms", f"{files / memory:.3f} x (at most 1.1)"),
    ]
    table(f"A ResNet50 step, {SIZE} px, batch {BATCH}, median of {BLOCKS * STEPS}", rows)


if __name__ == "__main__":
    main()
