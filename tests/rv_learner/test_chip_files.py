"""Chip files: what is written is what TensorFlow and RV read."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from rv_learner.chip_files import (
    CHIP_FORMAT,
    ChipFileWriter,
    evaluation_batches,
    open_chips,
    read_chips,
    read_manifest,
    training_batches,
)
from rv_learner.chip_files._records import crc32c

from rv_core import (
    MANIFEST_NAME,
    BoxLabels,
    ChipLabel,
    ChipManifest,
    ChipSample,
    ChipSpec,
    ClassMap,
    DataError,
    Window,
)


def spec_of(dtype="uint8", bands=3, size=(8, 10)):
    return ChipSpec("CHIP_CLASSIFICATION", ClassMap.of("dark", "bright"), bands, dtype, size)


def chips_at(kernel, folder, split="train"):
    manifest = read_manifest(kernel, str(folder), (CHIP_FORMAT,))
    return open_chips(kernel, str(folder), manifest, split)


def test_crc32c_of_the_known_vectors():
    # RFC 3720, B.4, and the usual check value.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 1023, 1024, 1025, 2048, 5000])
def test_tensorflow_accepts_the_checksums_of_records_of_any_length(tmp_path, length):
    import tensorflow as tf
    from rv_learner.chip_files._records import frame

    record = np.random.default_rng(length).bytes(length)
    (tmp_path / "x.tfrecord").write_bytes(frame(record) + frame(b"next"))
    read = [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / "x.tfrecord"))]
    assert read == [record, b"next"]


@pytest.mark.parametrize(
    ("dtype", "bands"), [("uint8", 3), ("uint16", 8), ("float32", 1), ("int16", 2)]
)
def test_chips_of_any_dtype_and_band_count_come_back_as_they_were(
    tmp_path, kernel, write_chips, dtype, bands
):
    spec = spec_of(dtype, bands)
    written = write_chips(tmp_path, spec, train=7)
    read = list(read_chips(kernel, str(tmp_path), "train"))
    assert len(read) == 7
    by_window = {sample.window: sample for sample in read}
    for sample in written:
        other = by_window[sample.window]
        np.testing.assert_array_equal(other.pixels, sample.pixels)
        assert other.pixels.dtype == dtype
        assert (other.label, other.scene_id) == (sample.label, sample.scene_id)
    pixels, labels = next(iter(evaluation_batches(chips_at(kernel, tmp_path), 7)))
    assert pixels.shape == (7, 8, 10, bands)
    expected = sorted(s.pixels.sum(dtype="float64") for s in written)
    np.testing.assert_allclose(
        np.sort(pixels.numpy().sum(axis=(1, 2, 3), dtype="float64")), expected, rtol=1e-6
    )
    assert sorted(labels.numpy()) == sorted(s.label.class_id for s in written)


def test_records_have_the_fields_that_tensorflow_tools_know(tmp_path, kernel):
    import tensorflow as tf

    sample = ChipSample(
        np.full((8, 10, 3), 9, "uint8"), ChipLabel(1), Window(-4, 6, 10, 8), "sçene"
    )
    with ChipFileWriter(kernel, str(tmp_path), "train", "a", spec_of()) as writer:
        writer.write(sample)
    path = tmp_path / writer.shards[0].name
    record = next(iter(tf.data.TFRecordDataset(str(path)))).numpy()
    feature = tf.train.Example.FromString(record).features.feature
    assert feature["image/encoded"].bytes_list.value[0] == b"\x09" * 240
    assert feature["image/format"].bytes_list.value[0] == b"raw"
    assert list(feature["image/window"].int64_list.value) == [-4, 6, 10, 8]
    texts = {
        name: feature[name].bytes_list.value[0].decode() for name in feature if "image/s" in name
    }
    assert texts == {"image/source_id": "sçene"}
    numbers = {n: feature[n].int64_list.value[0] for n in ("image/height", "image/width")}
    assert numbers == {"image/height": 8, "image/width": 10}
    assert feature["image/class/label"].int64_list.value[0] == 1
    assert feature["image/class/text"].bytes_list.value[0] == b"bright"


def test_nodata_and_a_missing_label_come_back(tmp_path, kernel, write_chips):
    mask = np.zeros((8, 10), bool)
    mask[3:, 7:] = True
    spec = spec_of()
    sample = ChipSample(np.zeros((8, 10, 3), "uint8"), None, Window(0, 0, 10, 8), "s", mask)
    with ChipFileWriter(kernel, str(tmp_path), "train", "a", spec) as writer:
        writer.write(sample)
    manifest = ChipManifest(CHIP_FORMAT, spec, {"train": writer.shards})
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest.to_dict()))
    (read,) = read_chips(kernel, str(tmp_path), "train")
    assert read.label is None
    np.testing.assert_array_equal(read.nodata_mask, mask)
    assert writer.shards[0].class_counts == {}


def test_the_shard_says_what_it_holds(tmp_path, kernel, write_chips):
    import hashlib

    written = write_chips(tmp_path, train=9)
    manifest = read_manifest(kernel, str(tmp_path), (CHIP_FORMAT,))
    for shard in manifest.splits["train"]:
        content = (tmp_path / shard.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.size, shard.sha256)
    counts = manifest.class_counts("train")
    assert counts[1] == sum(s.label.class_id for s in written)
    assert sum(counts.values()) == manifest.count("train") == 9


def test_a_shard_that_grows_beyond_the_limit_goes_on_in_another_file(tmp_path, kernel):
    spec = spec_of()
    sample = ChipSample(np.zeros((8, 10, 3), "uint8"), ChipLabel(0), Window(0, 0, 10, 8), "s")
    with ChipFileWriter(kernel, str(tmp_path), "train", "a", spec, shard_bytes=1500) as writer:
        for _ in range(7):
            writer.write(sample)
    assert [s.name for s in writer.shards] == [f"train/a-0000{i}.tfrecord" for i in range(3)]
    assert sum(s.count for s in writer.shards) == 7


def test_a_writer_that_fails_leaves_no_file(tmp_path, kernel):
    sample = ChipSample(np.zeros((8, 10, 3), "uint8"), ChipLabel(0), Window(0, 0, 10, 8), "s")
    writer = ChipFileWriter(kernel, str(tmp_path), "train", "a", spec_of(), shard_bytes=1500)
    with pytest.raises(RuntimeError, match="disk"), writer:
        for _ in range(4):
            writer.write(sample)
        raise RuntimeError("disk")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert writer.shards == ()


def test_an_empty_shard_is_no_file(tmp_path, kernel):
    with ChipFileWriter(kernel, str(tmp_path), "train", "a", spec_of()) as writer:
        pass
    assert writer.shards == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pixels": np.zeros((8, 9, 3), "uint8")},
            r"uint8 \[8, 9, 3\], the chips are uint8 \[8, 10, 3\]",
        ),
        ({"pixels": np.zeros((8, 10, 3), "uint16")}, "is uint16"),
        ({"label": ChipLabel(2)}, r"class id 2, the classes are 0\.\.1"),
        ({"label": BoxLabels(np.zeros((0, 4), "float32"), np.zeros(0, int))}, "got BoxLabels"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path, kernel, change, message):
    fields = {"pixels": np.zeros((8, 10, 3), "uint8"), "label": ChipLabel(0), **change}
    sample = ChipSample(window=Window(0, 0, 10, 8), scene_id="s", **fields)
    writer = ChipFileWriter(kernel, str(tmp_path), "train", "a", spec_of())
    with pytest.raises(DataError, match=message), writer:
        writer.write(sample)
    assert writer.shards == ()


def test_a_dtype_that_tensorflow_cannot_decode_is_refused_at_once(tmp_path, kernel):
    with pytest.raises(DataError, match="uint32 cannot be written"):
        ChipFileWriter(kernel, str(tmp_path), "train", "a", spec_of("uint32"))


WORKER = """
import sys
import numpy as np
from rv_core import ChipLabel, ChipSample, Kernel, Window
from rv_learner.chip_files import ChipFileWriter

