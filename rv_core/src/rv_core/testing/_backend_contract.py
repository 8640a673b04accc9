"""What every learning backend promises and can be seen without training a network."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import pytest

from rv_core._backend import Backend
from rv_core._backend_config import BackendConfig
from rv_core._chips import MANIFEST_NAME, ChipManifest, ChipSample, ChipSpec
from rv_core._errors import ConfigError, DataError, ModelError, NotFoundError, PluginError
from rv_core._kernel import Kernel
from rv_core._labels import ClassMap
from rv_core._scheme import join
from rv_core.testing._chip_samples import MAKERS, check_sample, make_samples
from rv_core.testing._plugin_contract import KEY, PluginContract

_COMMON: Final[Mapping[str, Any]] = {
    "model_defaults": "SOME_MODEL",
    "pretrained_model": "/weights.bin",
    "batch_size": 3,
    "num_steps": 7,
    "num_epochs": 2,
    "debug": True,
    "train_options": {"sync_interval": 5.0, "do_monitoring": False},
}


class BackendContract(PluginContract):
    """A backend's promises, as far as no network has to be trained for them.

    Subclass it in a test module, under a name that begins with ``Test``::

        class TestMyBackend(BackendContract):
            plugins = ("my_backend.plugin", "rv_plugins.plugin")
            key = "MY_BACKEND"
            values = {"optimizer": "sgd"}

    ``plugins``: the names of plugin modules, the backend's first, then one that brings storage for
    local paths, since chips are written to the fixture ``chips_uri``. ``values``: for fields of
    its config, a value that is not the default (a mapping, where ``with_x`` takes keywords), where
    the default does not show what is taken. ``bands``, ``dtypes``, ``size``: chips that it takes.
    """

    key: ClassVar[str]
    values: ClassVar[Mapping[str, Any]] = {}
    bands: ClassVar[tuple[int, ...]] = (1, 3, 8)
    dtypes: ClassVar[tuple[str, ...]] = ("uint8", "uint16", "float32")
    size: ClassVar[tuple[int, int]] = (32, 48)

    @pytest.fixture
    def backend(self, kernel: Kernel) -> type[Backend]:
        return kernel.backend(self.key)

    @pytest.fixture
    def chips_uri(self, tmp_path: Path) -> str:
        """Where chips are written: a folder that is empty, or not there yet."""
        return str(tmp_path / "chips of the test")

    def test_the_kernel_finds_it_by_its_key_alone(
        self, kernel: Kernel, backend: type[Backend]
    ) -> None:
        assert issubclass(backend, Backend)
        with pytest.raises(PluginError):
            kernel.backend(f"ANOTHER_{self.key}")

    def test_its_attributes_say_what_it_is(self, backend: type[Backend]) -> None:
        missing = sorted(getattr(backend, "__abstractmethods__", ()))
        assert not missing, f"methods that are not there: {', '.join(missing)}"
        assert KEY.match(self.key), "keys are spelled like constants"
        assert backend.key == self.key
        assert issubclass(backend.Config, BackendConfig)
        assert backend.Config.backend == self.key
        assert backend.tasks, "it learns no task"
        assert isinstance(backend.tasks, frozenset)
        assert all(KEY.match(task) for task in backend.tasks)
        assert isinstance(backend.chip_format, str)
        assert backend.chip_format

    def test_it_is_made_of_a_config_and_a_kernel(
        self, kernel: Kernel, backend: type[Backend]
    ) -> None:
        config = kernel.resolve(backend.Config())
        made = backend(config, kernel)
        assert made.config == config
        assert made.kernel is kernel

    def test_its_config_needs_no_arguments_and_is_frozen(self, backend: type[Backend]) -> None:
        config = backend.Config()
        assert config.to_dict() == {"backend": self.key}, "nothing was set on purpose"
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            config.batch_size = 1  # type: ignore[misc]

    def test_every_field_has_a_typed_setter(self, backend: type[Backend]) -> None:
        for field in attrs.fields(backend.Config):
            name = f"with_{field.name}"
            setter = getattr(backend.Config, name, None)
            assert setter is not None, f"the field {field.name} has no {name}"
            hints = inspect.get_annotations(setter)
            parameters = list(inspect.signature(setter).parameters)[1:]
            assert parameters, f"{name} takes nothing"
            assert all(p in hints for p in parameters), f"{name} has parameters without a type"
            assert str(hints.get("return", "")).rpartition(".")[2] == "Self", (
                f"{name} must return Self"
            )

    def test_setters_set_their_field_in_a_copy(self, backend: type[Backend]) -> None:
        empty = backend.Config()
        for name, value in self._values(backend).items():
            setter = getattr(empty, f"with_{name}")
            parameters = inspect.signature(setter).parameters.values()
            by_keyword = isinstance(value, Mapping) and any(
                p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters
            )
            config = setter(**value) if by_keyword else setter(value)
            expected = getattr(backend.Config.from_dict({name: value}), name)
            assert type(config) is backend.Config
            assert getattr(config, name) == expected, f"with_{name}({value!r})"
            assert name in config.explicit(), f"with_{name} does not count as set on purpose"
            assert name not in empty.explicit()

    def test_its_config_survives_json_and_pickle(self, backend: type[Backend]) -> None:
        config = backend.Config.from_dict(self._values(backend))
        for again in (
            backend.Config.from_dict(json.loads(json.dumps(config.to_dict()))),
            pickle.loads(pickle.dumps(config)),  # noqa: S301
        ):
            assert again == config
            assert again.to_dict() == config.to_dict()
        assert config.to_dict()["backend"] == self.key
        json.dumps(config.values())

    def test_its_config_refuses_what_it_does_not_know(
        self, kernel: Kernel, backend: type[Backend]
    ) -> None:
        with pytest.raises(ConfigError, match="no_such_field"):
            kernel.backend_config(self.key, no_such_field=1)
        with pytest.raises(ConfigError, match="ANOTHER_BACKEND"):
            backend.Config.from_dict({"backend": "ANOTHER_BACKEND"})
        with pytest.raises(ConfigError, match="batch_size"):
            backend.Config(batch_size="many")  # type: ignore[arg-type]

    def test_chips_come_back_as_they_were_written(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        for spec in self._specs(backend):
            uri = join(chips_uri, f"{spec.task} {spec.dtype} {spec.bands}")
            samples = make_samples(spec, 7)
            with (
                made.chip_writer(uri, "train", "one", spec) as one,
                made.chip_writer(uri, "train", "other", spec) as other,
            ):
                for n, sample in enumerate(samples):
                    (one, other)[n % 2].write(sample)
            self._write_manifest(kernel, made, uri, spec, train=(*one.shards, *other.shards))
            found = {(s.scene_id, s.window): s for s in made.read_chips(uri, "train")}
            assert len(found) == len(samples), f"{len(samples)} chips were written"
            for sample in samples:
                check_sample(found[sample.scene_id, sample.window], sample)
            assert list(made.read_chips(uri, "validation")) == [], "a split that is not there"

    def test_shards_are_what_the_manifest_will_say(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        for spec in self._specs(backend)[:1]:
            samples = make_samples(spec, 5)
            with made.chip_writer(chips_uri, "train", "shard", spec) as writer:
                for sample in samples:
                    writer.write(sample)
            assert sum(shard.count for shard in writer.shards) == 5
            for shard in writer.shards:
                data = kernel.files.read_bytes(join(chips_uri, shard.name))
                assert shard.size == len(data)
                assert shard.sha256 == hashlib.sha256(data).hexdigest()
            there = sorted(kernel.files.list_paths(chips_uri))
            assert there == sorted(join(chips_uri, shard.name) for shard in writer.shards)
            manifest = ChipManifest(made.chip_format, spec, {"train": writer.shards})
            assert ChipManifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest
            if spec.task == "CHIP_CLASSIFICATION":
                ids = [sample.label.class_id for sample in samples]  # type: ignore[union-attr]
                assert manifest.class_counts("train") == {i: ids.count(i) for i in set(ids)}

    def test_a_shard_that_is_given_up_leaves_nothing(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        for spec in self._specs(backend)[:1]:
            writer = made.chip_writer(chips_uri, "train", "shard", spec)
            with pytest.raises(KeyboardInterrupt), writer:
                writer.write(make_samples(spec, 1)[0])
                raise KeyboardInterrupt
            assert tuple(writer.shards) == ()
            assert list(kernel.files.list_paths(chips_uri)) == []

    def test_a_shard_without_chips_is_no_error(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        for spec in self._specs(backend)[:1]:
            with made.chip_writer(chips_uri, "train", "shard", spec) as writer:
                pass
            assert sum(shard.count for shard in writer.shards) == 0

    def test_chips_that_do_not_fit_are_refused(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        for spec in self._specs(backend)[:1]:
            (sample,) = make_samples(spec, 1)
            wrong: list[ChipSample] = [
                attrs.evolve(sample, pixels=sample.pixels[:, :, :1].repeat(spec.bands + 1, 2)),
                attrs.evolve(sample, pixels=sample.pixels[1:]),
                attrs.evolve(sample, pixels=sample.pixels.astype("float64")),
            ]
            for bad in wrong:
                writer = made.chip_writer(chips_uri, "train", "shard", spec)
                with pytest.raises(DataError), writer:
                    writer.write(bad)

    def test_what_is_no_model_is_refused(
        self, kernel: Kernel, backend: type[Backend], chips_uri: str
    ) -> None:
        made = backend(kernel.resolve(backend.Config()), kernel)
        with pytest.raises((ModelError, NotFoundError)):
            made.load_model(join(chips_uri, "missing.model"))
        kernel.files.write_bytes(join(chips_uri, "no.model"), b"this is no model")
        with pytest.raises(ModelError):
            made.load_model(join(chips_uri, "no.model"))

    def _values(self, backend: type[Backend]) -> dict[str, Any]:
        """A value for every field that shows what it takes."""
        found = {}
        for field in attrs.fields(backend.Config):
            default = getattr(backend.Config(), field.name)
            if field.name in self.values:
                found[field.name] = self.values[field.name]
            elif field.name in _COMMON:
                found[field.name] = _COMMON[field.name]
            elif isinstance(default, bool):
                found[field.name] = not default
            elif isinstance(default, int):
                found[field.name] = default + 1
            elif isinstance(default, float):
                found[field.name] = default / 2
        return found

    def _specs(self, backend: type[Backend]) -> list[ChipSpec]:
        tasks = sorted(backend.tasks & MAKERS.keys())
        if not tasks:
            pytest.skip(f"RV knows no chips of the tasks {', '.join(sorted(backend.tasks))}")
        classes = ClassMap.of("building", "road", "background")
        return [
            ChipSpec(task, classes, bands, dtype, self.size)  # type: ignore[arg-type]
            for task in tasks
            for dtype in self.dtypes
            for bands in self.bands
        ]

    def _write_manifest(
        self, kernel: Kernel, made: Backend, uri: str, spec: ChipSpec, **splits: Any
    ) -> None:
        manifest = ChipManifest(made.chip_format, spec, splits)
        kernel.files.write_str(join(uri, MANIFEST_NAME), json.dumps(manifest.to_dict()))
