"""Environments for the programs that benchmarks compare with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SCRATCH = Path(__file__).resolve().parent.parent / "out" / "bench"


def peer(name: str, *requirements: str) -> Path:
    """The Python of an environment that holds these requirements, made on first use."""
    place = SCRATCH / "peers" / name
    python = place / "bin" / "python"
    done = place / "installed"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *requirements]
        subprocess.run(install, check=True)
        done.write_text("\n".join(requirements))
    return python


def table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows under a title, columns aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
