"""The manifest of chips, and the local files it vouches for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rv_core import (
    MANIFEST_NAME,
    ChipManifest,
    ChipSpec,
    DataError,
    NotFoundError,
    ShardInfo,
    join,
)

if TYPE_CHECKING:
    from rv_core import Kernel


@attrs.frozen
class Chips:
    """One split of chips, at hand: local files, their spec, how many, and how many of each class
    id."""

    paths: tuple[Path, ...]
    spec: ChipSpec
    count: int
    class_counts: dict[int, int]

    @property
    def chip_bytes(self) -> int:
        import numpy as np

        height, width = self.spec.size
        return height * width * self.spec.bands * int(np.dtype(self.spec.dtype).itemsize)


def read_manifest(kernel: Kernel, chips_uri: str, formats: Sequence[str]) -> ChipManifest:
    """The manifest of the chips at a URI.

    Raises `DataError` where there is none, or where the shards are of a format not in ``formats``.
    """
    uri = join(chips_uri, MANIFEST_NAME)
    try:
        text = kernel.files.read_str(uri)
    except NotFoundError as error:
        raise DataError(
            f"there are no finished chips at {chips_uri}: {MANIFEST_NAME} is missing",
            hint="run CHIP first",
        ) from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{uri} is not JSON: {error}", hint="run CHIP again") from error
    if not isinstance(data, dict):
        raise DataError(f"{uri} is not a manifest", hint="run CHIP again")
    manifest = ChipManifest.from_dict(data)
    if manifest.format not in formats:
        raise DataError(
            f"the chips at {chips_uri} are of format {manifest.format!r}, this backend reads "
            f"{' and '.join(map(repr, formats))}",
            hint="run CHIP with this backend, under another chip key",
        )
    return manifest


def open_chips(kernel: Kernel, chips_uri: str, manifest: ChipManifest, split: str) -> Chips:
    """The chips of a split as local files, remote ones fetched through the cache; none where the
    manifest has no such split. Raises `DataError` where a shard is missing or of another size."""
    shards = manifest.splits.get(split, ())
    paths = tuple(_local(kernel, join(chips_uri, shard.name), shard) for shard in shards)
    for path in paths:
        if not path.exists():
            raise DataError(
                f"the chips at {chips_uri} do not fit into the cache: {path.name} is gone again",
                hint="raise RV_CACHE_MAX_BYTES",
            )
    return Chips(paths, manifest.spec, manifest.count(split), manifest.class_counts(split))


def _local(kernel: Kernel, uri: str, shard: ShardInfo) -> Path:
    try:
        path = kernel.files.local_path(uri)
        size = path.stat().st_size
    except (NotFoundError, FileNotFoundError) as error:
        raise DataError(
            f"{uri} is missing, though the chips' manifest lists it", hint="run CHIP again"
        ) from error
    if size != shard.size:
        raise DataError(
            f"{uri} has {size} bytes, the chips' manifest says {shard.size}", hint="run CHIP again"
        )
    return path
