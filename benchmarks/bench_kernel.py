"""What the kernel costs: to start, to ask, to list.

Targets: `Kernel()` in a fresh interpreter at most 1.5 times the imports of pluggy, attrs and
importlib_metadata; a warm `kernel.filesystem(uri)` under 10 us whatever the number of plugins;
`rv plugins` at most half of `datasette plugins`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path

from peers import peer, table

from rv_core import Kernel

ROUNDS = 15
PLUGIN = Path(__file__).resolve().parents[1] / "tests" / "plugin_examples" / "memory_storage.py"


def median_seconds(*commands: list[str]) -> list[float]:
    """The median wall time of each command, their runs taken in turn."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(ROUNDS + 1):
        for command, seen in zip(commands, times, strict=True):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seen.append(time.perf_counter() - start)
    return [statistics.median(seen[1:]) for seen in times]  # the first fills the file cache


def start_up() -> None:
    imports = [sys.executable, "-c", "import pluggy, attrs, importlib_metadata"]
    kernel = [sys.executable, "-c", "import rv_core; rv_core.Kernel()"]
    base, ours = median_seconds(imports, kernel)
    rows = [
        ("import pluggy, attrs, importlib_metadata", f"{base * 1e3:.0f} ms", ""),
        ("import rv_core; Kernel()", f"{ours * 1e3:.0f} ms", f"{ours / base:.2f} x (at most 1.5)"),
    ]
    table("A fresh interpreter", rows)


def listing() -> None:
    datasette = peer("datasette", "datasette", "setuptools")
    commands = [
        [str(Path(sys.executable).with_name("rv")), "plugins"],
        [str(datasette.with_name("datasette")), "plugins"],
    ]
    ours, theirs = median_seconds(*commands)
    rows = [
        ("datasette plugins", f"{theirs * 1e3:.0f} ms", ""),
        ("rv plugins", f"{ours * 1e3:.0f} ms", f"{ours / theirs:.2f} x (at most 0.5)"),
    ]
    table(f"Listing plugins, whole processes, median of {ROUNDS}", rows)


def install(folder: Path, number: int) -> None:
    info = folder / f"bench_{number}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{number}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rv.filesystems.v1]\nm{number} = bench_{number}\n")
    (folder / f"bench_{number}.py").write_text(
        PLUGIN.read_text().replace("mem://", f"m{number}://")
    )


def warm() -> None:
    rows = []
    for count, used in ((1, 1), (300, 1), (300, 300)):
        with tempfile.TemporaryDirectory() as place:
            for number in range(count):
                install(Path(place), number)
            kernel = Kernel(path=[place])
            for number in range(used):
                kernel.filesystem(f"m{number}://bucket/key")
            ask = timeit.repeat(
                lambda kernel=kernel: kernel.filesystem("m0://bucket/key"), number=10_000, repeat=7
            )
            each = f"{min(ask) / 10_000 * 1e6:.2f} us"
            rows.append((f"{count} installed, {used} in use", each, "(under 10 us)"))
            for name in [name for name in sys.modules if name.startswith("bench_")]:
                del sys.modules[name]
    table("A warm kernel.filesystem(uri)", rows)


if __name__ == "__main__":
    start_up()
    warm()
    listing()
