"""Writing one shard of chips."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from rv_core import (
    UNLABELLED,
    ChipLabel,
    ChipSample,
    ChipSpec,
    ChipWriter,
    DataError,
    NotFoundError,
    ShardInfo,
    join,
)
from rv_learner.chip_files._records import Value, example, frame

if TYPE_CHECKING:
    from rv_core import Kernel

CHIP_FORMAT: Final = "tfrecord-example-v1"
"""The name of this layout in a manifest; backends that say it read each other's chips."""

DTYPES: Final = frozenset(
    "uint8 int8 uint16 int16 int32 int64 float16 float32 float64".split()  # noqa: SIM905
)
"""What TensorFlow decodes from raw bytes."""

SHARD_BYTES: Final = 128 << 20
"""A file is closed and the next begun beyond this size, so that reading can go side by side."""


class ChipFileWriter(ChipWriter):
    """Writes ``{split}/{shard}-00000.tfrecord`` and on below the chips URI, through the kernel.

    Nothing appears under a final name before it is whole. Raises `DataError` for a sample that
    does not fit the spec, `StorageError` where the place cannot be written.
    """

    def __init__(
        self,
        kernel: Kernel,
        chips_uri: str,
        split: str,
        shard: str,
        spec: ChipSpec,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        if spec.dtype not in DTYPES:
            raise DataError(
                f"chips of {spec.dtype} cannot be written, only of {', '.join(sorted(DTYPES))}",
                hint="transform the raster, for example to uint8 with the stats transformer",
            )
        self._files = kernel.files
        self._chips_uri = chips_uri
        self._stem = f"{_file_name(split)}/{_file_name(shard)}"
        self._spec = spec
        self._shard_bytes = shard_bytes
        self._shape = (*spec.size, spec.bands)
        self._done: list[ShardInfo] = []
        self._stream: BinaryIO | None = None

    def write(self, sample: ChipSample) -> None:
        record = frame(example(self._features(sample)))
        if self._stream is None:
            self._begin()
        assert self._stream is not None
        self._stream.write(record)
        self._digest.update(record)
        self._size += len(record)
        self._count += 1
        if isinstance(sample.label, ChipLabel) and sample.label.class_id != UNLABELLED:
            self._classes[int(sample.label.class_id)] += 1
        if self._size >= self._shard_bytes:
            self._finish()

    def close(self) -> None:
        if self._stream is not None:
            self._finish()
        self.shards = tuple(self._done)

    def abort(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            # Leaving the stream's block by an exception is what drops the file.
            reason = InterruptedError("the shard was given up")
            stream.__exit__(type(reason), reason, None)
        for shard in self._done:
            with suppress(NotFoundError):
                self._files.delete(join(self._chips_uri, shard.name))
        self._done = []

    def _begin(self) -> None:
        self._name = f"{self._stem}-{len(self._done):05d}.tfrecord"
        self._stream = self._files.open(join(self._chips_uri, self._name), "wb")
        self._digest = hashlib.sha256()
        self._size = self._count = 0
        self._classes: Counter[int] = Counter()

    def _finish(self) -> None:
        assert self._stream is not None
        stream, self._stream = self._stream, None
        stream.close()
        self._done.append(
            ShardInfo(
                name=self._name,
                count=self._count,
                size=self._size,
                sha256=self._digest.hexdigest(),
                class_counts=dict(sorted(self._classes.items())),
            )
        )

    def _features(self, sample: ChipSample) -> dict[str, Value]:
        import numpy as np

        pixels = sample.pixels
        if pixels.shape != self._shape or pixels.dtype != self._spec.dtype:
            raise DataError(
                f"a chip of scene {sample.scene_id} is {pixels.dtype} {list(pixels.shape)}, "
                f"the chips are {self._spec.dtype} {list(self._shape)}"
            )
        window = sample.window
        features: dict[str, Value] = {
            "image/encoded": np.ascontiguousarray(
                pixels, dtype=pixels.dtype.newbyteorder("<")
            ).tobytes(),
            "image/format": "raw",
            "image/height": self._shape[0],
            "image/width": self._shape[1],
            "image/channels": self._shape[2],
            "image/dtype": self._spec.dtype,
            "image/filename": f"{sample.scene_id}-{window.col_off}-{window.row_off}",
            "image/source_id": sample.scene_id,
            "image/window": [window.col_off, window.row_off, window.width, window.height],
            **self._label(sample),
        }
        if sample.nodata_mask is not None and sample.nodata_mask.any():
            features["image/nodata_mask"] = np.packbits(sample.nodata_mask).tobytes()
        return features

    def _label(self, sample: ChipSample) -> dict[str, Value]:
        label = sample.label
        if label is None:
            return {"image/class/label": UNLABELLED}
        if not isinstance(label, ChipLabel):
            raise DataError(f"these chips take a class each, got {type(label).__name__}")
        class_id = int(label.class_id)
        if class_id == UNLABELLED:
            return {"image/class/label": UNLABELLED}
        if not 0 <= class_id < len(self._spec.classes):
            raise DataError(
                f"a chip of scene {sample.scene_id} has class id {class_id}, "
                f"the classes are 0..{len(self._spec.classes) - 1}"
            )
        return {
            "image/class/label": class_id,
            "image/class/text": self._spec.classes.name_of(class_id),
        }


def _file_name(name: str) -> str:
    """A name that is the same for every storage; what had to be changed is told apart by a hash."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".-")[:80]
    if safe == name:
        return name
    return f"{safe or 'x'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
