"""The configuration of KERAS_CLASSIFICATION."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, get_args

import attrs
from rv_core.validators import boolean, choice, integer, number, text

from rv_core import BackendConfig, ConfigError, Options

Network = Literal[
    "resnet50", "mobilenet_v3_small", "efficientnet_v2_b0", "convnext_tiny", "small_cnn"
]
Optimizer = Literal["adam", "adamw", "sgd"]
ScheduleKind = Literal["constant", "cosine", "step", "exponential"]
BatchNorm = Literal["train", "freeze"]

NETWORKS: Final[tuple[str, ...]] = get_args(Network)
BALANCED: Final = "balanced"

_optional = attrs.validators.optional


@attrs.frozen(kw_only=True, slots=False)
class Augmentation(Options):
    """How training chips are varied, each chip by itself; validation chips never are.

    ``flip_horizontal``, ``flip_vertical``: with probability one half. ``rotate``: by 0, 90, 180
    or 270 degrees (0 or 180 where chips are not square). ``brightness``: all bands are multiplied
    by a number within 1 - brightness .. 1 + brightness; 0 leaves them alone.
    """

    flip_horizontal: bool = attrs.field(default=True, validator=boolean())
    flip_vertical: bool = attrs.field(default=True, validator=boolean())
    rotate: bool = attrs.field(default=True, validator=boolean())
    brightness: float = attrs.field(default=0.1, validator=number(0, 1))

    @classmethod
    def none(cls) -> Augmentation:
        """Chips as they are."""
        return cls(flip_horizontal=False, flip_vertical=False, rotate=False, brightness=0.0)


@attrs.frozen(kw_only=True, slots=False)
class Schedule(Options):
    """How the learning rate goes; see `rv_learner.training.learning_rates`.

    ``warmup_steps``: ``None`` means a twentieth of the run, 100 steps at most.
    """

    kind: ScheduleKind = attrs.field(
        default="cosine", validator=choice(("constant", "cosine", "step", "exponential"))
    )
    warmup_steps: int | None = attrs.field(default=None, validator=_optional(integer(minimum=0)))
    decay_steps: int | None = attrs.field(default=None, validator=_optional(integer(minimum=1)))
    decay_rate: float = attrs.field(default=0.1, validator=number(0, 1))


def _class_weights(instance: Any, field: Any, value: Any) -> None:
    if value is None or value == BALANCED:
        return
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"KerasClassificationConfig.class_weights must be {BALANCED!r} or a mapping of class "
            f"names to weights, got {value!r}"
        )
    for weight in value.values():
        number(minimum=0)(instance, field, weight)


def _range(instance: Any, field: Any, value: Any) -> None:
    if value is None:
        return
    for end in value:
        number()(instance, field, end)
    if len(value) != 2 or not value[0] < value[1]:
        raise ConfigError(
            f"KerasClassificationConfig.input_range must be (low, high), got {value!r}"
        )


def _pair(value: Any) -> tuple[float, float] | None:
    return None if value is None else tuple(value)


def _digest(instance: Any, field: Any, value: Any) -> None:
    if value is None:
        return
    text()(instance, field, value)
    if value.partition(":")[0] not in ("md5", "sha256"):
        raise ConfigError(
            "KerasClassificationConfig.pretrained_hash must begin with md5: or sha256:, "
            f"got {value!r}"
        )


@attrs.frozen(kw_only=True, slots=False)
class KerasClassificationConfig(BackendConfig):
    """A chip classifier: a convolutional network, mean over its last feature map, softmax.

    ``network``: which. ``pretrained_hash``: ``md5:...`` or ``sha256:...`` of the weights at
    ``pretrained_model``. ``pretrained_required``: whether weights that cannot be had are an error,
    or training from scratch; model defaults say no, and weights you name yourself are required.

    ``optimizer``; ``learning_rate``: the highest, ``None`` for 1e-3 from scratch and 1e-4 with
    pretrained weights (sgd: ten times as much); ``weight_decay``; ``schedule``.

    ``batch_norm``: ``"train"`` or ``"freeze"`` (statistics and scales stay as they were
    pretrained). ``batch_norm_momentum``: of the moving statistics, ``None`` for 0.99.
    ``recalibrate_batch_norm``: before validating and at the end, take the statistics anew from
    training chips, since moving averages lag behind in a short training.

    ``augmentation``; ``class_weights``: ``"balanced"`` (each class counts the same in all), or a
    weight by class name (1 for those not named); ``dropout`` before the last layer;
    ``label_smoothing``; ``input_range``: the values that become 0..255, ``None`` for 0..255 where
    chips are uint8, else mean +- 3 standard deviations of the training chips, band by band.

    ``early_stopping``: end after so many passes without a lower validation loss, and keep the
    best weights. ``mixed_precision``: on a GPU. ``checkpoint_seconds``, ``checkpoint_steps``:
    when the state is saved, whichever comes first. ``seed``: of weights, shuffling, augmentation.
    """

    backend: ClassVar[str] = "KERAS_CLASSIFICATION"

    network: Network = attrs.field(default="resnet50", validator=choice(NETWORKS))
    pretrained_hash: str | None = attrs.field(default=None, validator=_digest)
    pretrained_required: bool = attrs.field(default=True, validator=boolean())
    batch_size: int = attrs.field(default=16, validator=integer(minimum=1))
    optimizer: Optimizer = attrs.field(default="adam", validator=choice(("adam", "adamw", "sgd")))
    learning_rate: float | None = attrs.field(default=None, validator=_optional(number(minimum=0)))
    weight_decay: float = attrs.field(default=0.0, validator=number(minimum=0))
    schedule: Schedule = attrs.field(factory=Schedule, converter=Schedule.of)  # type: ignore[misc]
    batch_norm: BatchNorm = attrs.field(default="train", validator=choice(("train", "freeze")))
    batch_norm_momentum: float | None = attrs.field(default=None, validator=_optional(number(0, 1)))
    recalibrate_batch_norm: bool = attrs.field(default=True, validator=boolean())
    augmentation: Augmentation = attrs.field(
        factory=Augmentation,
        converter=Augmentation.of,  # type: ignore[misc]
    )
    class_weights: str | Mapping[str, float] | None = attrs.field(
        default=None, validator=_class_weights
    )
    dropout: float = attrs.field(default=0.0, validator=number(0, 0.99))
    label_smoothing: float = attrs.field(default=0.0, validator=number(0, 0.99))
    input_range: tuple[float, float] | None = attrs.field(
        default=None,
        validator=_range,
        converter=_pair,
    )
    early_stopping: int | None = attrs.field(default=None, validator=_optional(integer(minimum=1)))
    mixed_precision: bool = attrs.field(default=True, validator=boolean())
    checkpoint_seconds: float = attrs.field(default=120.0, validator=number(minimum=0))
    checkpoint_steps: int | None = attrs.field(
        default=None, validator=_optional(integer(minimum=1))
    )
    seed: int = attrs.field(default=0, validator=integer(minimum=0))

    def filled(self, entry: Mapping[str, Any]) -> Self:
        """With a model-defaults entry below; what the entry says of its own weights is left out
        where other weights, or none, were asked for."""
        if "pretrained_model" in self.explicit():
            own = ("pretrained_hash", "pretrained_required")
            entry = {name: value for name, value in entry.items() if name not in own}
        return super().filled(entry)

    def with_network(self, network: Network) -> Self:
        """Which network to train."""
        return self._with(network=network)

    def with_pretrained_hash(self, digest: str | None) -> Self:
        """Refuse pretrained weights unless they have this hash, ``md5:...`` or ``sha256:...``."""
        return self._with(pretrained_hash=digest)

    def with_pretrained_required(self, required: bool = True) -> Self:
        """Whether pretrained weights that cannot be had are an error, or training from scratch."""
        return self._with(pretrained_required=required)

    def with_optimizer(self, optimizer: Optimizer) -> Self:
        """``adam``, ``adamw`` or ``sgd`` (with momentum 0.9)."""
        return self._with(optimizer=optimizer)

    def with_learning_rate(self, learning_rate: float | None) -> Self:
        """The highest learning rate of the schedule."""
        return self._with(learning_rate=learning_rate)

    def with_weight_decay(self, weight_decay: float) -> Self:
        """Decoupled weight decay (https://arxiv.org/abs/1711.05101) of the optimizer."""
        return self._with(weight_decay=weight_decay)

    def with_schedule(
        self,
        kind: ScheduleKind | None = None,
        *,
        warmup_steps: int | None = None,
        decay_steps: int | None = None,
        decay_rate: float | None = None,
    ) -> Self:
        """Set those parts of the `Schedule` that are given; the others stay."""
        given = {
            "kind": kind,
            "warmup_steps": warmup_steps,
            "decay_steps": decay_steps,
            "decay_rate": decay_rate,
        }
        return self._with(schedule={k: v for k, v in given.items() if v is not None})

    def with_batch_norm(self, batch_norm: BatchNorm) -> Self:
        """Train batch norm, or freeze it as it was pretrained."""
        return self._with(batch_norm=batch_norm)

    def with_batch_norm_momentum(self, momentum: float | None) -> Self:
        """The momentum of batch norm's moving statistics."""
        return self._with(batch_norm_momentum=momentum)

    def with_recalibrate_batch_norm(self, recalibrate: bool = True) -> Self:
        """Whether batch norm's statistics are taken anew before the model is judged or saved."""
        return self._with(recalibrate_batch_norm=recalibrate)

    def with_augmentation(
        self,
        augmentation: Augmentation | None = None,
        *,
        flip_horizontal: bool | None = None,
        flip_vertical: bool | None = None,
        rotate: bool | None = None,
        brightness: float | None = None,
    ) -> Self:
        """Set the whole `Augmentation`, or those parts that are given."""
        given = {
            "flip_horizontal": flip_horizontal,
            "flip_vertical": flip_vertical,
            "rotate": rotate,
            "brightness": brightness,
        }
        parts = {k: v for k, v in given.items() if v is not None}
        if augmentation is not None:
            parts = {**augmentation.values(), **parts}
        return self._with(augmentation=parts)

    def with_class_weights(self, weights: str | Mapping[str, float] | None) -> Self:
        """``"balanced"``, or a weight by class name."""
        return self._with(class_weights=weights)

    def with_dropout(self, rate: float) -> Self:
        """The share of features dropped before the last layer while training."""
        return self._with(dropout=rate)

    def with_label_smoothing(self, smoothing: float) -> Self:
        """The share of a label that is spread over all classes."""
        return self._with(label_smoothing=smoothing)

    def with_input_range(self, input_range: tuple[float, float] | None) -> Self:
        """The pixel values that become 0..255."""
        return self._with(input_range=input_range)

    def with_early_stopping(self, passes: int | None) -> Self:
        """End after so many passes without a lower validation loss; keep the best weights."""
        return self._with(early_stopping=passes)

    def with_mixed_precision(self, mixed_precision: bool = True) -> Self:
        """Compute in float16 where there is a GPU; without one this changes nothing."""
        return self._with(mixed_precision=mixed_precision)

    def with_checkpoint_seconds(self, seconds: float) -> Self:
        """Save the state at least this often."""
        return self._with(checkpoint_seconds=seconds)

    def with_checkpoint_steps(self, steps: int | None) -> Self:
        """Save the state every so many steps."""
        return self._with(checkpoint_steps=steps)

    def with_seed(self, seed: int) -> Self:
        """The seed of random weights, shuffling and augmentation."""
        return self._with(seed=seed)
