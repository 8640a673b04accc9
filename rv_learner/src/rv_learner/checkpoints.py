"""Checkpoints: every variable of a training run in one HDF5 file, beside the run's state.

One file a checkpoint makes it atomic on every storage system. Variables are matched by place and
shape, and their values never unpickled.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"step-(\d{9})\.h5\Z")


@attrs.frozen
class Checkpoints:
    """The checkpoints in a folder; the newest ``keep`` are kept.

    ``identity``: what the run learns, from what, with which settings; a checkpoint of another
    identity is not this run's.
    """

    folder: Path
    identity: Mapping[str, Any]
    keep: int = 2

    def save(self, step: int, variables: Sequence[Any], state: Mapping[str, Any]) -> Path:
        """Write a checkpoint after ``step`` steps; it appears under its name when it is whole."""
        import h5py
        import numpy as np

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:09d}.h5"
        part = self.folder / f".{path.name}.part"
        try:
            with h5py.File(part, "w") as file:
                record = {"step": step, "identity": dict(self.identity), "state": dict(state)}
                # As a dataset, since an attribute holds at most 64 KiB.
                file["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
                for index, variable in enumerate(variables):
                    file[f"variables/{index}"] = np.asarray(variable)
            with part.open("rb") as whole:
                os.fsync(whole.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        for old in self._paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def restore(self, variables: Sequence[Any]) -> tuple[int, dict[str, Any]] | None:
        """Put the newest whole checkpoint of this identity into the variables.

        Its step and state; ``None`` where there is none. One that is damaged or of another
        identity is passed over with a warning that says why.
        """
        for path in reversed(self._paths()):
            try:
                found = self._restore(path, variables)
            except (OSError, KeyError, ValueError) as error:
                logger.warning("the checkpoint %s is damaged and passed over: %s", path, error)
                continue
            if found is not None:
                return found
        return None

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else iter(())
        return sorted(path for path in found if _NAME.match(path.name))

    def _restore(self, path: Path, variables: Sequence[Any]) -> tuple[int, dict[str, Any]] | None:
        import h5py

        with h5py.File(path, "r") as file:
            record = json.loads(bytes(file["record"][()]))
            if differing := differences(record["identity"], self.identity):
                logger.warning(
                    "the checkpoint %s was made with other settings (%s): training starts afresh",
                    path,
                    "; ".join(differing),
                )
                return None
            stored = [file[f"variables/{i}"][()] for i in range(len(file["variables"]))]
        shapes = [tuple(variable.shape) for variable in variables]
        if [value.shape for value in stored] != shapes:
            raise ValueError("its variables have other shapes than the network and optimizer")
        for variable, value in zip(variables, stored, strict=True):
            variable.assign(value)
        return int(record["step"]), record["state"]


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What differs between two JSON-able values, each with its name: ``batch_size 8, now 16``."""
    new = json.loads(json.dumps(new))
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{name}[{i}]")]
    return [f"{name} {_short(old)}, now {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
