"""Weight files in the layout of the zoo's, drawn anew from random numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

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
