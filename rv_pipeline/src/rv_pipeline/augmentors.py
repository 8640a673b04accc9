"""Augmentors: what is done at random to training chips while they are cut.

Backends turn and mirror chips while they train, anew in every epoch; what stands here belongs to
the chips themselves, and is seen in them. A plugin adds one by the hook `rv_augmentor`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
from rv_core.validators import integer, number

from rv_core import UNLABELLED, BoxLabels, ConfigError, PixelLabels, PluginContractError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ChipSample, Kernel, Label

    Augmentor = Callable[[ChipSample, np.random.Generator], ChipSample]
    """Gives another sample, of the same size and dtype, or the same one; changes none."""

AUGMENTORS: Final = "rv.augmentors.v1"
"""The group of entry points by which plugins add augmentors."""

KEPT_SHARE: Final = 0.5
"""A box of which less is left is no object any more."""


@attrs.frozen(kw_only=True)
class NodataAugmentorConfig:
    """Takes the data out of rectangles of a chip, so that a model learns that scenes have holes.

    ``probability``: of a chip to be changed. ``blocks``: up to how many rectangles, which may
    overlap. ``max_size``: up to how large each is, in each direction, as a fraction of the chip.
    Their pixels become 0, are marked as without data and unlabelled; boxes of which less than half
    is left are dropped. The label of a whole chip stays.
    """

    type: ClassVar[str] = "nodata"

    probability: float = attrs.field(default=0.5, validator=number(minimum=0, maximum=1))
    blocks: int = attrs.field(default=1, validator=integer(minimum=1))
    max_size: float = attrs.field(default=0.5, validator=number(minimum=0.01, maximum=0.99))


AugmentorConfig = NodataAugmentorConfig | Mapping[str, Any]
"""What may stand in ``chip.augmentors``: one of ours, or the options of a plugin's, its key under
``type``."""


def as_augmentors(value: Iterable[Any] | Any) -> tuple[AugmentorConfig, ...]:
    """Configs, mappings with a ``type``, or types alone, as configs; raises `ConfigError`."""
    several = [value] if isinstance(value, str | Mapping | NodataAugmentorConfig) else value
    return tuple(_as_augmentor(item) for item in several)


def _as_augmentor(value: Any) -> AugmentorConfig:
    if isinstance(value, NodataAugmentorConfig):
        return value
    fields = {"type": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or not isinstance(fields.get("type"), str):
        raise ConfigError(
            f"ChipOptions.augmentors holds {value!r}",
            hint="an augmentor is a mapping with a type, such as {type: nodata, probability: 0.3}",
        )
    if fields["type"] != NodataAugmentorConfig.type:
        return dict(fields)
    options: dict[str, Any] = {str(k): v for k, v in fields.items() if k != "type"}
    known = [field.name for field in attrs.fields(NodataAugmentorConfig)]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"ChipOptions.augmentors: the augmentor 'nodata' has no option {name!r}",
                hint=f"it has {', '.join(known)}",
            )
    return NodataAugmentorConfig(**options)


def make_augmentor(config: AugmentorConfig, kernel: Kernel) -> Augmentor:
    """The augmentor of a config; raises the errors of `PluginError` for one that nobody brings."""
    if isinstance(config, NodataAugmentorConfig):
        return lambda sample, generator: _with_holes(sample, config, generator)
    from rv_pipeline import hookspecs

    key = config["type"]
    options = {name: item for name, item in config.items() if name != "type"}
    found = kernel.call(
        AUGMENTORS, key, "rv_augmentor", hookspecs, key=key, options=options, kernel=kernel
    )
    if not callable(found):
        raise PluginContractError(
            f"the plugin of augmentor {key!r} answered with {found!r}, which cannot be called"
        )
    return found  # type: ignore[no-any-return]


def augment(sample: ChipSample, augmentors: Sequence[Augmentor], seed: int) -> ChipSample:
    """The sample after all augmentors, in their order. What they draw depends on the seed, the
    scene and the window alone: chips are the same whoever cuts them."""
    if not augmentors:
        return sample
    import numpy as np

    text = f"{seed} {sample.scene_id} {attrs.astuple(sample.window)}"
    generator = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
    for augmentor in augmentors:
        sample = augmentor(sample, generator)
    return sample


def _with_holes(
    sample: ChipSample, config: NodataAugmentorConfig, generator: np.random.Generator
) -> ChipSample:
    import numpy as np

    if generator.random() >= config.probability:
        return sample
    height, width = sample.pixels.shape[:2]
    hidden = np.zeros((height, width), np.bool_)
    for _ in range(int(generator.integers(1, config.blocks, endpoint=True))):
        rows = int(generator.integers(1, max(1, int(height * config.max_size)), endpoint=True))
        cols = int(generator.integers(1, max(1, int(width * config.max_size)), endpoint=True))
        top = int(generator.integers(0, height - rows, endpoint=True))
        left = int(generator.integers(0, width - cols, endpoint=True))
        hidden[top : top + rows, left : left + cols] = True
    pixels = sample.pixels.copy()
    pixels[hidden] = 0
    before = sample.nodata_mask
    return attrs.evolve(
        sample,
        pixels=pixels,
        nodata_mask=hidden if before is None else before | hidden,
        label=_hidden(sample.label, hidden),
    )


def _hidden(label: Label | None, hidden: NDArray[np.bool_]) -> Label | None:
    """What is left of a label."""
    import numpy as np

    if isinstance(label, PixelLabels) and label.mask is not None:
        return PixelLabels(np.where(hidden, np.uint8(UNLABELLED), label.mask))
    if isinstance(label, BoxLabels) and len(label.boxes):
        kept = _shown_share(label.boxes, hidden) >= KEPT_SHARE
        return BoxLabels(
            label.boxes[kept],
            label.class_ids[kept],
            None if label.scores is None else label.scores[kept],
        )
    return label


def _shown_share(boxes: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share [M] of the pixels that each box touches which is not hidden."""
    import numpy as np

    height, width = hidden.shape
    y0, x0 = np.floor(boxes[:, :2]).astype(int).clip(0, (height - 1, width - 1)).T
    y1, x1 = np.ceil(boxes[:, 2:]).astype(int).clip(1, (height, width)).T
    y1, x1 = np.maximum(y1, y0 + 1), np.maximum(x1, x0 + 1)
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = hidden.cumsum(0).cumsum(1)
    covered = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    share: NDArray[np.float64] = 1 - covered / ((y1 - y0) * (x1 - x0))
    return share
