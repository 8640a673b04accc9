"""Chips: the windows of a scene that a model trains on, and the manifest that vouches for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from rv_core._errors import DataError
from rv_core._labels import ClassMap, Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MANIFEST_NAME: Final = "manifest.json"
MANIFEST_VERSION: Final = 1


@attrs.frozen
class Window:
    """A rectangle of pixels, half-open, in rasterio's terms; offsets may be negative."""

    col_off: int
    row_off: int
    width: int
    height: int


@attrs.frozen
class ChipSpec:
    """What all chips of one output have in common.

    ``task``: a task key. ``bands``: the number of channels. ``dtype``: a numpy dtype name.
    ``size``: (height, width) in pixels.
    """

    task: str
    classes: ClassMap
    bands: int
    dtype: str
    size: tuple[int, int] = attrs.field(converter=tuple)

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "classes": self.classes.to_dict(),
            "bands": self.bands,
            "dtype": self.dtype,
            "size": list(self.size),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChipSpec:
        return cls(
            task=data["task"],
            classes=ClassMap.from_dict(data["classes"]),
            bands=data["bands"],
            dtype=data["dtype"],
            size=tuple(data["size"]),
        )


@attrs.frozen(eq=False)
class ChipSample:
    """One chip.

    ``pixels``: [H, W, C] of the spec's dtype. ``label``: ``None`` where it is not known.
    ``window``: where it lies in the scene ``scene_id``. ``nodata_mask``: bool [H, W], true where
    the scene holds no data; ``None`` where all of it is data.
    """

    pixels: NDArray[Any]
    label: Label | None
    window: Window
    scene_id: str
    nodata_mask: NDArray[np.bool_] | None = None


@attrs.frozen
class ShardInfo:
    """One finished file of chips: ``name`` relative to the chips URI, number of chips, size in
    bytes, sha256 in hex, and the number of chips of each class id where labels are classes."""

    name: str
    count: int
    size: int
    sha256: str
    class_counts: Mapping[int, int] = attrs.field(factory=dict)


class ChipWriter(ABC):
    """Writes the chips of one shard; a context manager.

    Leaving the block publishes the shard (several files where the backend splits it) and fills
    `shards`; leaving it by an exception leaves nothing behind.
    """

    shards: tuple[ShardInfo, ...] = ()

    @abstractmethod
    def write(self, sample: ChipSample) -> None:
        """Add one chip; raises `DataError` where it does not fit the spec."""

    @abstractmethod
    def close(self) -> None:
        """Publish what was written and fill `shards`."""

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()


@attrs.frozen
class ChipManifest:
    """What lies at a chips URI; written last, as ``manifest.json``, so that chips without it do
    not count. ``format`` names the layout of the shards: only backends of that format read them.
    """

    format: str
    spec: ChipSpec
    splits: Mapping[str, tuple[ShardInfo, ...]]

    def count(self, split: str) -> int:
        """The number of chips of a split, 0 for one that is not there."""
        return sum(shard.count for shard in self.splits.get(split, ()))

    def class_counts(self, split: str) -> dict[int, int]:
        """The number of chips of each class id in a split."""
        totals: dict[int, int] = {}
        for shard in self.splits.get(split, ()):
            for class_id, count in shard.class_counts.items():
                totals[class_id] = totals.get(class_id, 0) + count
        return totals

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": MANIFEST_VERSION,
            "format": self.format,
            "spec": self.spec.to_dict(),
            "splits": {
                split: [
                    {
                        **attrs.asdict(s),
                        "class_counts": {str(k): v for k, v in s.class_counts.items()},
                    }
                    for s in shards
                ]
                for split, shards in self.splits.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChipManifest:
        """Raises `DataError` for a manifest of another version or shape."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != MANIFEST_VERSION:
            raise DataError(
                f"the chips' manifest has version {version!r}, this RV reads {MANIFEST_VERSION}",
                hint="run CHIP again",
            )
        try:
            return cls(
                format=data["format"],
                spec=ChipSpec.from_dict(data["spec"]),
                splits={
                    split: tuple(map(_shard, shards)) for split, shards in data["splits"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"the chips' manifest is not whole: {error!r}", hint="run CHIP again"
            ) from error


def _shard(data: Mapping[str, Any]) -> ShardInfo:
    counts = {int(k): v for k, v in data.get("class_counts", {}).items()}
    return ShardInfo(**{**data, "class_counts": counts})
