"""A part of a suite, for one more system that differs in little from one that is tested whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Suite = TypeVar("_Suite")


def only(*tests: str) -> Callable[[type[_Suite]], type[_Suite]]:
    """A class decorator that leaves a suite's subclass these of its tests, by their names.

    For kinds of a storage beside the one that the whole suite tests: they run what may end
    otherwise there. Raises `TypeError` for a name that no test of the suite has.
    """

    def choose(suite: type[_Suite]) -> type[_Suite]:
        if unknown := [test for test in tests if not hasattr(suite, test)]:
            raise TypeError(f"{suite.__name__}: no such tests: {', '.join(unknown)}")
        for name in dir(suite):
            if name.startswith("test") and name not in tests:
                setattr(suite, name, None)  # what is not callable is not collected
        return suite

    return choose
