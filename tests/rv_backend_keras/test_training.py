"""TRAIN with KERAS_CLASSIFICATION: what it leaves, how it goes on, what it starts from."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import h5py
import numpy as np
import pytest

from rv_core import (
    ChipSpec,
    ClassMap,
    ConfigError,
    DataError,
    IntegrityError,
    InterruptedRunError,
    Kernel,
    ModelError,
    NotFoundError,
    StorageError,
)

pytestmark = pytest.mark.slow  # TensorFlow


def folder_of(trained) -> Path:
    return Path(trained.model_uri).parent


def test_it_learns_and_leaves_what_the_readme_promises(trained):
    folder = folder_of(trained)
    assert trained.metrics["val_accuracy"] > 0.9
    assert trained.metrics["val_macro_f1"] > 0.9
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints", "classes.json", "config.json", "history.csv", "logs", "metrics.json",
        "model.keras", "model_weights.hdf5",
    ]  # fmt: skip
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["finished.json"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["val_accuracy"] == trained.metrics["val_accuracy"]
    assert [c["name"] for c in json.loads((folder / "classes.json").read_text())["classes"]] == [
        "dark",
        "bright",
    ]
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["network"], config["optimizer"]) == ("small_cnn", "adam")
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [float(row["step"]) for row in rows] == [6, 12, 18, 24]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert {"learning_rate", "accuracy", "val_loss", "val_accuracy"} <= set(rows[0])


def test_tensorboard_logs_hold_curves_and_pictures(trained):
    import tensorflow as tf

    tags = {}
    for path in (folder_of(trained) / "logs").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tags.setdefault(path.parent.name, set()).add(value.tag)
    assert tags["train"] == {"loss", "accuracy", "learning_rate", "chips/dark", "chips/bright"}
    assert tags["validation"] == {"loss", "accuracy", "macro_f1"}


def test_the_weights_file_is_one_that_keras_itself_reads(trained):
    """Keras's own reader of legacy HDF5, on the same network, gives the same scores."""
    import keras

    model = keras.saving.load_model(trained.model_uri, safe_mode=True)
    image = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    expected = np.asarray(model(image))
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    model.load_weights(trained.pretrained_uri)
    np.testing.assert_array_equal(np.asarray(model(image)), expected)
    with h5py.File(trained.pretrained_uri) as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        assert {"conv1", "bn1", "logits"} <= set(names)
        assert list(file["bn1"].attrs["weight_names"]) == [
            b"bn1/gamma:0", b"bn1/beta:0", b"bn1/moving_mean:0", b"bn1/moving_variance:0",
        ]  # fmt: skip


def test_the_same_command_again_does_not_train_again(train, small, chips_uri, trained, caplog):
    before = Path(trained.model_uri).stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        again = train(small, chips_uri, folder_of(trained))
    assert "trained already" in caplog.text
    assert again == trained
    assert Path(trained.model_uri).stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_and_ends_like_one_that_was_not(
    tmp_path, train, small, chips_uri, trained
):
    asked = itertools.count()
    with pytest.raises(InterruptedRunError, match="stopped at step 9 of 24"):
        train(small, chips_uri, tmp_path / "out", should_stop=lambda: next(asked) >= 9)
    result = train(small, chips_uri, tmp_path / "out")
    assert result.report["resumed_from"] == 9
    for name, layer in weights_of(trained).items():
        for expected, got in zip(layer, weights_of(result)[name], strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


def weights_of(trained):
    with h5py.File(trained.pretrained_uri) as file:
        return {
            name: [file[name][w][()] for w in file[name].attrs["weight_names"]]
            for name in (n.decode() for n in file.attrs["layer_names"])
            if len(file[name].attrs["weight_names"])
        }


KILLED = """
import sys
from pathlib import Path
from rv_core import Context, Kernel
kernel = Kernel()
config = kernel.backend("KERAS_CLASSIFICATION").Config.from_dict({
    "network": "small_cnn", "batch_size": 8, "num_steps": 40, "checkpoint_steps": 4,
    "train_options": {"do_monitoring": False}})
def progress(p):
    print(int(p.done), flush=True)
    if p.done == 13 and sys.argv[3] == "die":
        sys.stdin.read()
context = Context(tmp_dir=Path(sys.argv[2] + "-tmp"), experiment_id="k", on_progress=progress)
backend = kernel.backend("KERAS_CLASSIFICATION")(config, kernel)
trained = backend.train(sys.argv[1], sys.argv[2], context)
print("resumed", trained.report["resumed_from"])
"""


@pytest.mark.slow
def test_a_run_killed_in_mid_epoch_goes_on_from_its_last_checkpoint(tmp_path, chips_uri):
    command = [sys.executable, "-c", KILLED, chips_uri, str(tmp_path / "out")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "die"], **pipes) as run:
        for line in run.stdout:
            if line.strip() == "13":
                os.kill(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "live"], capture_output=True, text=True, check=True)
    steps = done.stdout.split()
    assert steps[-2:] == ["resumed", "12"]
    assert steps[0] == "13"
    assert (tmp_path / "out" / "model.keras").exists()


