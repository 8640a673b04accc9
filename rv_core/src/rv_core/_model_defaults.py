"""Model defaults: one key stands for pretrained weights and hyperparameters.

Layers merge from below: the backend's own distribution, other distributions, and the JSON at
``RV_MODEL_DEFAULTS_URI``. Nested mappings merge, anything else replaces.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import attrs

from rv_core._calling import Caller, Member, Source
from rv_core._config import KERNEL_SECTION
from rv_core._discovery import normalized
from rv_core._errors import ConfigError, PluginConflictError, PluginError
from rv_core._options import merge
from rv_core._scheme import without_secrets

if TYPE_CHECKING:
    from rv_core._kernel import Kernel

logger = logging.getLogger(__name__)


@attrs.frozen
class Layer:
    """The entries one source gives for a backend; ``own``: the backend's own distribution."""

    origin: str
    entries: Mapping[str, Any]
    own: bool = False


class ModelDefaults(Mapping[str, Mapping[str, Any]]):
    """The merged entries of a backend by model key.

    ``origins[key]`` names the sources of an entry, lowest first. A key that several distributions
    claim without a pin is not listed, and raises `PluginConflictError` when asked for.
    """

    def __init__(
        self,
        entries: Mapping[str, Mapping[str, Any]],
        origins: Mapping[str, tuple[str, ...]],
        conflicts: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._entries = entries
        self.origins = origins
        self.conflicts = conflicts

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        if key in self.conflicts:
            raise _conflict(key, self.conflicts[key])
        return self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def merged(
    backend: str, layers: list[Layer], user: Layer | None, pins: Mapping[str, str]
) -> ModelDefaults:
    """The layers as one; ``pins`` maps ``BACKEND/MODEL`` to the distribution that decides.

    Raises `ConfigError` for entries that are not mappings, and for a pin that nobody answers.
    """
    if user is not None and user.entries.get("replace") is True:
        layers = []
    entries: dict[str, Mapping[str, Any]] = {}
    origins: dict[str, tuple[str, ...]] = {}
    conflicts: dict[str, tuple[str, ...]] = {}
    for key in sorted({key for layer in layers for key in layer.entries}):
        chosen, rivals = _choose(backend, key, layers, pins.get(f"{backend}/{key}"))
        if rivals:
            conflicts[key] = rivals
            continue
        for layer in chosen:
            _put(entries, origins, layer, key, layer.entries[key])
    if user is not None:
        named = user.entries.get(backend, {})
        if not isinstance(named, Mapping):
            raise ConfigError(f"{user.origin}: {backend!r} must hold a mapping of model keys")
        for key, entry in named.items():
            if key in conflicts:
                continue
            _put(entries, origins, user, key, entry)
    return ModelDefaults(entries, origins, conflicts)


def gather(
    sources: Sequence[Source], crossing: Sequence[Member], backend: str, kernel: Kernel
) -> list[Layer]:
    """What each source gives; one that is broken is left out with a warning."""
    layers = []
    for source in sources:
        try:
            owner = source.claim, source.load()
            caller = Caller(owner, crossing, "rv_model_defaults", returns=list)
            answers = caller(backend=backend, kernel=kernel)
            entries: dict[str, Any] = {}
            for answer in answers:
                if not isinstance(answer, Mapping):
                    raise caller.contract_error(f"gave {type(answer).__name__}, not a mapping")
                entries.update(answer)
            for key, entry in entries.items():
                if not isinstance(entry, Mapping):
                    raise caller.contract_error(f"gave {key!r} as {entry!r}, not as a mapping")
        except (PluginError, ConfigError) as error:
            hint = f"; {error.hint}" if error.hint else ""
            logger.warning("%s (model defaults of %s are left out%s)", error, source.claim, hint)
            continue
        layers.append(Layer(str(source.claim), entries, source.own))
    return layers


def user_layer(kernel: Kernel) -> Layer | None:
    """The JSON at the user's URI: backend -> model key -> entry, and maybe ``replace``."""
    uri = kernel.config.get(KERNEL_SECTION, "model_defaults_uri", type=str)
    if not uri:  # an empty variable counts as none
        return None
    origin = without_secrets(uri)
    return Layer(origin, parse_json(kernel.files.read_str(uri), origin))


def parse_json(text: str, origin: str) -> Mapping[str, Any]:
    """A JSON object; raises `ConfigError` with line and column where it is malformed."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{origin} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{origin} must hold a JSON object, got {type(data).__name__}")
    return data


def read_model_defaults_json(
    package: str, filename: str = "model_defaults.json"
) -> Mapping[str, Any]:
    """The model defaults that a package ships: model key -> entry."""
    text = resources.files(package).joinpath(filename).read_text("utf-8")
    return parse_json(text, f"{package}/{filename}")


def _choose(
    backend: str, key: str, layers: list[Layer], pin: str | None
) -> tuple[list[Layer], tuple[str, ...]]:
    """The layers that make an entry, lowest first, or the origins of those that conflict."""
    having = [layer for layer in layers if key in layer.entries]
    own = [layer for layer in having if layer.own]
    others = [layer for layer in having if not layer.own]
    if pin is not None:
        pinned = [
            layer for layer in having if normalized(layer.origin.split(" ")[0]) == normalized(pin)
        ]
        if not pinned:
            raise ConfigError(
                f"{backend}/{key} is pinned to {pin}, which gives no such model defaults",
                hint="they come from " + ", ".join(layer.origin for layer in having),
            )
        return ([*own, *pinned] if not pinned[0].own else own), ()
    plain = [layer for layer in others if not _overrides(layer.entries[key])]
    overriding = [layer for layer in others if _overrides(layer.entries[key])]
    for rivals in (plain, overriding):
        if len(rivals) > 1:
            return [], tuple(layer.origin for layer in rivals)
    return [*own, *plain, *overriding], ()


def _overrides(entry: Mapping[str, Any]) -> bool:
    return entry.get("override") is True


def _put(
    entries: dict[str, Mapping[str, Any]],
    origins: dict[str, tuple[str, ...]],
    layer: Layer,
    key: str,
    entry: Any,
) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{layer.origin}: the entry {key!r} must be a mapping, got {entry!r}")
    fields = {name: value for name, value in entry.items() if name != "override"}
    entries[key] = merge(entries.get(key, {}), fields)
    origins[key] = (*origins.get(key, ()), layer.origin)


def _conflict(key: str, rivals: tuple[str, ...]) -> PluginConflictError:
    return PluginConflictError(
        f"the model defaults {key!r} come from {' and '.join(rivals)}",
        hint='pin one in rv.toml, [rv.pins] "BACKEND/MODEL" = "distribution", or disable the other',
    )
