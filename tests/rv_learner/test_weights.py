"""Weight files: what is written is read, what fits is loaded, and the report accounts for all."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from rv_learner.legacy_hdf5 import LayerArrays, read_layers, write_layers
from rv_learner.weights import (
    adapt_stem,
    fetch_weights,
    load_weights,
    save_weights,
    spread,
)

from rv_core import IntegrityError, Kernel, ModelError, NotFoundError


def network(head: int = 2, bands: int = 3, prefix: str = ""):
    import keras
    from keras import layers

    image = keras.Input((8, 8, bands))
    x = layers.Conv2D(4, 3, name=f"{prefix}stem")(image)
    x = layers.BatchNormalization(name=f"{prefix}norm")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(head, name="head")(x))


def test_weights_that_are_saved_come_back(tmp_path):
    one, other = network(), network()
    save_weights(one, tmp_path / "w.hdf5", {"note": "ä"})
    report = load_weights(other, tmp_path / "w.hdf5", source="w").require_whole()
    assert (report.loaded, report.arrays) == (("stem", "norm", "head"), 8)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_head_of_another_size_is_skipped_with_the_reason(tmp_path):
    save_weights(network(head=2), tmp_path / "w.hdf5")
    report = load_weights(network(head=5), tmp_path / "w.hdf5", source="w", head=["head"])
    assert report.loaded == ("stem", "norm")
    assert report.skipped == {"head": "shapes 4x2 2, not 4x5 5"}
    assert "1 skipped (head)" in report.summary()
    with pytest.raises(ModelError, match=r"w does not fit the network: head \(shapes 4x2 2"):
        report.require_whole()


def test_layers_under_other_names_are_matched_in_order_if_all_shapes_agree(tmp_path):
    named = network(prefix="new_")
    save_weights(network(prefix="Old_"), tmp_path / "w.hdf5")
    report = load_weights(named, tmp_path / "w.hdf5", source="w", head=["head"])
    assert report.loaded == ("new_stem", "new_norm", "head")
    save_weights(network(prefix="Old_", bands=5), tmp_path / "w.hdf5")
    report = load_weights(named, tmp_path / "w.hdf5", source="w")
    assert report.loaded == ("head",)
    assert (report.unused, report.missing) == (("Old_stem", "Old_norm"), ("new_stem", "new_norm"))


def test_a_stem_for_other_bands_is_adapted(tmp_path):
    rgb, four = network(), network(bands=4)
    save_weights(rgb, tmp_path / "w.hdf5")
    report = load_weights(four, tmp_path / "w.hdf5", source="w", stem="stem")
    assert report.adapted == ("stem",)
    kernel = np.asarray(rgb.get_layer("stem").kernel)
    np.testing.assert_allclose(
        np.asarray(four.get_layer("stem").kernel), kernel[:, :, [0, 1, 2, 0]] * 0.75, rtol=1e-6
    )


def test_adapting_a_stem_by_hand():
    kernel = np.array([1.0, 2.0, 4.0], "float32").reshape(1, 1, 3, 1)
    assert adapt_stem(kernel, 1).ravel().tolist() == [7.0]
    assert adapt_stem(kernel, 2).ravel().tolist() == [1.5, 3.0]
    assert adapt_stem(kernel, 6).ravel().tolist() == [0.5, 1.0, 2.0, 0.5, 1.0, 2.0]
    assert adapt_stem(kernel[:, :, ::-1], 4, True).ravel().tolist() == [0.75, 3.0, 1.5, 0.75]
    assert spread((1.0, 2.0, 6.0), 1) == [3.0]
    assert spread((1.0, 2.0, 6.0), 4) == [1.0, 2.0, 6.0, 1.0]


def test_nothing_that_matches_is_an_error(tmp_path):
    layer = LayerArrays("other", ("other/kernel:0",), (np.zeros((9, 9)),))
    write_layers(tmp_path / "w.hdf5", [layer], {"keras_version": "2.1.0"})
    report = load_weights(network(), tmp_path / "w.hdf5", source="w.hdf5")
    with pytest.raises(ModelError, match=r"no layer of w\.hdf5 matches the network"):
        report.require_some()


def test_lists_of_names_too_long_for_one_attribute_are_cut_and_joined(tmp_path):
    layers = [
        LayerArrays(f"layer_{i:04d}_{'x' * 90}", (f"{i}/kernel:0",), (np.full(2, i),))
        for i in range(1200)
    ]
    write_layers(tmp_path / "w.hdf5", layers, {"keras_version": "2.1.0"})
    with h5py.File(tmp_path / "w.hdf5") as file:
        assert "layer_names" not in file.attrs
        assert "layer_names1" in file.attrs
    read = read_layers(tmp_path / "w.hdf5", "w")
    assert [layer.name for layer in read] == [layer.name for layer in layers]
    assert read[777].arrays[0].tolist() == [777, 777]


def test_a_file_that_fails_half_way_is_not_there(tmp_path):
    def layers():
        yield LayerArrays("a", ("a/kernel:0",), (np.zeros(2),))
        yield LayerArrays("b", ("b/k:0", "b/k:0"), (np.zeros(2), np.zeros(2)))

    with pytest.raises(ValueError, match="exists"):
        write_layers(tmp_path / "w.hdf5", layers(), {"keras_version": "2"})
    assert list(tmp_path.iterdir()) == []


def test_a_hash_is_checked_and_what_is_absent_is_said(tmp_path):
    import hashlib

    (tmp_path / "w.h5").write_bytes(b"weights")
    good = hashlib.md5(b"weights").hexdigest()
    for kernel in (None, Kernel()):
        path = fetch_weights(tmp_path / "w.h5", kernel, f"md5:{good}")
        assert path == tmp_path / "w.h5"
        with pytest.raises(IntegrityError, match=f"has the md5 {good}, not 00"):
            fetch_weights(str(tmp_path / "w.h5"), kernel, "md5:00")
        with pytest.raises(NotFoundError):
            fetch_weights(tmp_path / "absent.h5", kernel)