@pytest.mark.slow
def test_replace_model_and_a_context_that_does_not_resume_start_afresh(
    tmp_path, train, small, chips_uri
):
    for fresh in ({}, {"resume": False}):
        asked = itertools.count()
        with pytest.raises(InterruptedRunError):
            train(small, chips_uri, tmp_path / "out", should_stop=lambda a=asked: next(a) >= 5)
        config = small if fresh else small.with_train_options(replace_model=True)
        result = train(config.with_num_steps(6), chips_uri, tmp_path / "out", **fresh)
        assert result.report["resumed_from"] == 0


@pytest.mark.slow
def test_another_class_map_or_setting_does_not_go_on_from_a_foreign_checkpoint(
    tmp_path, train, small, make_chips, caplog
):
    chips = make_chips(tmp_path / "a", train=16)
    asked = itertools.count()
    with pytest.raises(InterruptedRunError):
        train(small, chips, tmp_path / "out", should_stop=lambda: next(asked) >= 5)
    other = make_chips(tmp_path / "b", classes=("night", "day"), train=16)
    result = train(small.with_num_steps(6), other, tmp_path / "out")
    assert result.report["resumed_from"] == 0
    assert "config.num_steps 24, now 6" in caplog.text
    assert '"dark", now "night"' in caplog.text


def test_weights_of_an_earlier_run_go_in_whole_where_the_classes_are_the_same(
    tmp_path, train, small, chips_uri, trained
):
    config = small.with_pretrained_model(trained.pretrained_uri).with_num_steps(1)
    report = train(config.with_learning_rate(0.0), chips_uri, tmp_path).report["pretrained"]
    assert report["loaded"] == [
        "conv1",
        "bn1",
        "conv2",
        "bn2",
        "conv3",
        "bn3",
        "conv4",
        "bn4",
        "logits",
    ]
    assert (report["skipped"], report["unused"], report["missing"]) == ({}, [], [])


def loaded_into(config, trained, **spec):
    """The report of putting an earlier run's weights into the network for other chips."""
    from rv_backend_keras.classifier import InputScale, build_classifier
    from rv_backend_keras.pretrained import load_pretrained

    names, bands = spec.get("classes", ("dark", "bright")), spec.get("bands", 3)
    chips = ChipSpec("CHIP_CLASSIFICATION", ClassMap.of(*names), bands, "uint8", (16, 16))
    scale = InputScale([1.0] * bands, [0.0] * bands)
    classifier = build_classifier(config, chips, scale)
    config = config.with_pretrained_model(trained.pretrained_uri)
    return load_pretrained(config, classifier, chips, Path(trained.pretrained_uri))


@pytest.mark.parametrize("classes", [("a", "b", "c"), ("bright", "dark")])
def test_with_other_classes_the_last_layer_is_trained_anew(small, trained, classes):
    report = loaded_into(small, trained, classes=classes)
    assert len(report.loaded) == 8
    assert "other classes (dark, bright), and trained anew" in report.skipped["logits"]


def test_other_bands_adapt_the_stem(small, trained):
    report = loaded_into(small, trained, bands=5)
    assert report.adapted == ("conv1",)
    assert len(report.loaded) == 9


def test_weights_that_match_nothing_are_an_error(tmp_path, train, small, chips_uri, write_file):
    path = write_file({"dense_9": {"dense_9_W:0": np.zeros((7, 7), "float32")}})
    with pytest.raises(ModelError, match=r"no layer of .*weights\.h5 matches the network"):
        train(small.with_pretrained_model(str(path)), chips_uri, tmp_path)


def test_weights_that_were_asked_for_must_be_there(tmp_path, train, small, chips_uri):
    with pytest.raises(NotFoundError):
        train(small.with_pretrained_model(str(tmp_path / "no.hdf5")), chips_uri, tmp_path / "out")


