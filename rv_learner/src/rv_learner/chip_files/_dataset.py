"""``tf.data`` pipelines over chip files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rv_core import UNLABELLED
from rv_learner.chip_files._manifest import Chips

if TYPE_CHECKING:
    import tensorflow as tf

SHUFFLE_BYTES: Final = 512 << 20
"""Chips are shuffled all at once up to this much memory, beyond it through a moving window."""

OPEN_FILES: Final = 8


def training_batches(chips: Chips, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Batches without end: pixels [batch_size, H, W, C] of the chips' dtype, class ids int32
    [batch_size] (255: unlabelled).

    Every pass is shuffled anew, by the seed and its number alone, and batches run across the ends
    of passes, so that all have one shape. ``start``: how many chips an earlier run has seen; the
    next batch is then the one it would have seen next.
    """
    import tensorflow as tf

    first_pass, skipped = divmod(start, chips.count)
    window = max(batch_size, min(chips.count, SHUFFLE_BYTES // chips.chip_bytes))

    def shuffled(number: Any) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices([str(path) for path in chips.paths])
        files = files.shuffle(len(chips.paths), seed=seed + number)
        records = files.interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(OPEN_FILES, len(chips.paths)),
            block_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return records.shuffle(window, seed=seed + number)

    passes = tf.data.Dataset.counter(tf.constant(first_pass, tf.int64))
    records = passes.flat_map(shuffled).skip(skipped)
    batches = records.batch(batch_size, drop_remainder=True)
    return _parsed(batches, chips, batch_size)


def evaluation_batches(chips: Chips, batch_size: int) -> tf.data.Dataset:
    """Every chip once, in the files' order, as `training_batches` gives them; the last batch is
    shorter where they do not go up."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset([str(path) for path in chips.paths])
    return _parsed(records.batch(batch_size), chips, None)


def _parsed(batches: tf.data.Dataset, chips: Chips, batch_size: int | None) -> tf.data.Dataset:
    import tensorflow as tf

    shape = (*chips.spec.size, chips.spec.bands)
    wanted = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64, default_value=UNLABELLED),
    }

    def parse(serialized: Any) -> tuple[Any, Any]:
        features = tf.io.parse_example(serialized, wanted)
        pixels = tf.io.decode_raw(features["image/encoded"], tf.as_dtype(chips.spec.dtype))
        pixels = tf.reshape(pixels, (-1, *shape))
        pixels.set_shape((batch_size, *shape))
        return pixels, tf.cast(features["image/class/label"], tf.int32)

    parsed = batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return parsed.prefetch(tf.data.AUTOTUNE)
