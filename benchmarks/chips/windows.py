"""The windows that every column reads, and how a column reports."""

from __future__ import annotations

import json
import random
import resource

SIZE = 300
COUNT = 1000


def random_windows(width: int, height: int) -> list[tuple[int, int]]:
    """(row, column) of the upper left corners, the same in every column."""
    pick = random.Random(0)
    return [(pick.randrange(height - SIZE), pick.randrange(width - SIZE)) for _ in range(COUNT)]


def report(count: int, seconds: float) -> None:
    """One line of JSON: chips per second, and the peak memory of the process in MB."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": count / seconds, "memory": memory}))
