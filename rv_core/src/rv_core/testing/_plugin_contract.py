"""What the suites for learning plugins share: the modules under test, a kernel that has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from typing import ClassVar, Final

import pytest

from rv_core._kernel import Kernel

KEY: Final = re.compile(r"[A-Z][A-Z0-9_]*\Z")
HEAVY: Final = frozenset(
    {
        *("boto3", "cv2", "h5py", "jax", "keras", "matplotlib", "numpy", "pandas", "PIL"),
        *("rasterio", "requests", "scipy", "sklearn", "tensorflow", "torch"),
    }
)
"""Modules that cost a second or a hundred megabytes, so that no `plugin.py` imports them."""


class PluginContract:
    plugins: ClassVar[tuple[str, ...]] = ()
    """The importable names of plugin modules: the one under test first, then what it needs, such
    as one that brings storage for local paths."""

    @pytest.fixture
    def kernel(self) -> Kernel:
        """A kernel that has these plugins, and discovers none."""
        assert self.plugins, f"{type(self).__name__} needs `plugins`: names of plugin modules"
        return Kernel(plugins=[import_module(name) for name in self.plugins])

    def test_the_plugin_module_is_light(self) -> None:
        """The kernel imports it before it knows whether it is used."""
        code = f"import sys, {self.plugins[0]}; print(*sys.modules)"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        heavy = HEAVY.intersection(done.stdout.split())
        assert not heavy, (
            f"importing {self.plugins[0]} imports {', '.join(sorted(heavy))}: "
            f"do so inside the functions that need them"
        )
