"""What every package of model defaults promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from rv_core._backend import Backend
from rv_core._backend_config import BackendConfig
from rv_core._errors import UnknownKeyError
from rv_core._kernel import Kernel
from rv_core.cache import unsigned
from rv_core.hookspecs import hookimpl
from rv_core.testing._plugin_contract import KEY, PluginContract


class _Serving:
    """A plugin that serves one backend."""

    def __init__(self, backend: type[Backend]) -> None:
        self._backend = backend

    @hookimpl
    def rv_backend(self, key: str, kernel: Kernel) -> type[Backend] | None:
        return self._backend if key == self._backend.key else None


class ModelDefaultsContract(PluginContract):
    """The promises of a package that brings model defaults for a backend.

    Subclass it in a test module, under a name that begins with ``Test``::

        class TestMyModels(ModelDefaultsContract):
            plugins = ("my_models.plugin", "rv_backend_keras.plugin")
            backend = "KERAS_CLASSIFICATION"

    ``plugins``: the names of plugin modules, the one under test first, then the backend's if it
    is another. Entries are read as that backend does, or as the one of that key does that is
    installed; where there is none, they are not read.
    """

    backend: ClassVar[str]

    @pytest.fixture
    def entries(self, kernel: Kernel) -> Mapping[str, Mapping[str, Any]]:
        """The entries of the plugin under test alone."""
        alone = Kernel(plugins=[import_module(self.plugins[0])], config=kernel.config)
        return alone.model_defaults(self.backend)

    @pytest.fixture
    def kernel(self) -> Kernel:
        """A kernel with those of these plugins that are installed, and with the backend."""
        found: list[object] = []
        for name in self.plugins:
            try:
                found.append(import_module(name))
            except ModuleNotFoundError as error:
                if not found or not f"{name}.".startswith(f"{error.name}."):
                    raise
        kernel = Kernel(plugins=found)
        try:
            kernel.backend(self.backend)
        except UnknownKeyError:
            with suppress(UnknownKeyError):
                return Kernel(plugins=[*found, _Serving(Kernel().backend(self.backend))])
        return kernel

    @pytest.fixture
    def config_class(self, kernel: Kernel) -> type[BackendConfig]:
        try:
            return kernel.backend(self.backend).Config
        except UnknownKeyError:
            pytest.skip(f"the backend {self.backend} is not installed: its entries are not read")

    def test_there_are_entries_for_its_backend_alone(
        self, entries: Mapping[str, Mapping[str, Any]]
    ) -> None:
        assert entries, f"no model defaults for {self.backend}"
        other = Kernel(plugins=[import_module(self.plugins[0])])
        assert not set(other.model_defaults(f"ANOTHER_{self.backend}")) & set(entries)

    def test_keys_are_spelled_like_constants(
        self, entries: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """So that they can be attributes: ``rv.MY_MODEL``."""
        wrong = [key for key in entries if not KEY.match(key)]
        assert not wrong, f"not like MY_MODEL: {', '.join(map(repr, wrong))}"

    def test_entries_are_json(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        for key, entry in entries.items():
            assert json.loads(json.dumps(entry, allow_nan=False)) == entry, key

    def test_weights_are_named_without_credentials(
        self, entries: Mapping[str, Mapping[str, Any]]
    ) -> None:
        for key, entry in entries.items():
            for name, value in entry.items():
                if isinstance(value, str) and "://" in value:
                    given, shown = urlsplit(value), urlsplit(unsigned(value))
                    assert "@" not in given.netloc, f"{key}: {name} holds a user or a password"
                    assert len(parse_qsl(given.query)) == len(parse_qsl(shown.query)), (
                        f"{key}: {name} is signed, and stays so for some days only"
                    )

    def test_the_backend_takes_every_entry(
        self,
        kernel: Kernel,
        entries: Mapping[str, Mapping[str, Any]],
        config_class: type[BackendConfig],
    ) -> None:
        for key in entries:
            config = kernel.backend_config(self.backend, model_defaults=key)
            resolved = kernel.resolve(config)
            assert isinstance(resolved, config_class)
            assert set(resolved.explicit()) - {"model_defaults"}, f"{key} sets nothing"
            json.dumps(resolved.to_dict())

    def test_what_is_set_on_purpose_wins(
        self,
        kernel: Kernel,
        entries: Mapping[str, Mapping[str, Any]],
        config_class: type[BackendConfig],
    ) -> None:
        for key in entries:
            config = kernel.backend_config(self.backend, model_defaults=key, batch_size=77)
            assert kernel.resolve(config).batch_size == 77, key