def test_weights_of_the_defaults_that_cannot_be_had_are_a_plain_warning(
    tmp_path, small, chips_uri, caplog
):
    from rv_core import Context

    defaults = {
        "KERAS_CLASSIFICATION": {
            "MINE": {
                "network": "small_cnn",
                "pretrained_model": str(tmp_path / "absent.h5"),
                "pretrained_required": False,
            }
        }
    }
    (tmp_path / "defaults.json").write_text(json.dumps(defaults))
    kernel = Kernel(config={"rv": {"model_defaults_uri": str(tmp_path / "defaults.json")}})
    config = kernel.resolve(small.with_model_defaults("MINE").with_num_steps(1))
    backend = kernel.backend("KERAS_CLASSIFICATION")(config, kernel)
    result = backend.train(chips_uri, str(tmp_path / "out"), Context(tmp_path / "tmp", "x"))
    (line,) = [r.getMessage() for r in caplog.records if "from scratch" in r.getMessage()]
    assert "absent.h5" in line
    assert "batch norm's momentum is 0.99" in line
    assert "absent.h5" in result.report["from_scratch"]


def test_a_hash_that_differs_is_an_error(tmp_path, train, small, chips_uri, trained):
    config = small.with_pretrained_model(trained.pretrained_uri)
    with pytest.raises(IntegrityError, match="not 0000"):
        train(config.with_pretrained_hash("md5:0000"), chips_uri, tmp_path)
    assert issubclass(IntegrityError, StorageError)


def test_an_empty_train_split_is_a_clear_error(tmp_path, train, small, make_chips):
    chips = make_chips(tmp_path / "chips", validation=4)
    with pytest.raises(DataError, match=r"the train split at .*chips holds no chips"):
        train(small, chips, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_validation_chips_it_trains_all_the_same(tmp_path, train, small, make_chips):
    result = train(
        small.with_num_steps(2), make_chips(tmp_path / "chips", train=16), tmp_path / "out"
    )
    assert not any(name.startswith("val_") for name in result.metrics)


def test_a_class_weight_for_an_unknown_class_is_an_error(tmp_path, train, small, chips_uri):
    with pytest.raises(ConfigError, match="unknown class 'darkk'"):
        train(small.with_class_weights({"darkk": 1.0}), chips_uri, tmp_path)


@pytest.mark.slow
def test_a_learning_rate_that_diverges_is_an_error(tmp_path, train, small, chips_uri):
    config = small.with_optimizer("sgd").with_learning_rate(1e30).with_schedule(warmup_steps=0)
    with pytest.raises(ModelError, match="training has diverged"):
        train(config, chips_uri, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "bands"), [("uint16", 1), ("float32", 6)])
def test_other_dtypes_and_band_counts_are_learnt_and_predicted(
    tmp_path, kernel, train, small, make_chips, draw_chips, dtype, bands
):
    chips = make_chips(tmp_path / "chips", dtype=dtype, bands=bands, train=48, validation=16)
    result = train(small, chips, tmp_path / "out")
    assert result.metrics["val_accuracy"] > 0.9
    model = kernel.backend("KERAS_CLASSIFICATION")(small, kernel).load_model(result.model_uri)
    unseen, ids = draw_chips(40, dtype=dtype, bands=bands)
    right = [label.class_id == i for label, i in zip(model.predict(unseen), ids, strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.slow
def test_debug_leaves_the_chips_as_pictures(tmp_path, train, small, chips_uri):
    train(small.with_debug().with_num_steps(1), chips_uri, tmp_path)
    names = {re.sub(r"\d+-", "", p.name) for p in (tmp_path / "debug").iterdir()}
    assert names == {"dark.png", "bright.png"}


@pytest.mark.slow
def test_tensorboard_serves_while_it_trains_and_ends_with_it(
    tmp_path, train, small, chips_uri, caplog
):
    seen = {}

    def look(progress):
        if progress.done != 20:
            return
        end = time.monotonic() + 300
        while time.monotonic() < end and not seen.get("points"):
            found = re.search(r"TensorBoard: (http\S+)", caplog.text)
            if found:
                seen["url"] = found[1]
                address = f"{found[1]}data/plugin/scalars/scalars?run=train&tag=loss"
                try:
                    with urllib.request.urlopen(address, timeout=60) as answer:
                        seen["points"] = json.load(answer)
                except OSError:
                    pass
            time.sleep(0.3)

    config = small.with_train_options(do_monitoring=True, tensorboard_port=0)
    with caplog.at_level(logging.INFO):
        train(config, chips_uri, tmp_path, on_progress=look)
    assert len(seen["points"]) >= 1
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(seen["url"], timeout=60)
