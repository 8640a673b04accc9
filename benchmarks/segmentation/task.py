"""What every column does: windows, a trivial model, and how a column reports."""

from __future__ import annotations

import json
import random
import resource

CHIP = 300
CHIPS = 1000
PREDICTED, STRIDE, BATCH = 256, 128, 16


def chip_windows(width: int, height: int, mode: str) -> list[tuple[int, int]]:
    """(row, column) of the upper left corners of chips inside the scene."""
    if mode == "random":
        pick = random.Random(0)
        return [(pick.randrange(height - CHIP), pick.randrange(width - CHIP)) for _ in range(CHIPS)]
    rows, cols = range(0, height - CHIP + 1, CHIP), range(0, width - CHIP + 1, CHIP)
    return [(row, col) for row in rows for col in cols]


def report(count: int, seconds: float, **more: float) -> None:
    """One line of JSON: things per second, and the peak memory of the process in MB."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": count / seconds, "seconds": seconds, "memory": memory, **more}))
