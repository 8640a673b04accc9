"""Chips as pictures, to see what goes in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rv_learner.chip_files import Chips, training_batches

from rv_backend_keras.classifier import InputScale
from rv_core import UNLABELLED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES: Final = 24


def chips_as_pictures(
    chips: Chips, scale: InputScale, seed: int
) -> tuple[NDArray[np.uint8], list[str]]:
    """Some training chips, uint8 [N, H, W, 3], and the names of their classes. A chip of fewer
    than three bands shows its first in grey, one of more its first three."""
    import numpy as np

    count = min(PICTURES, chips.count)
    ((pixels, labels),) = training_batches(chips, count, seed).take(1)
    shown = [0, 1, 2] if chips.spec.bands >= 3 else [0, 0, 0]
    values: Any = pixels.numpy().astype(np.float32) * scale.scale + scale.offset
    values = np.nan_to_num(values[..., shown]).clip(0, 255).astype(np.uint8)
    names = [
        "unlabelled" if i == UNLABELLED else chips.spec.classes.name_of(int(i))
        for i in labels.numpy()
    ]
    return values, names


def write_pictures(folder: Path, pictures: NDArray[np.uint8], names: list[str]) -> None:
    """A PNG for each, its class in its name."""
    import tensorflow as tf

    folder.mkdir(exist_ok=True)
    for index, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        safe = "".join(c if c.isalnum() else "-" for c in name)
        (folder / f"{index:02d}-{safe}.png").write_bytes(tf.io.encode_png(picture).numpy())
