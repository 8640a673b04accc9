"""Backends and model defaults that break one promise each, and the test that has to notice.

Run by `test_testing_contract_catches.py` as a third party's test module would be.
"""

# ruff: noqa: RUF012
import sys
import uuid
from pathlib import Path
from typing import Self

import attrs
import pytest
from rv_core.testing import BackendContract, ModelDefaultsContract

from rv_core import Kernel, hookimpl

EXAMPLES = Path(__file__).resolve().parents[1] / "plugin_examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "toy_backend" / "src")]

from acme_toy_backend.backend import ToyBackend, ToyConfig, ToyWriter  # noqa: E402


class Plugin:
    def __init__(self, backend):
        self.backend = backend

    @hookimpl
    def rv_backend(self, key, kernel):
        return self.backend if key == "TOY_CLASSIFICATION" else None


class Contract(BackendContract):
    """``catches``: the tests that have to fail, as pytest names them."""

    plugins = ("acme_toy_backend.plugin", "memory_storage")
    key = "TOY_CLASSIFICATION"
    made = ToyBackend
    catches = ()
    whole = "TestWholeBackend"

    @pytest.fixture
    def kernel(self):
        return Kernel(plugins=[Plugin(self.made), "memory_storage"])

    @pytest.fixture
    def chips_uri(self):
        return f"mem://chips/{uuid.uuid4().hex}"


class TestWholeBackend(Contract):
    pass


class TestItsPluginImportsNumpy(Contract):
    plugins = ("acme_toy_backend.backend", "memory_storage")
    catches = ("test_the_plugin_module_is_light",)


class TestItServesEveryKey(Contract):
    catches = ("test_the_kernel_finds_it_by_its_key_alone",)

    @pytest.fixture
    def kernel(self):
        class Greedy:
            @hookimpl
            def rv_backend(self, key, kernel):
                return ToyBackend

        return Kernel(plugins=[Greedy(), "memory_storage"])


class TestItIsNamedOtherwise(Contract):
    catches = ("test_its_attributes_say_what_it_is",)

    class made(ToyBackend):
        key = "SOMETHING_ELSE"
        tasks = frozenset({"CHIP_CLASSIFICATION"})


class TestAFieldHasNoSetter(Contract):
    catches = ("test_every_field_has_a_typed_setter",)

    class made(ToyBackend):
        @attrs.frozen(kw_only=True, slots=False)
        class Config(ToyConfig):
            momentum: float = 0.9


class TestASetterHasNoTypes(Contract):
    catches = ("test_every_field_has_a_typed_setter",)

    class made(ToyBackend):
        @attrs.frozen(kw_only=True, slots=False)
        class Config(ToyConfig):
            def with_learning_rate(self, learning_rate):
                return self._with(learning_rate=learning_rate)


class TestASetterSetsAnother(Contract):
    catches = ("test_setters_set_their_field_in_a_copy",)

    class made(ToyBackend):
        @attrs.frozen(kw_only=True, slots=False)
        class Config(ToyConfig):
            momentum: float = 0.9

            def with_momentum(self, momentum: float) -> Self:
                return self._with(learning_rate=momentum)


class TestTheMaskIsLost(Contract):
    catches = ("test_chips_come_back_as_they_were_written",)

    class made(ToyBackend):
        def read_chips(self, chips_uri, split):
            for sample in super().read_chips(chips_uri, split):
                yield attrs.evolve(sample, nodata_mask=None)


class TestPixelsAreRounded(Contract):
    catches = ("test_chips_come_back_as_they_were_written",)

    class made(ToyBackend):
        def read_chips(self, chips_uri, split):
            for sample in super().read_chips(chips_uri, split):
                pixels = sample.pixels.round().astype(sample.pixels.dtype)
                yield attrs.evolve(sample, pixels=pixels)


class Writers(ToyBackend):
    writer = ToyWriter

    def chip_writer(self, chips_uri, split, shard, spec):
        return self.writer(chips_uri, split, shard, spec, self.kernel)


class TestChecksumsAreWrong(Contract):
    catches = ("test_shards_are_what_the_manifest_will_say",)

    class made(Writers):
        class writer(ToyWriter):
            def close(self):
                super().close()
                self.shards = tuple(attrs.evolve(s, sha256="0" * 64) for s in self.shards)


class TestWhatWasGivenUpIsPublished(Contract):
    catches = ("test_a_shard_that_is_given_up_leaves_nothing",)

    class made(Writers):
        class writer(ToyWriter):
            def abort(self):
                self.close()


class TestAnyChipIsTaken(Contract):
    catches = ("test_chips_that_do_not_fit_are_refused",)

    class made(Writers):
        class writer(ToyWriter):
            def write(self, sample):
                self._samples.append(sample)


class TestAnythingIsAModel(Contract):
    catches = ("test_what_is_no_model_is_refused",)

    class made(ToyBackend):
        def load_model(self, model_uri):
            return None


class Defaults(ModelDefaultsContract):
    plugins = ("acme_toy_backend.plugin",)
    backend = "TOY_CLASSIFICATION"
    given = None
    catches = ()
    whole = "TestWholeDefaults"

    @pytest.fixture
    def kernel(self):
        return Kernel(plugins=[self._plugin(), Plugin(ToyBackend)])

    @pytest.fixture
    def entries(self):
        return Kernel(plugins=[self._plugin()]).model_defaults(self.backend)

    def _plugin(self):
        given = self.given

        class Models:
            @hookimpl
            def rv_model_defaults(self, backend, kernel):
                return given if backend == "TOY_CLASSIFICATION" else None

        return Models()


class TestWholeDefaults(Defaults):
    given = {"TOY_BEST": {"num_steps": 5, "pretrained_model": "https://host/x?download=1"}}


class TestThereAreNone(Defaults):
    given = {}
    catches = ("test_there_are_entries_for_its_backend_alone",)


class TestKeysAreLowerCase(Defaults):
    given = {"best": {"num_steps": 5}}
    catches = ("test_keys_are_spelled_like_constants",)


class TestTheyAreNoJson(Defaults):
    given = {"TOY_BEST": {"learning_rate": float("inf")}}
    catches = ("test_entries_are_json",)


class TestPasswordsAreInThem(Defaults):
    given = {"TOY_BEST": {"pretrained_model": "https://me:secret@host/weights"}}
    catches = ("test_weights_are_named_without_credentials",)


class TestTheyAreSigned(Defaults):
    given = {"TOY_BEST": {"pretrained_model": "https://host/weights?X-Amz-Signature=abc"}}
    catches = ("test_weights_are_named_without_credentials",)


class TestFieldsAreUnknown(Defaults):
    given = {"TOY_BEST": {"num_stepps": 5}}
    catches = ("test_the_backend_takes_every_entry",)


class TestEntriesAreEmpty(Defaults):
    given = {"TOY_BEST": {}}
    catches = ("test_the_backend_takes_every_entry",)
