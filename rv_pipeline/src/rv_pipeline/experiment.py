"""Experiments: what to learn, from which scenes, with which backend. Pure data.

A key of an output is the experiment's id unless a ``..._key`` says otherwise; experiments that
name the same key share that output, so that chips are cut once for several models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import optional
from rv_core.validators import boolean, integer, text

from rv_core import BackendConfig, ConfigError
from rv_pipeline.scenes import DatasetConfig, SceneConfig
from rv_pipeline.tasks.config import ChipOptions, PredictOptions, TaskConfig

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")


def _as_backend(value: BackendConfig | Mapping[str, Any]) -> BackendConfig | dict[str, Any]:
    """A config as it is; a mapping with its key under ``backend`` (``key`` is taken too)."""
    if isinstance(value, BackendConfig):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"Experiment.backend must be a config or a mapping, got {value!r}",
            hint=f"such as {{key: {value}}}" if isinstance(value, str) else None,
        )
    fields = dict(value)
    if "backend" in fields and "key" in fields:
        raise ConfigError("the backend has both 'key' and 'backend'", hint="keep one of them")
    key = fields.pop("key", None) or fields.pop("backend", None)
    if not isinstance(key, str) or not key:
        raise ConfigError(
            "the backend has no key", hint="say which one, such as key: KERAS_CLASSIFICATION"
        )
    return {"backend": key, **fields}


def _key(instance: object, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or not _KEY.match(value):
        raise ConfigError(
            f"{type(instance).__name__}.{field.name} names a folder, which {value!r} cannot",
            hint="start with a letter or digit; go on with letters, digits, '-', '_' and '.'",
        )


@attrs.frozen(kw_only=True)
class AnalyzeOptions:
    """``sample_windows``: how many windows of 256 px the statistics are taken from, over all the
    training scenes; ``None``: every pixel. ``exact_percentiles``: every pixel, and the percentiles
    are exactly theirs: pixels of up to 16 bits are read once for that, of 32 bits twice."""

    sample_windows: int | None = attrs.field(
        default=400,
        validator=optional(integer(minimum=1)),  # type: ignore[arg-type]  # 400 is inferred as int
    )
    exact_percentiles: bool = attrs.field(default=False, validator=boolean())


@attrs.frozen(kw_only=True)
class Experiment:
    """One experiment.

    ``id``: names it and, unless a ``..._key`` is given, its outputs. ``root_uri``: where those
    go, as ``<root_uri>/<command>/<key>/``. ``backend``: a backend's config, or a mapping
    ``{"backend": KEY, "model_defaults": KEY, ...}``. ``task``, ``chip``, ``predict``: the configs
    of a task, such as `SemanticSegmentationConfig` with its chip and predict options. Relative
    URIs anywhere in an experiment are taken from the folder in which the run is started.
    """

    id: str = attrs.field(validator=_key)
    root_uri: str = attrs.field(validator=text())
    task: TaskConfig = attrs.field(validator=attrs.validators.instance_of(TaskConfig))
    backend: BackendConfig | dict[str, Any] = attrs.field(converter=_as_backend)
    dataset: DatasetConfig = attrs.field(validator=attrs.validators.instance_of(DatasetConfig))
    analyze: AnalyzeOptions = attrs.field(factory=AnalyzeOptions)
    chip: ChipOptions = attrs.field(
        factory=ChipOptions, validator=attrs.validators.instance_of(ChipOptions)
    )
    predict: PredictOptions = attrs.field(
        factory=PredictOptions, validator=attrs.validators.instance_of(PredictOptions)
    )
    analyze_key: str | None = attrs.field(default=None, validator=optional(_key))
    chip_key: str | None = attrs.field(default=None, validator=optional(_key))
    train_key: str | None = attrs.field(default=None, validator=optional(_key))
    predict_key: str | None = attrs.field(default=None, validator=optional(_key))
    eval_key: str | None = attrs.field(default=None, validator=optional(_key))
    bundle_key: str | None = attrs.field(default=None, validator=optional(_key))

    @property
    def backend_key(self) -> str:
        if isinstance(self.backend, BackendConfig):
            return self.backend.backend
        return str(self.backend["backend"])

    @property
    def predicted_scenes(self) -> tuple[SceneConfig, ...]:
        """The scenes that PREDICT goes over, in the order of its splits."""
        return tuple(s for split in self.predict.splits for s in getattr(self.dataset, split))

    def key_of(self, command: str) -> str:
        """The key of a command's output; ``command`` is its name in lower case."""
        return getattr(self, f"{command}_key") or self.id

    def output_uri(self, command: str) -> str:
        """Where a command's output lies, without a slash at the end."""
        return f"{self.root_uri.rstrip('/') or '/'}/{command}/{self.key_of(command)}"
