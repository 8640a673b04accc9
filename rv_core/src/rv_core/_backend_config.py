"""What every backend's configuration shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import attrs

from rv_core._errors import ConfigError
from rv_core._options import Options, merge
from rv_core.validators import boolean, integer, number, text


@attrs.frozen(kw_only=True, slots=False)
class TrainOptions(Options):
    """How a training run behaves, as opposed to what it learns.

    ``sync_interval``: seconds between uploads to a remote output. ``do_monitoring``: run
    TensorBoard beside the training. ``replace_model``: start afresh where an earlier run could be
    resumed. ``tensorboard_host``, ``tensorboard_port``: where TensorBoard listens; ``None`` means
    the setting ``[tensorboard] host`` / ``port`` (``RV_TENSORBOARD_HOST`` / ``_PORT``), else
    localhost and 6006; a port that is taken makes way for the next free one.
    """

    sync_interval: float = attrs.field(default=600.0, validator=number(minimum=1))
    do_monitoring: bool = attrs.field(default=True, validator=boolean())
    replace_model: bool = attrs.field(default=False, validator=boolean())
    tensorboard_host: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(text())
    )
    tensorboard_port: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(integer(0, 65535))
    )


def _train_options(value: TrainOptions | Mapping[str, Any]) -> TrainOptions:
    return TrainOptions.of(value)


@attrs.frozen(kw_only=True, slots=False)
class BackendConfig(Options):
    """A backend's configuration: its key, a model-defaults key and the fields set on purpose.

    Frozen and fluent: ``with_x`` returns a changed copy. Defaults are filled in by
    `Kernel.resolve` when the config is used, so explicit fields win whatever the order of calls.
    A subclass sets the class attribute ``backend`` and adds fields, each with a typed ``with_x``.
    """

    backend: ClassVar[str] = ""

    model_defaults: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(text())
    )
    pretrained_model: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(text())
    )
    batch_size: int = attrs.field(default=8, validator=integer(minimum=1))
    num_steps: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(integer(minimum=1))
    )
    num_epochs: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(integer(minimum=1))
    )
    debug: bool = attrs.field(default=False, validator=boolean())
    train_options: TrainOptions = attrs.field(factory=TrainOptions, converter=_train_options)

    def with_model_defaults(self, key: str) -> Self:
        """Fill in pretrained weights and hyperparameters from this model-defaults key."""
        return self._with(model_defaults=key)

    def with_pretrained_model(self, uri: str | None) -> Self:
        """Start from the weights at this URI; ``None``: from random ones in any case."""
        return self._with(pretrained_model=uri)

    def with_batch_size(self, batch_size: int) -> Self:
        """Chips per training step."""
        return self._with(batch_size=batch_size)

    def with_num_steps(self, num_steps: int) -> Self:
        """Train for this many steps of one batch each; takes the place of a number of epochs."""
        return self._with(num_steps=num_steps, num_epochs=None)

    def with_num_epochs(self, num_epochs: int) -> Self:
        """Train for this many passes over the chips; takes the place of a number of steps."""
        return self._with(num_epochs=num_epochs, num_steps=None)

    def with_debug(self, debug: bool = True) -> Self:
        """Keep what helps to see what went in: labelled chips as pictures."""
        return self._with(debug=debug)

    def with_train_options(
        self,
        *,
        sync_interval: float | None = None,
        do_monitoring: bool | None = None,
        replace_model: bool | None = None,
        tensorboard_host: str | None = None,
        tensorboard_port: int | None = None,
    ) -> Self:
        """Set those `TrainOptions` that are given; the others stay."""
        given = {
            "sync_interval": sync_interval,
            "do_monitoring": do_monitoring,
            "replace_model": replace_model,
            "tensorboard_host": tensorboard_host,
            "tensorboard_port": tensorboard_port,
        }
        return self._with(train_options={k: v for k, v in given.items() if v is not None})

    def with_config(self, fields: Mapping[str, Any]) -> Self:
        """Set several fields at once; nested mappings merge. `ConfigError` for an unknown field."""
        return self._with(**dict(fields))

    def to_dict(self) -> dict[str, Any]:
        """The backend's key and the explicit fields, JSON-able."""
        return {"backend": self.backend, **self.explicit()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; `ConfigError` for another backend's or unknown fields."""
        fields = dict(data)
        key = fields.pop("backend", cls.backend)
        if key != cls.backend:
            raise ConfigError(f"this is the configuration of {key}, not of {cls.backend}")
        return super().from_dict(fields)

    @classmethod
    def read_model_defaults(cls, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields that an entry of the model defaults sets; the entry's own by default."""
        return entry

    def filled(self, entry: Mapping[str, Any]) -> Self:
        """This config with a model-defaults entry below its explicit fields."""
        defaults = self.read_model_defaults(entry)
        explicit = self.explicit()
        if explicit.get("num_steps") or explicit.get("num_epochs"):
            defaults = {k: v for k, v in defaults.items() if k not in ("num_steps", "num_epochs")}
        return self.from_dict(merge(defaults, explicit))
