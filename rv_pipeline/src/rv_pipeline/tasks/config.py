"""What the tasks' configs have in common: what to learn, which chips to cut, how to predict.

A task extends these classes by fields of its own (`Task.Config`, `Task.ChipOptions`,
`Task.PredictOptions`). In an experiment they are ``task``, ``chip`` and ``predict``: a change of
``chip`` cuts new chips, one of ``predict`` only predicts anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import attrs
from attrs.validators import optional
from rv_core.validators import choice, integer, text

from rv_core import ClassInfo, ClassMap, ConfigError
from rv_pipeline.augmentors import AugmentorConfig, as_augmentors

Crs = Literal["image", "EPSG:4326"]
SPLITS = ("train", "validation", "test")


def _as_classes(value: ClassMap | Mapping[str, str | None] | Iterable[str]) -> ClassMap:
    """A class map from names, or from a mapping of names to colors."""
    if isinstance(value, ClassMap):
        return value
    if isinstance(value, str):
        raise ConfigError(f"classes must be a list of names, got {value!r}")
    if isinstance(value, Mapping):
        return ClassMap(tuple(ClassInfo(name, color) for name, color in value.items()))
    return ClassMap.of(*value)


def _as_splits(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class TaskConfig:
    """What is to be learnt.

    ``key``: a task such as ``"CHIP_CLASSIFICATION"``. ``classes``: names in the order of their
    ids, or a mapping of names to ``#rrggbb`` colors.
    """

    key: str = attrs.field(validator=text())
    classes: ClassMap = attrs.field(converter=_as_classes)


@attrs.frozen(kw_only=True)
class ChipOptions:
    """Which windows of a scene become chips.

    ``windows``: ``"sliding"``: a grid over the scene; ``"random"``: ``chips_per_scene`` windows
    anywhere inside it; a task may know more kinds. Validation scenes have a plain grid, whatever is
    chosen for training.
    ``stride``: pixels from one sliding window to the next. ``None``: the chip size, so each place
    is seen once; less makes overlapping windows, hence more training chips of a small scene.
    ``chips_per_scene``: how many chips are drawn at random of each training scene; fewer, where too
    few of the windows that are drawn (twenty times as many) are labelled or hold data.
    ``seed``: of everything that is drawn; the same one gives the same chips.
    ``augmentors``: what is done to training chips as they are cut, in this order; see
    `rv_pipeline.augmentors`.
    """

    kinds: ClassVar[tuple[str, ...]] = ("sliding", "random")

    windows: str = attrs.field(default="sliding")
    stride: int | None = attrs.field(default=None, validator=optional(integer(minimum=1)))
    chips_per_scene: int = attrs.field(default=1000, validator=integer(minimum=1))
    seed: int = attrs.field(default=0, validator=integer(minimum=0))
    augmentors: tuple[AugmentorConfig, ...] = attrs.field(default=(), converter=as_augmentors)

    @windows.validator
    def _check_windows(self, field: attrs.Attribute[Any], value: str) -> None:
        choice(self.kinds)(self, field, value)


@attrs.frozen(kw_only=True)
class PredictOptions:
    """``splits``: the scenes to predict. ``crs``: of the vectors that come out: that of each
    ``image``, or ``EPSG:4326``. ``batch_size``: windows that the model sees at a time."""

    splits: tuple[str, ...] = attrs.field(default=("validation", "test"), converter=_as_splits)
    crs: Crs = attrs.field(default="image", validator=choice(("image", "EPSG:4326")))
    batch_size: int = attrs.field(default=64, validator=integer(minimum=1))

    @splits.validator
    def _check_splits(self, _: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
        for split in value:
            if split not in SPLITS:
                raise ConfigError(
                    f"{type(self).__name__}.splits holds {split!r}",
                    hint="the splits are train, validation and test",
                )
