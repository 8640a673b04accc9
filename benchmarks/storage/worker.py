"""One measurement, a process of its own: ``python worker.py '<json>'`` prints seconds and memory.

The request names a column (``module:Class``), what to call on it and with what. A first small read
lets the column import what it needs and connect; then the clock starts. What was read is hashed
after the clock has stopped; what was written, whoever asked looks at.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import signal
import sys
import time
import traceback
from pathlib import Path


def peak_bytes() -> int:
    """The most memory this process ever held. Linux keeps it per program; `getrusage` would also
    count what the parent held before it started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def measure(
    column: str, server: str, warm: str | None, call: str, args: list, largest: int | None = None
) -> dict:
    """``largest``: no file of this process grows beyond that; a write fails, as on a full disk."""
    if largest:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    module, _, name = column.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(server)
        if warm:
            made.read(warm)
        do = getattr(made, call)
        start = time.perf_counter()
        found = do(*args)
        seconds = time.perf_counter() - start
    except Exception as error:  # noqa: BLE001 - the table shows what a column ends with
        said = {"error": type(error).__name__, "text": f"{error}"[:500], "peak": peak_bytes()}
        return said | {"trace": traceback.format_exc()}
    said = {"seconds": seconds, "peak": peak_bytes()}
    if isinstance(found, list):
        said["digest"] = hashlib.sha256(b"".join(found)).hexdigest()
    return said


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))), flush=True)
