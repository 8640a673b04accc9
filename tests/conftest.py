"""Fixtures that the tests of every package share; they need nothing but pytest and rv-core."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

pytest_plugins = ["rv_core.testing.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data() -> Path:
    """Real imagery that is not part of the repository, where it lies beside it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real imagery (a folder shared/data beside the clone) is not here")
    return folder


@pytest.fixture
def write_json() -> Callable[[Path, object], Path]:
    def write(path: Path, data: object) -> Path:
        path.write_text(json.dumps(data))
        return path

    return write


def pytest_configure() -> None:
    """Programs that are started in the background ignore Ctrl-C, and hand that on to those that the
    tests start and stop by it. No test fails for the time that it takes."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(ImportError):  # some packages are tested without it
        from hypothesis import settings

        # By default, an example that takes 0.2 s fails, as any may on a busy machine.
        settings.register_profile("patient", settings(), deadline=None)
        settings.load_profile("patient")
