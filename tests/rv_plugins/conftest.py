from __future__ import annotations

import pytest
from rv_plugins.local import LocalFileSystem


@pytest.fixture
def local() -> LocalFileSystem:
    return LocalFileSystem()
