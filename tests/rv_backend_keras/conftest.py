"""Weight files in the layout of the zoo's, drawn from random numbers; chips; a trained model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rv_learner.chip_files import CHIP_FORMAT, ChipFileWriter

from rv_backend_keras import KerasClassification, KerasClassificationConfig
from rv_core import (
    MANIFEST_NAME,
    ChipLabel,
    ChipManifest,
    ChipSample,
    ChipSpec,
    ClassMap,
    Context,
    Kernel,
    TrainedModel,
    Window,
)

Layers = dict[str, dict[str, np.ndarray]]

STAGES = {2: ("abc", 64), 3: ("abcd", 128), 4: ("abcdef", 256), 5: ("abc", 512)}


def zoo_layers(rng: np.random.Generator, variance: str = "running_std") -> Layers:
    """All layers of the notop file, the weightless ones included, with Keras 1's array names."""

    def conv(name: str, size: int, bands: int, filters: int) -> None:
        scale = (2 / (size * size * bands)) ** 0.5
        layers[name] = {
            f"{name}_W:0": rng.normal(0, scale, (size, size, bands, filters)).astype("float32"),
            f"{name}_b:0": rng.normal(0, 0.1, filters).astype("float32"),
        }

    def norm(name: str, filters: int) -> None:
        layers[name] = {
            f"{name}_gamma:0": rng.uniform(0.5, 1.5, filters).astype("float32"),
            f"{name}_beta:0": rng.normal(0, 0.1, filters).astype("float32"),
            f"{name}_running_mean:0": rng.normal(0, 0.1, filters).astype("float32"),
            f"{name}_{variance}:0": rng.uniform(0.5, 1.5, filters).astype("float32"),
        }

    layers: Layers = {"input_1": {}, "zeropadding2d_1": {}}
    conv("conv1", 7, 3, 64)
    norm("bn_conv1", 64)
    layers |= {"activation_1": {}, "maxpooling2d_1": {}}
    bands = 64
    for stage, (blocks, width) in STAGES.items():
        for block in blocks:
            for branch, size, inside, outside in (
                ("2a", 1, bands, width),
                ("2b", 3, width, width),
                ("2c", 1, width, 4 * width),
            ):
                conv(f"res{stage}{block}_branch{branch}", size, inside, outside)
                norm(f"bn{stage}{block}_branch{branch}", outside)
            if block == "a":
                conv(f"res{stage}a_branch1", 1, bands, 4 * width)
                norm(f"bn{stage}a_branch1", 4 * width)
            layers[f"merge_{stage}{block}"] = {}
            bands = 4 * width
    return layers


def write_zoo_file(path: Path, layers: Layers, root: str | None = None) -> Path:
    """The legacy layout, written with h5py alone."""
    with h5py.File(path, "w") as file:
        top: Any = file.create_group(root) if root else file
        top.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = np.array([a.encode() for a in arrays], dtype="S64")
            for array_name, array in arrays.items():
                group.create_dataset(array_name, data=array)
    return path


@pytest.fixture(scope="session")
def layers_of_zoo() -> Layers:
    return zoo_layers(np.random.default_rng(7))


@pytest.fixture(scope="session")
def zoo_file(tmp_path_factory: pytest.TempPathFactory, layers_of_zoo: Layers) -> Path:
    return write_zoo_file(tmp_path_factory.mktemp("zoo") / "resnet50_notop.h5", layers_of_zoo)


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[..., Path]:
    def write(layers: Layers, root: str | None = None) -> Path:
        return write_zoo_file(tmp_path / "weights.h5", layers, root)

    return write


def spec_of(
    dtype: str = "uint8", bands: int = 3, classes: tuple[str, ...] = ("dark", "bright")
) -> ChipSpec:
    return ChipSpec("CHIP_CLASSIFICATION", ClassMap.of(*classes), bands, dtype, (16, 16))


def chips_of(spec: ChipSpec, count: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Noise whose brightness tells the class; uint16 and floats have the values of sensors."""
    rng = np.random.default_rng(seed)
    top = {"uint8": 255, "uint16": 3000, "float32": 0.4}[spec.dtype]
    ids = [int(i) for i in rng.integers(len(spec.classes), size=count)]
    levels = [(i + 0.5 + rng.uniform(-0.3, 0.3)) / len(spec.classes) * top for i in ids]
    noise = rng.uniform(0.8, 1.0, (count, *spec.size, spec.bands))
    return (noise * np.reshape(levels, (count, 1, 1, 1))).astype(spec.dtype), ids


def write_chips(folder: Path, spec: ChipSpec, **counts: int) -> str:
    kernel = Kernel()
    splits = {}
    for seed, (split, count) in enumerate(counts.items()):
        with ChipFileWriter(kernel, str(folder), split, "all", spec) as writer:
            for pixels, class_id in zip(*chips_of(spec, count, seed), strict=True):
                sample = ChipSample(pixels, ChipLabel(class_id), Window(0, 0, 16, 16), "scene")
                writer.write(sample)
        splits[split] = writer.shards
    folder.mkdir(parents=True, exist_ok=True)
    manifest = ChipManifest(CHIP_FORMAT, spec, splits)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_dict()))
    return str(folder)


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture(scope="session")
def chips_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_chips(tmp_path_factory.mktemp("chips"), spec_of(), train=48, validation=20)


@pytest.fixture(scope="session")
def small() -> KerasClassificationConfig:
    """A quick configuration."""
    return (
        KerasClassificationConfig()
        .with_network("small_cnn")
        .with_batch_size(8)
        .with_num_steps(24)
        .with_train_options(do_monitoring=False)
    )


@pytest.fixture(scope="session")
def train(kernel: Kernel) -> Callable[..., TrainedModel]:
    def run(
        config: KerasClassificationConfig, chips_uri: str, output: object, **context: Any
    ) -> TrainedModel:
        tmp_dir = Path(tempfile.mkdtemp())
        backend = KerasClassification(kernel.resolve(config), kernel)
        given = Context(tmp_dir=tmp_dir, experiment_id="test", **context)
        return backend.train(chips_uri, str(output), given)

    return run


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    train: Callable[..., TrainedModel],
    small: KerasClassificationConfig,
    chips_uri: str,
) -> TrainedModel:
    return train(small, chips_uri, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def make_chips() -> Callable[..., str]:
    """Write chips below a folder: ``make_chips(folder, dtype=, bands=, classes=, train=8)``."""

    def make(
        folder: Path,
        dtype: str = "uint8",
        bands: int = 3,
        classes: tuple[str, ...] = ("dark", "bright"),
        **counts: int,
    ) -> str:
        return write_chips(folder, spec_of(dtype, bands, classes), **counts)

    return make


@pytest.fixture(scope="session")
def draw_chips() -> Callable[..., tuple[np.ndarray, list[int]]]:
    """Chips that no training has seen, and their class ids."""

    def draw(count: int, seed: int = 9, **spec: Any) -> tuple[np.ndarray, list[int]]:
        return chips_of(spec_of(**spec), count, seed)

    return draw
