"""Measurements in processes of their own, and the tables they make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
from rows import Row

HERE = Path(__file__).resolve().parent
LIMIT_SECONDS = 600


@attrs.frozen
class Column:
    """``name``: module and class in this folder. ``python``: whose packages it runs with."""

    title: str
    name: str
    python: Path = Path(sys.executable)


@attrs.define
class Cell:
    seconds: float = float("inf")
    peak: int = 0
    error: str = ""

    def add(self, said: dict, right: bool) -> None:
        self.seconds = min(self.seconds, said.get("seconds", float("inf")))
        self.peak = max(self.peak, said.get("peak", 0))
        self.error = self.error or said.get("error", "") or ("" if right else "wrong content")


@attrs.frozen
class Section:
    """Columns and rows on one server. ``warm``: a small file of it that is not measured."""

    title: str
    server: str
    rows: list[Row]
    columns: list[Column]
    warm: str
    rounds: int


def measure(section: Section, scratch: Path) -> dict[str, dict[str, Cell]]:
    """The best of some rounds for each row and column; the columns take turns."""
    table: dict[str, dict[str, Cell]] = {}
    for row in section.rows:
        cells = table[row.title] = {column.title: Cell() for column in section.columns}
        for number in range(section.rounds):
            for column in section.columns:
                cell = cells[column.title]
                if not cell.error:
                    last = number == section.rounds - 1
                    one_round(section, row, column, cell, scratch, f"{number}", last)
                    say = cell.error or f"{cell.seconds:.3f} s"
                    print(f"{section.title}: {row.title}: {column.title}: {say}", file=sys.stderr)
    return table


def one_round(
    section: Section, row: Row, column: Column, cell: Cell, scratch: Path, number: str, last: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        folder = Path(place)
        name = f"{folder.name}-{number}"
        row.before(folder)
        args = row.args(folder, name)
        if row.primed and "error" in (said := work(section, column, row.call, args)):
            cell.add(said, True)
            return
        said = work(section, column, row.call, args)
        cell.add(said, "error" in said or right(row, folder, name, said))
        if row.primed and last and not cell.error:
            row.change()
            said = work(section, column, row.call, args)
            if "error" in said or not right(row, folder, name, said):
                cell.error = "misses a change"
            row.change()
        row.after()


def right(row: Row, folder: Path, name: str, said: dict) -> bool:
    try:
        return row.right(folder, name, said)
    except OSError:  # it is not there
        return False


def work(section: Section, column: Column, call: str, args: list) -> dict:
    request = {"column": column.name, "server": section.server, "warm": section.warm}
    request |= {"call": call, "args": args}
    command = [str(column.python), str(HERE / "worker.py"), json.dumps(request)]
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(
                command,
                env=environment(section.server, home),
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not done in {LIMIT_SECONDS} s"}
    if done.returncode or not done.stdout:
        print(done.stderr[-2000:], file=sys.stderr)
        return {"error": f"exit code {done.returncode}"}
    said = json.loads(done.stdout.splitlines()[-1])
    if "text" in said:
        print(f"{column.title}: {said['error']}: {said['text']}", file=sys.stderr)
    return said


def environment(server: str, home: str) -> dict[str, str]:
    """The same for all, with nothing of the user's."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RV_CACHE_DIR": f"{home}/cache",
    }


def table_of(
    section: Section, table: dict[str, dict[str, Cell]], ratios: list[tuple[str, str]]
) -> str:
    """Two tables in markdown: seconds, with ours as a multiple of the best of some columns; and
    peak memory. ``ratios``: a title, and what the titles of its columns contain, ``|`` between."""
    titles = [column.title for column in section.columns]
    shown = [(title, part) for title, part in ratios if best(table, titles, part)]
    lines = [f"\n### {section.title}: seconds, best of {section.rounds}\n"]
    lines += header(["", *titles, *(title for title, _ in shown)])
    for name, cells in table.items():
        texts = [cell.error or f"{cell.seconds:.3f}" for cell in cells.values()]
        for _, part in shown:
            ours = cells.get("ours")
            theirs = [cells[title].seconds for title in best(table, titles, part)]
            fine = ours is not None and not ours.error and min(theirs) < float("inf")
            texts.append(f"{ours.seconds / min(theirs):.2f} x" if ours and fine else "")
        lines.append("| " + " | ".join([name, *texts]) + " |")
    lines += [f"\n### {section.title}: peak memory of the process, MB\n", *header(["", *titles])]
    for name, cells in table.items():
        peaks = [f"{cell.peak / 1e6:.0f}" for cell in cells.values()]
        lines.append("| " + " | ".join([name, *peaks]) + " |")
    return "\n".join(lines)


def header(titles: list[str]) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]


def best(table: dict[str, dict[str, Cell]], titles: list[str], part: str) -> list[str]:
    wanted = part.split("|")
    return [t for t in titles if t != "ours" and any(word in t for word in wanted)]


def versions(python: Path, requirements: list[str]) -> str:
    names = [requirement.partition("[")[0] for requirement in requirements]
    ask = "import sys; from importlib.metadata import version as v;"
    ask += "print(', '.join(f'{name} {v(name)}' for name in sys.argv[1:]))"
    done = subprocess.run([python, "-c", ask, *names], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def scratch_folder() -> Path:
    """In memory where the system has that: the disk is not what is measured."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30
    return memory if usable else Path(tempfile.gettempdir())
