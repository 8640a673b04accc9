"""Chips of random noise with the labels of each task, to be written and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from rv_core._chips import ChipSample, ChipSpec, Window
from rv_core._labels import UNLABELLED, BoxLabels, ChipLabel, Label, PixelLabels


def make_samples(spec: ChipSpec, count: int, seed: int = 0) -> list[ChipSample]:
    """That many chips of different windows; every second has pixels without data."""
    np = pytest.importorskip("numpy")
    generator = np.random.default_rng(seed)
    height, width = spec.size
    samples = []
    for n in range(count):
        pixels = generator.random((height, width, spec.bands)) * 200
        mask = generator.random((height, width)) < 0.1
        samples.append(
            ChipSample(
                pixels=pixels.astype(spec.dtype),
                label=MAKERS[spec.task](np, generator, spec),
                window=Window(10 * n, -n, width, height),
                scene_id=("scene 1", "Szene/ü#2")[n % 2],
                nodata_mask=mask if n % 2 else None,
            )
        )
    return samples


def check_sample(found: ChipSample, expected: ChipSample) -> None:
    """Fail where a chip is not the one that was written."""
    np = pytest.importorskip("numpy")
    assert found.pixels.dtype == expected.pixels.dtype
    assert found.pixels.shape == expected.pixels.shape
    assert np.array_equal(found.pixels, expected.pixels), "the pixels are not those written"
    empty = np.zeros(expected.pixels.shape[:2], bool)
    masks = [empty if s.nodata_mask is None else s.nodata_mask for s in (found, expected)]
    assert np.array_equal(*masks), "the mask of pixels without data is not the one written"
    assert type(found.label) is type(expected.label)
    for name in _CONTENT[type(expected.label)]:
        one, other = (getattr(sample.label, name) for sample in (found, expected))
        assert np.array_equal(one, other), f"the label's {name} are not those written"


def _chip_label(np: Any, generator: Any, spec: ChipSpec) -> Label:
    return ChipLabel(int(generator.integers(len(spec.classes))))


def _box_labels(np: Any, generator: Any, spec: ChipSpec) -> Label:
    """None, one or several boxes; whole pixels, which every layout holds exactly."""
    count = int(generator.integers(4))
    height, width = spec.size
    low = generator.integers(0, (height // 2, width // 2), (count, 2))
    high = low + generator.integers(1, (height // 2, width // 2), (count, 2))
    boxes = np.concatenate([low, high], axis=1).astype(np.float32)
    return BoxLabels(boxes, generator.integers(len(spec.classes), size=count))


def _pixel_labels(np: Any, generator: Any, spec: ChipSpec) -> Label:
    mask = generator.integers(len(spec.classes) + 1, size=spec.size).astype(np.uint8)
    mask[mask == len(spec.classes)] = UNLABELLED
    return PixelLabels(mask=mask)


MAKERS: Final[Mapping[str, Callable[[Any, Any, ChipSpec], Label]]] = {
    "CHIP_CLASSIFICATION": _chip_label,
    "OBJECT_DETECTION": _box_labels,
    "SEMANTIC_SEGMENTATION": _pixel_labels,
}
"""What makes a label for a chip, by task."""

_CONTENT: Final[Mapping[type, tuple[str, ...]]] = {
    ChipLabel: ("class_id",),
    BoxLabels: ("boxes", "class_ids"),
    PixelLabels: ("mask",),
}
