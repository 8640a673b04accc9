"""Training chips can be changed at random as they are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from rv_pipeline.augmentors import (
    AUGMENTORS,
    NodataAugmentorConfig,
    augment,
    make_augmentor,
)
from rv_pipeline.tasks.config import ChipOptions

from rv_core import (
    UNLABELLED,
    BoxLabels,
    ChipLabel,
    ChipSample,
    ConfigError,
    Kernel,
    Label,
    PixelLabels,
    UnknownKeyError,
    Window,
    hookimpl,
)
from rv_pipeline import Experiment, run

ALWAYS = NodataAugmentorConfig(probability=1.0, blocks=3, max_size=0.5)


def sample(
    label: Label | None = None, col: int = 0, nodata: Any = None, size: int = 40
) -> ChipSample:
    pixels = np.full((size, size, 3), 200, np.uint8)
    return ChipSample(pixels, label, Window(col, 0, size, size), "north", nodata)


def holes(config: NodataAugmentorConfig, kernel: Kernel, given: ChipSample) -> ChipSample:
    return augment(given, [make_augmentor(config, kernel)], seed=0)


def test_blocks_of_a_chip_lose_their_data(kernel: Kernel) -> None:
    before = np.zeros((40, 40), bool)
    before[0, 0] = True
    mask = PixelLabels(np.ones((40, 40), np.uint8))
    given = sample(mask, nodata=before)
    found = holes(ALWAYS, kernel, given)
    hidden = found.nodata_mask
    assert hidden is not None
    assert 1 < hidden.sum() < 40 * 40
    assert hidden[0, 0]
    assert not found.pixels[hidden & ~before].any()
    assert (found.pixels[~hidden] == 200).all()
    assert isinstance(found.label, PixelLabels)
    assert found.label.mask is not None
    assert (found.label.mask[hidden & ~before] == UNLABELLED).all()
    assert (found.label.mask[~hidden] == 1).all()
    assert (given.pixels == 200).all()
    assert given.nodata_mask is not None
    assert given.nodata_mask.sum() == 1
    assert mask.mask is not None
    assert (mask.mask == 1).all()


def test_a_share_of_the_chips_is_changed(kernel: Kernel) -> None:
    config = NodataAugmentorConfig(probability=0.3)
    changed = [holes(config, kernel, sample(col=col)).nodata_mask is not None for col in range(400)]
    assert 0.2 < np.mean(changed) < 0.4


def test_blocks_keep_to_their_size(kernel: Kernel) -> None:
    config = NodataAugmentorConfig(probability=1, max_size=0.25)
    for col in range(100):
        hidden = holes(config, kernel, sample(col=col)).nodata_mask
        assert hidden is not None
        rows, cols = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert 1 <= len(rows) <= 10
        assert 1 <= len(cols) <= 10
        assert hidden.sum() == len(rows) * len(cols)


def test_what_is_drawn_depends_on_seed_scene_and_window_alone(kernel: Kernel) -> None:
    one, again = holes(ALWAYS, kernel, sample()), holes(ALWAYS, kernel, sample())
    np.testing.assert_array_equal(one.pixels, again.pixels)
    other = holes(ALWAYS, kernel, sample(col=40))
    assert (one.pixels != other.pixels).any()
    made = [make_augmentor(ALWAYS, kernel)]
    assert (augment(sample(), made, seed=1).pixels != one.pixels).any()
    elsewhere = attrs.evolve(sample(), scene_id="south")
    assert (augment(elsewhere, made, seed=0).pixels != one.pixels).any()


def test_boxes_that_are_hidden_are_dropped(kernel: Kernel) -> None:
    whole = np.array([[y, x, y + 4, x + 4] for y in range(0, 40, 4) for x in range(0, 40, 4)])
    label = BoxLabels(whole.astype(np.float32), np.arange(100))
    dropped = 0
    for col in range(20):
        found = holes(ALWAYS, kernel, sample(label, col))
        hidden = found.nodata_mask
        assert hidden is not None
        share = hidden.reshape(10, 4, 10, 4).mean((1, 3)).ravel()
        assert isinstance(found.label, BoxLabels)
        assert found.label.class_ids.tolist() == np.flatnonzero(share <= 0.5).tolist()
        dropped += 100 - len(found.label.boxes)
    assert dropped
    empty = BoxLabels(np.zeros((0, 4), np.float32), np.zeros(0, int))
    assert holes(ALWAYS, kernel, sample(empty)).label is empty


def test_the_class_of_a_chip_stays(kernel: Kernel) -> None:
    label = ChipLabel(1)
    assert holes(ALWAYS, kernel, sample(label)).label is label


# --- in experiments


def test_augmentors_are_spelled_as_configs_are() -> None:
    options = ChipOptions(augmentors=["nodata", {"type": "nodata", "blocks": 2}])
    assert options.augmentors == (NodataAugmentorConfig(), NodataAugmentorConfig(blocks=2))
    assert ChipOptions(augmentors={"type": "ACME_BLUR", "sigma": 2}).augmentors == (
        {"type": "ACME_BLUR", "sigma": 2},
    )
    with pytest.raises(ConfigError, match="no option 'size'") as error:
        ChipOptions(augmentors=[{"type": "nodata", "size": 2}])
    assert error.value.hint == "it has probability, blocks, max_size"
    with pytest.raises(ConfigError, match="holds 3"):
        ChipOptions(augmentors=[3])
    with pytest.raises(ConfigError, match=r"probability must be a number from 0 to 1, got 7"):
        ChipOptions(augmentors=[{"type": "nodata", "probability": 7}])


class Blur:
    """A plugin that brings an augmentor."""

    @hookimpl
    def rv_augmentor(self, key: str, options: Any) -> Any:
        if key != "ACME_DARKEN":
            return None
        return lambda sample, generator: attrs.evolve(sample, pixels=sample.pixels // options["by"])


def test_plugins_bring_augmentors() -> None:
    kernel = Kernel(plugins=[Blur()])
    made = make_augmentor({"type": "ACME_DARKEN", "by": 2}, kernel)
    assert (augment(sample(), [made], seed=0).pixels == 100).all()
    with pytest.raises(UnknownKeyError, match="ACME_NOISE"):
        make_augmentor({"type": "ACME_NOISE"}, Kernel())
    assert AUGMENTORS == "rv.augmentors.v1"


@pytest.mark.slow
def test_only_training_chips_are_changed(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    options = ChipOptions(augmentors=[NodataAugmentorConfig(probability=1.0)])
    made = experiment(chip=options)
    run(made, ("analyze", "chip"), kernel=kernel)
    backend = kernel.backend("TOY_CLASSIFICATION")(
        kernel.backend_config("TOY_CLASSIFICATION"), kernel
    )
    chips = made.output_uri("chip")
    train = list(backend.read_chips(chips, "train"))
    assert train
    assert all((chip.pixels == 0).all(axis=-1).any() for chip in train)
    validation = list(backend.read_chips(chips, "validation"))
    assert not any((chip.pixels == 0).all(axis=-1).any() for chip in validation)
