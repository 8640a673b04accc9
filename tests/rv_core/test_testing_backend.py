"""The suites for backends and model defaults, on the example of a third party's package."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rv_core.testing import BackendContract, ModelDefaultsContract

EXAMPLES = Path(__file__).resolve().parents[1] / "plugin_examples"


@pytest.fixture(scope="module", autouse=True)
def _examples_are_importable() -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "toy_backend" / "src")]
    yield
    sys.path[:] = before
    for name in [n for n in sys.modules if n.startswith(("acme_toy_backend", "memory_storage"))]:
        del sys.modules[name]


class TestToyBackend(BackendContract):
    plugins = ("acme_toy_backend.plugin", "memory_storage")
    key = "TOY_CLASSIFICATION"

    @pytest.fixture
    def chips_uri(self) -> str:
        return f"mem://chips/{uuid.uuid4().hex}"


class TestToyModels(ModelDefaultsContract):
    plugins = ("acme_toy_backend.plugin",)
    backend = "TOY_CLASSIFICATION"
