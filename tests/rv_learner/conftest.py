"""Chips on disk: a hundred small ones whose class shows in their brightness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rv_core import MANIFEST_NAME, ChipLabel, ChipManifest, ChipSample, ChipSpec, ClassMap, Kernel, Window
from rv_learner.chip_files import CHIP_FORMAT, ChipFileWriter


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    return Kernel()


def spec_of(dtype: str = "uint8", bands: int = 3, size: tuple[int, int] = (8, 10)) -> ChipSpec:
    return ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("dark", "bright"), bands, dtype, size)


def samples_of(spec: ChipSpec, count: int, seed: int = 0) -> list[ChipSample]:
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        class_id = int(rng.integers(2))
        low, high = (0, 100) if class_id == 0 else (100, 250)
        pixels = rng.uniform(low, high, (*spec.size, spec.bands)).astype(spec.dtype)
        window = Window(index * 10 - 5, -3, spec.size[1], spec.size[0])
        samples.append(ChipSample(pixels, ChipLabel(class_id), window, f"scene {index % 3}"))
    return samples


@pytest.fixture
def write_chips(kernel: Kernel) -> Callable[..., list[ChipSample]]:
    """Write splits of chips with their manifest below a folder; returns the train samples."""

    def write(folder: Path, spec: ChipSpec | None = None, **counts: int) -> list[ChipSample]:
        spec = spec or spec_of()
        splits: dict[str, Any] = {}
        written = {}
        for seed, (split, count) in enumerate(counts.items()):
            written[split] = samples_of(spec, count, seed)
            shards = []
            for part in range(2):
                with ChipFileWriter(kernel, str(folder), split, f"part{part}", spec) as writer:
                    for sample in written[split][part::2]:
                        writer.write(sample)
                shards.extend(writer.shards)
            splits[split] = tuple(shards)
        manifest = ChipManifest(CHIP_FORMAT, spec, splits)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_dict()))
        return written.get("train", [])

    return write
