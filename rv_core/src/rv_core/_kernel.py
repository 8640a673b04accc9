"""The kernel: finds the plugin that serves a key, imports that one alone, and asks it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import attrs

from rv_core._calling import Caller, Member, Source, load_crossing
from rv_core._config import KERNEL_SECTION, Config, Sections
from rv_core._discovery import Claim, PluginInfo, named, normalized, read_index, split_group
from rv_core._embedded import Embedded
from rv_core._errors import ConfigError, NotWritableError, PluginError, UnknownKeyError
from rv_core._loading import Loader
from rv_core._resolution import Index, unknown
from rv_core._scheme import scheme_of, without_secrets
from rv_core.hookspecs import FALLBACK_KEY

if TYPE_CHECKING:
    from rv_core._backend import Backend
    from rv_core._backend_config import BackendConfig
    from rv_core._files import Files
    from rv_core._filesystem import FileSystem, Mode
    from rv_core._model_defaults import ModelDefaults
    from rv_core.cache import Cache

_Config = TypeVar("_Config", bound="BackendConfig")

Plugin = object
"""A module, an object with hook implementations, or the importable name of one of them."""


@attrs.frozen
class KernelSpec:
    """What rebuilds a kernel in another process; picklable, and without secrets."""

    plugins: tuple[str, ...] | None
    path: tuple[str, ...] | None
    disable: tuple[str, ...]
    config: Mapping[str, Any]


class Kernel:
    """Everything that is installed, or just the plugins given; as many per process as you like.

    ``plugins``: only these, nothing is discovered; modules, objects or importable names.
    ``config``: settings by section, which win over environment and files, or a `Config` that is
    taken as it is. ``path``: where distributions are looked for (``sys.path`` if not given);
    what a plugin there imports besides its own package still comes from ``sys.path``.
    ``disable``: distributions to leave alone, beside those that the settings name.
    ``profile``: the user's config file of that name.

    Making a kernel imports no plugin and reads no index: both happen on first use. All methods
    may be called from several threads at once. Raises `ConfigError` for settings that cannot be
    read.
    """

    def __init__(
        self,
        plugins: Iterable[Plugin] | None = None,
        *,
        config: Sections | Config | None = None,
        path: Iterable[str | os.PathLike[str]] | None = None,
        disable: Iterable[str] = (),
        profile: str | None = None,
    ) -> None:
        for name, given in (("plugins", plugins), ("path", path), ("disable", disable)):
            if isinstance(given, str):  # would be taken letter by letter
                raise TypeError(f"Kernel({name}=...) takes several: [{given!r}], not {given!r}")
        self.config = config if isinstance(config, Config) else Config.load(config, profile=profile)
        self._disable = tuple(normalized(name) for name in disable)
        self._path = None if path is None else tuple(str(Path(p).absolute()) for p in path)
        self._embedded = (
            None if plugins is None else Embedded(plugins, self._disabled(), self._pins())
        )
        self._loader = Loader()
        # What was found, filled in on first use. No lock is held while a plugin is imported or
        # called, since both may ask this kernel; at worst two threads find the same twice.
        self._claims: Index | None = None
        self._claims_lock = threading.Lock()
        self._crossing: dict[ModuleType | None, tuple[Member, ...]] = {}
        self._storage: dict[str, Caller] = {}
        self._callers: dict[tuple[str, str, str, type | None], Caller] = {}
        self._defaults: dict[str, ModelDefaults] = {}

    # Asking for capabilities

    def filesystem(self, uri: str | os.PathLike[str], mode: Mode = "r") -> FileSystem:
        """The FileSystem that serves a URI for reading (``"r"``) or writing (``"w"``).

        Raises `UnknownKeyError` for a scheme nobody serves, `NotWritableError` where the system
        is read-only, and the other errors of `PluginError`.
        """
        uri = os.fspath(uri)
        key = scheme_of(uri)
        call = self._storage.get(key)
        if call is None:
            call = self._storage[key] = self._storage_caller(uri, key, mode)
        found = call(uri=uri, mode=mode, kernel=self)
        if not found.matches_uri(uri, mode):
            raise NotWritableError(
                f"{without_secrets(uri)} cannot be written: {key}:// is read-only here"
                if mode == "w"
                else f"{without_secrets(uri)} cannot be read by {type(found).__name__}",
                hint="write to another place, such as a local path" if mode == "w" else None,
            )
        return found  # type: ignore[no-any-return]

    @cached_property
    def files(self) -> Files:
        """Read, write, copy and sync at any URI."""
        from rv_core._files import Files

        return Files(self)

    @cached_property
    def cache(self) -> Cache:
        """The cache that all storage shares; see `rv_core.cache`."""
        from rv_core.cache import Cache

        limit = self.config.get(KERNEL_SECTION, "cache_max_bytes", type=int)
        return Cache(self.config.get(KERNEL_SECTION, "cache_dir", type=str), limit)

    def backend(self, key: str) -> type[Backend]:
        """The Backend class of a key; raises the errors of `PluginError`."""
        from rv_core._backend import Backend

        found = self.call(_BACKENDS, key, "rv_backend", returns=type, key=key, kernel=self)
        if not issubclass(found, Backend):
            caller = self._callers[_BACKENDS, key, "rv_backend", type]
            raise caller.contract_error(f"answered with {found!r}, which is not a Backend")
        return found  # type: ignore[no-any-return]

    @overload
    def backend_config(
        self, backend: type[_Config], model_defaults: str | None = None, **fields: Any
    ) -> _Config: ...

    @overload
    def backend_config(
        self, backend: str, model_defaults: str | None = None, **fields: Any
    ) -> Any: ...

    def backend_config(
        self,
        backend: str | type[BackendConfig],
        model_defaults: str | None = None,
        **fields: Any,
    ) -> Any:
        """A BackendConfig for a backend's key, with these fields set; a config class given
        instead of the key keeps its type. Raises `ConfigError` for unknown fields."""
        cls = self.backend(backend).Config if isinstance(backend, str) else backend
        if model_defaults is not None:
            fields["model_defaults"] = model_defaults
        return cls.from_dict(fields)

    def resolve(self, config: BackendConfig) -> BackendConfig:
        """The config with its model defaults filled in below its explicit fields.

        Raises `UnknownKeyError` for a model-defaults key that is not there.
        """
        if config.model_defaults is None:
            return config
        return config.filled(self._model_entry(config.backend, config.model_defaults))

    def model_defaults(self, backend: str) -> ModelDefaults:
        """The model defaults of a backend, merged: model key -> entry.

        A distribution that is broken takes only its own entries away; the log says so.
        """
        if backend not in self._defaults:
            from rv_core._model_defaults import gather, merged, user_layer

            wrapping = self._wrapping("rv_model_defaults", None)
            layers = gather(self._default_sources(backend), wrapping, backend, self)
            found = merged(backend, layers, user_layer(self), self._pins())
            self._defaults.setdefault(backend, found)
        return self._defaults[backend]

    def call(
        self,
        group: str,
        key: str,
        hook: str,
        /,
        specs: ModuleType | None = None,
        returns: type | None = None,
        **arguments: Any,
    ) -> Any:
        """Call a hook of the one plugin that serves ``key`` in ``group``.

        Only that plugin and the cross-cutting ones hear of the call. ``specs`` is the module that
        declares the hook, for kinds of plugins that the kernel does not know. Raises the errors of
        `PluginError`; `PluginContractError` where the answer is ``None`` or not a ``returns``.
        """
        caller = self._callers.get((group, key, hook, returns))
        if caller is None:
            caller = self._bind(group, key, hook, specs, returns, arguments)
        return caller(**arguments)

    def load(self, group: str, key: str) -> Any:
        """The object that the winning entry point names, such as a command."""
        if self._embedded is not None:
            raise unknown(split_group(group)[0], key, ())
        return self._loader.load(self._index.winner(*split_group(group), key))

    # Looking around

    def plugins(self) -> list[PluginInfo]:
        """Every plugin: distribution, version, keys, status, where from. Imports none of them,
        but those that were given to the kernel by name."""
        if self._embedded is not None:
            return self._embedded.plugins()
        return self._index.plugins(self._loader.outcome)

    def keys(self, kind: str) -> list[str]:
        """The keys of a kind (``"backends"``, ``"filesystems"``, ...) that are installed."""
        return [] if self._embedded is not None else self._index.keys(kind)

    def kinds(self) -> list[str]:
        """The kinds of keys that anything installed claims."""
        return [] if self._embedded is not None else self._index.kinds()

    def has_key(self, name: str) -> bool:
        """Whether anything installed goes by this key: of any kind, or of a model's defaults.

        Only where no entry point has the name are the modules of model defaults imported.
        """
        if self._embedded is None and any(
            c.key == name for c in self._index.claims if self._index.may(c)
        ):
            return True
        for backend in self.keys("model_defaults"):
            defaults = self.model_defaults(backend)
            if name in defaults or name in defaults.conflicts:
                return True
        return False

    def why(self, key_or_uri: str) -> list[tuple[Claim, str, str]]:
        """How a key or URI is resolved: each claim to it with its status and the reason."""
        if self._embedded is not None:
            return []
        key = scheme_of(key_or_uri) if "/" in key_or_uri or "\\" in key_or_uri else key_or_uri
        claims = [c for c in self._index.claims if c.key == key]
        claims = claims or [c for c in self._index.claims if c.key == key.lower()]
        if not claims and key != key_or_uri:
            claims = self._index.candidates("filesystems", FALLBACK_KEY)
        pinned = self._index.pinned_fallback(*_STORAGE, key)
        claims = [*claims, *(claim for claim in pinned if claim not in claims)]
        infos = [self._index.info(claim, self._loader.outcome, key) for claim in claims]
        return [
            (claim, info.status, info.detail) for claim, info in zip(claims, infos, strict=True)
        ]

    def check(self) -> list[PluginInfo]:
        """Import every plugin that is not disabled, and say what came of each."""
        if self._embedded is None:
            load_crossing(self._index, self._loader, ())
            for claim in self._index.claims:
                if self._index.may(claim):
                    with suppress(PluginError):  # its status tells
                        self._loader.load(claim)
        return self.plugins()

    def spec(self) -> KernelSpec:
        """What `from_spec` needs to resolve the same plugins in another process; picklable.

        Raises `ConfigError` where a plugin has no importable name, or a setting holds a secret.
        """
        names = None if self._embedded is None else self._embedded.names()
        return KernelSpec(names, self._path, self._disable, self.config.spec())

    @classmethod
    def from_spec(cls, spec: KernelSpec) -> Self:
        """The kernel that a spec describes, made anew in this process."""
        config = Config.from_spec(spec.config)
        return cls(spec.plugins, config=config, path=spec.path, disable=spec.disable)

    # Resolution

    @property
    def _index(self) -> Index:
        if self._claims is None:
            with self._claims_lock:
                if self._claims is None:
                    self._claims = Index(read_index(self._path), self._disabled(), self._pins())
        return self._claims

    def _disabled(self) -> Mapping[str, str]:
        found = dict.fromkeys(self._disable, "the argument disable=")
        for origin, names in self.config.all_of(KERNEL_SECTION, "disable_plugins", list):
            for name in names:
                found.setdefault(normalized(name), origin)
        return found

    def _pins(self) -> Mapping[str, str]:
        pins = self.config.get(KERNEL_SECTION, "pins", {}, dict)
        for key, name in pins.items():
            if not isinstance(name, str):
                raise ConfigError(
                    f"[rv.pins] {key!r} must be the name of a distribution, got {name!r}"
                )
        return pins  # type: ignore[no-any-return]

    def _storage_caller(self, uri: str, scheme: str, mode: Mode) -> Caller:
        from rv_core._filesystem import FileSystem

        kwargs = {"uri": uri, "mode": mode, "kernel": self}
        if self._embedded is None and self._index.pinned_fallback(*_STORAGE, scheme):
            self._ask_fallback(scheme, kwargs)
        try:
            return self._bind(_FILESYSTEMS, scheme, "rv_filesystem", None, FileSystem, kwargs)
        except UnknownKeyError as error:
            if self._embedded is not None or FALLBACK_KEY not in self._index.keys("filesystems"):
                raise
            self._ask_fallback(FALLBACK_KEY, kwargs, error)
            return self._bind(_FILESYSTEMS, FALLBACK_KEY, "rv_filesystem", None, FileSystem, kwargs)

    def _ask_fallback(
        self, key: str, kwargs: Mapping[str, Any], error: PluginError | None = None
    ) -> None:
        """Raise ``error``, or that the pin is wrong, where the plugin for any scheme does not serve
        this one. It is asked alone: what is wrapped around its answer would hide that it has none.
        """
        claim = self._index.winner(*_STORAGE, key)
        self._wrapping("rv_filesystem", None)
        alone = Caller((claim, self._loader.load(claim)), (), "rv_filesystem")
        if alone.ask(**kwargs) is None:
            raise error or ConfigError(
                f"{named('filesystems', key)} is pinned to {claim.distribution}, "
                "which does not serve it here",
                hint="change the pin, or install what it needs for it",
            ) from None

    def _bind(
        self,
        group: str,
        key: str,
        hook: str,
        specs: ModuleType | None,
        returns: type | None,
        kwargs: Mapping[str, Any],
    ) -> Caller:
        """Make the caller of a hook that reaches the key's owner and the cross-cutting plugins.

        Each owner gets a small plugin manager of its own (docs/adr/0001), so that nothing loaded
        later can answer for its key.
        """
        kind, contract = split_group(group)
        if self._embedded is not None:
            owner = self._embedded.owner(kind, key, hook, specs, kwargs)
            wrapping = self._wrapping(hook, specs)
        else:
            claim = self._index.winner(kind, contract, key)
            wrapping = self._wrapping(hook, specs)  # a policy that fails keeps the owner out
            owner = claim, self._loader.load(claim)
        caller = Caller(owner, wrapping, hook, specs, returns)
        self._callers[group, key, hook, returns] = caller
        return caller

    def _wrapping(self, hook: str, specs: ModuleType | None) -> Sequence[Member]:
        """The plugins that may wrap a hook; cross-cutting ones are imported for the first call."""
        if self._embedded is not None:
            return self._embedded.wrapping(hook, specs)
        if specs not in self._crossing:
            required = self.config.get(KERNEL_SECTION, "require_hooks", [], list)
            found = load_crossing(self._index, self._loader, required, specs)
            self._crossing.setdefault(specs, found)
        return self._crossing[specs]

    def _default_sources(self, backend: str) -> list[Source]:
        if self._embedded is not None:
            return [Source(c, partial(_given, p), own) for (c, p), own in self._embedded.defaults()]
        owners = {c.distribution for c in self._index.usable("backends", backend, 1)}
        return [
            Source(claim, partial(self._loader.load, claim), claim.distribution in owners)
            for claim in self._index.usable("model_defaults", backend, 1)
        ]

    def _model_entry(self, backend: str, key: str) -> Mapping[str, Any]:
        defaults = self.model_defaults(backend)
        try:
            return defaults[key]
        except KeyError:
            raise unknown("model_defaults", key, defaults, also=f" for {backend}") from None


def _given(plugin: Any) -> Any:
    return plugin


_FILESYSTEMS = "rv.filesystems.v1"
_STORAGE = split_group(_FILESYSTEMS)
_BACKENDS = "rv.backends.v1"