def write_shard(kernel_spec, chip_spec, folder, name, value):
    pixels = np.full((8, 10, 3), value, "uint8")
    sample = ChipSample(pixels, ChipLabel(value % 2), Window(value, 0, 10, 8), name)
    kernel = Kernel.from_spec(kernel_spec)
    with ChipFileWriter(kernel, folder, "train", name, chip_spec) as writer:
        for _ in range(5):
            writer.write(sample)
    return writer.shards, "tensorflow" in sys.modules
"""


def test_several_processes_write_at_once_and_none_imports_tensorflow(
    tmp_path_factory, tmp_path, kernel, monkeypatch
):
    # A module of its own: a spawned process finds it wherever the tests were started.
    place = tmp_path_factory.mktemp("modules")
    (place / "write_shard_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(place)
    write_shard = importlib.import_module("write_shard_worker").write_shard
    # Shard names that differ only in what a file name cannot hold must not meet in one file.
    names = ["a/b", "a b", "../a", "a"]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(write_shard, kernel.spec(), spec_of(), str(tmp_path), name, i)
            for i, name in enumerate(names)
        ]
        results = [job.result(60) for job in jobs]
    shards = [shard for written, _ in results for shard in written]
    assert len({shard.name for shard in shards}) == 4
    assert not any(loaded for _, loaded in results)
    assert sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.tfrecord")
    ) == sorted(shard.name for shard in shards)


def test_a_pass_sees_every_chip_once_and_the_next_in_another_order(tmp_path, kernel, write_chips):
    written = write_chips(tmp_path, train=24)
    chips = chips_at(kernel, tmp_path)
    batches = [p.numpy() for p, _ in training_batches(chips, 6, seed=1).take(8)]
    sums = [float(chip.sum()) for batch in batches for chip in batch]
    expected = sorted(float(s.pixels.sum()) for s in written)
    assert sorted(sums[:24]) == expected
    assert sorted(sums[24:]) == expected
    assert sums[:24] != sums[24:]
    assert sums[:24] != [float(s.pixels.sum()) for s in written]


@pytest.mark.parametrize("seen", [5, 15, 25, 70])
def test_a_run_that_goes_on_sees_the_chips_it_would_have_seen(tmp_path, kernel, write_chips, seen):
    write_chips(tmp_path, train=23)
    chips = chips_at(kernel, tmp_path)

    def sums(start, count):
        batches = training_batches(chips, 5, seed=3, start=start).take(count)
        return [float(chip.sum()) for pixels, _ in batches for chip in pixels.numpy()]

    assert sums(seen, 3) == sums(0, seen // 5 + 3)[seen:]


def rewrite(folder: Path, **changes):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_chips_that_are_not_whole_are_refused(tmp_path, kernel, write_chips):
    with pytest.raises(DataError, match=r"no finished chips.*manifest\.json is missing"):
        chips_at(kernel, tmp_path)
    write_chips(tmp_path, train=6)
    shard = tmp_path / "train" / "part1-00000.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"part1.*{len(content) - 1} bytes.*says {len(content)}"):
        chips_at(kernel, tmp_path)
    shard.unlink()
    with pytest.raises(DataError, match=r"part1-00000\.tfrecord is missing"):
        chips_at(kernel, tmp_path)
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"part1-00000\.tfrecord is damaged"):
        list(read_chips(kernel, str(tmp_path), "train"))
    rewrite(tmp_path, format="numpy-v1")
    with pytest.raises(
        DataError, match=r"format 'numpy-v1', this backend reads 'tfrecord-example-v1'"
    ):
        chips_at(kernel, tmp_path)
    (tmp_path / MANIFEST_NAME).write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        chips_at(kernel, tmp_path)


def test_importing_the_writer_is_light():
    code = (
        "import sys; from rv_learner.chip_files import ChipFileWriter; import rv_backend_keras;"
        "print([m for m in ('tensorflow', 'keras', 'numpy', 'h5py') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
