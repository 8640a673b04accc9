"""A kind of storage that differs in little is tested by a part of a suite."""

from __future__ import annotations

import pytest
from rv_core.testing import only


class Suite:
    def test_one(self) -> None: ...

    def test_other(self) -> None: ...


def test_only_what_is_named_is_left() -> None:
    @only("test_one")
    class Part(Suite): ...

    assert [name for name in dir(Part) if callable(getattr(Part, name)) and name[0] != "_"] == [
        "test_one"
    ]
    assert callable(Suite.test_other), "the suite itself has lost a test"


def test_a_name_that_no_test_has_is_refused() -> None:
    with pytest.raises(TypeError, match="test_onne"):
        only("test_onne")(Suite)
