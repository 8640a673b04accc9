"""What every column does: windows, a trivial model, and how a column reports."""

from __future__ import annotations

import json
import random
import resource
import time

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


class Clock:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._wall

    def report(self, count: int, **more: float) -> None:
        """One line of JSON: things per second and per second of processor time, which on a busy
        machine says more; and the peak memory of the process in MB."""
        seconds, cpu = self.seconds, time.process_time() - self._cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rates = {"rate": count / seconds, "per_cpu": count / cpu}
        print(json.dumps({**rates, "seconds": seconds, "cpu": cpu, "memory": memory, **more}))
