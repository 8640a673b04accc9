"""Weight files in Keras's legacy HDF5 layout, which Keras 1, 2 and 3 read and Keras 1 and 2 wrote.

The root, or its group ``model_weights``, has an attribute ``layer_names``; each layer's group has
an attribute ``weight_names`` that lists its datasets in the layer's own order (kernel and bias;
gamma, beta, moving mean and moving variance). A list too long for one attribute (64 KiB) is cut
into ``layer_names0``, ``layer_names1`` and so on. Nothing here is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import ModelError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

ATTRIBUTE_BYTES: Final = 64512
"""What fits in one HDF5 attribute: 64 KiB less the header."""


@attrs.frozen(eq=False)
class LayerArrays:
    """A layer's ``arrays`` in the layer's own order, and what the file calls each of them."""

    name: str
    array_names: tuple[str, ...]
    arrays: tuple[NDArray[Any], ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(array.shape for array in self.arrays)

    def split(self) -> tuple[LayerArrays, ...]:
        """The layers of a nested model, which shares one group: told apart by the folder of each
        array's name. A plain layer is itself."""
        parts: dict[str, list[int]] = {}
        for index, name in enumerate(self.array_names):
            folders = name.split("/")[:-1]
            parts.setdefault(folders[-1] if folders else self.name, []).append(index)
        if len(parts) < 2:
            return (self,)
        return tuple(
            LayerArrays(
                folder,
                tuple(self.array_names[i] for i in indices),
                tuple(self.arrays[i] for i in indices),
            )
            for folder, indices in parts.items()
        )


def read_layers(path: Path, source: str) -> tuple[LayerArrays, ...]:
    """The layers that have arrays, in the file's order; ``source`` is what errors call the file.

    Raises `ModelError` where the file is not of this layout, or lacks an array that it lists, or
    holds one that it does not list.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ModelError(
            f"{source} is not a readable HDF5 file: {error}",
            hint="an earlier run's weights are its model_weights.hdf5",
        ) from error
    with file:
        root = file.get("model_weights", file)
        names = _names(root, "layer_names")
        if names is None:
            raise ModelError(
                f"{source} has no attribute layer_names, so it is not in Keras's legacy layout",
                hint="Keras 3 writes it for names that end with .h5 or .hdf5, not with .weights.h5",
            )
        layers = [_read_layer(root, name, source) for name in names]
    return tuple(layer for layer in layers if layer.arrays)


def _read_layer(root: Any, name: str, source: str) -> LayerArrays:
    import h5py
    import numpy as np

    group = root.get(name)
    if not isinstance(group, h5py.Group):
        raise ModelError(f"{source} lists the layer {name} but does not hold it")
    array_names = tuple(_names(group, "weight_names") or ())
    arrays = []
    for array_name in array_names:
        dataset = group.get(array_name)
        if not isinstance(dataset, h5py.Dataset):
            raise ModelError(
                f"{source}: layer {name} lists the array {array_name}, which is absent"
            )
        try:
            array = np.asarray(dataset[()])
        except OSError as error:
            raise ModelError(f"{source}: array {array_name} cannot be read: {error}") from error
        if not np.isfinite(array).all():
            raise ModelError(f"{source}: array {array_name} of layer {name} holds NaN or infinity")
        arrays.append(array)
    unlisted = sorted(set(_datasets(group)) - {f"{group.name}/{n}" for n in array_names})
    if unlisted and array_names:
        raise ModelError(f"{source}: layer {name} holds {unlisted[0]}, which it does not list")
    return LayerArrays(name, array_names, tuple(arrays))


def _datasets(group: h5py.Group) -> Iterator[str]:
    """The full names of the datasets in a layer's group, other layers' groups inside it aside:
    Keras 2 nests the layer ``Conv/BatchNorm`` in ``Conv``."""
    import h5py

    for item in group.values():
        if isinstance(item, h5py.Dataset):
            yield str(item.name)
        elif isinstance(item, h5py.Group) and _names(item, "weight_names") is None:
            yield from _datasets(item)


def _names(group: Any, attribute: str) -> list[str] | None:
    """A list of names, whole or in numbered parts; ``None`` where there is none."""
    if attribute in group.attrs:
        parts: list[Any] = list(group.attrs[attribute])
    elif f"{attribute}0" in group.attrs:
        numbered = takewhile(group.attrs.__contains__, (f"{attribute}{i}" for i in count()))
        parts = [name for part in numbered for name in group.attrs[part]]
    else:
        return None
    return [n.decode("utf-8") if isinstance(n, bytes) else str(n) for n in parts]


def write_layers(path: Path, layers: Iterable[LayerArrays], attributes: Mapping[str, str]) -> None:
    """Write a file of this layout; it appears under its name only when it is whole.

    ``attributes`` of the root: ``keras_version`` and whatever else is to be known.
    """
    import h5py

    layers = tuple(layers)
    part = path.with_name(f".{path.name}.part")
    try:
        with h5py.File(part, "w") as file:
            file.attrs["backend"] = b"tensorflow"
            for name, value in attributes.items():
                file.attrs[name] = value.encode()
            _write_names(file, "layer_names", [layer.name for layer in layers])
            for layer in layers:
                group = file.require_group(layer.name)
                _write_names(group, "weight_names", layer.array_names)
                for name, array in zip(layer.array_names, layer.arrays, strict=True):
                    group.create_dataset(name, data=array)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_names(group: Any, attribute: str, names: Iterable[str]) -> None:
    import numpy as np

    encoded = np.asarray([name.encode("utf-8") for name in names], dtype=np.bytes_)
    if encoded.nbytes <= ATTRIBUTE_BYTES:
        group.attrs[attribute] = encoded if encoded.size else np.zeros(0, "S1")
        return
    parts = -(-encoded.nbytes // ATTRIBUTE_BYTES) + 1
    for index, part in enumerate(np.array_split(encoded, parts)):
        group.attrs[f"{attribute}{index}"] = part
