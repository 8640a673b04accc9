"""Chips on disk: a hundred small ones whose class shows in their brightness."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rv_learner.chip_files import CHIP_FORMAT, ChipFileWriter

from rv_core import (
    MANIFEST_NAME,
    ChipLabel,
    ChipManifest,
    ChipSample,
    ChipSpec,
    ClassMap,
    FileInfo,
    FileSystem,
    Kernel,
    NotFoundError,
    TransferError,
    Window,
    hookimpl,
)


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    return Kernel()


def spec_of(dtype: str = "uint8", bands: int = 3, size: tuple[int, int] = (8, 10)) -> ChipSpec:
    return ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("dark", "bright"), bands, dtype, size)


def samples_of(spec: ChipSpec, count: int, seed: int = 0) -> list[ChipSample]:
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        class_id = int(rng.integers(2))
        low, high = (0, 100) if class_id == 0 else (100, 250)
        pixels = rng.uniform(low, high, (*spec.size, spec.bands)).astype(spec.dtype)
        window = Window(index * 10 - 5, -3, spec.size[1], spec.size[0])
        samples.append(ChipSample(pixels, ChipLabel(class_id), window, f"scene {index % 3}"))
    return samples


@pytest.fixture
def write_chips(kernel: Kernel) -> Callable[..., list[ChipSample]]:
    """Write splits of chips with their manifest below a folder; returns the train samples."""

    def write(folder: Path, spec: ChipSpec | None = None, **counts: int) -> list[ChipSample]:
        spec = spec or spec_of()
        splits: dict[str, Any] = {}
        written = {}
        for seed, (split, count) in enumerate(counts.items()):
            written[split] = samples_of(spec, count, seed)
            shards = []
            for part in range(2):
                with ChipFileWriter(kernel, str(folder), split, f"part{part}", spec) as writer:
                    for sample in written[split][part::2]:
                        writer.write(sample)
                shards.extend(writer.shards)
            splits[split] = tuple(shards)
        manifest = ChipManifest(CHIP_FORMAT, spec, splits)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_dict()))
        return written.get("train", [])

    return write


class FolderStore(FileSystem):
    """Storage behind ``store://``: what is remote to the program lies in a folder of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uploads: list[str] = []
        self.broken = False

    def _path(self, uri: str) -> Path:
        return self.root / uri.removeprefix("store://")

    def open(self, uri: str, mode: str = "rb") -> Any:
        path = self._path(uri)
        if mode == "rb":
            if not path.is_file():
                raise NotFoundError(f"nothing at {uri}")
            return path.open("rb")
        if self.broken:
            raise TransferError(f"{uri}: the line is down")
        self.uploads.append(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    def info(self, uri: str) -> FileInfo:
        path = self._path(uri)
        if not path.is_file():
            raise NotFoundError(f"nothing at {uri}")
        found = path.stat()
        changed = datetime.fromtimestamp(found.st_mtime, UTC)
        return FileInfo(found.st_size, changed, str(found.st_mtime_ns))

    def list_paths(self, uri: str, ext: str = "") -> Iterator[str]:
        for path in sorted(self._path(uri).rglob(f"*{ext}")):
            if path.is_file():
                yield f"store://{path.relative_to(self.root).as_posix()}"

    def delete(self, uri: str) -> None:
        path = self._path(uri)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
        else:
            raise NotFoundError(f"nothing at {uri}")


class StorePlugin:
    def __init__(self, store: FolderStore) -> None:
        self.store = store

    @hookimpl
    def rv_filesystem(self, uri: str, mode: str, kernel: Kernel) -> FileSystem | None:
        return self.store if uri.startswith("store://") else None


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def remote_kernel(store: FolderStore) -> Kernel:
    import rv_plugins.plugin

    return Kernel(plugins=[rv_plugins.plugin, StorePlugin(store)])
