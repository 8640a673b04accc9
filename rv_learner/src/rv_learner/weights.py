"""Getting pretrained weights into a network, with every array accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rv_core import IntegrityError, ModelError, NotFoundError
from rv_learner.legacy_hdf5 import LayerArrays, read_layers, write_layers

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import Kernel


@attrs.frozen
class WeightsReport:
    """What became of each layer of a weight file and of a network.

    ``loaded``: layers whose arrays all came from the file; ``adapted``, among them: the stem,
    where the number of bands differs. ``skipped``: layers of the same name but other shapes, with
    the reason. ``unused``: layers of the file that the network lacks. ``missing``: layers of the
    network that the file lacks. ``arrays``: how many arrays were loaded.
    """

    source: str
    loaded: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    skipped: dict[str, str] = attrs.field(factory=dict)
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    arrays: int = 0

    def to_dict(self) -> dict[str, Any]:
        plain = attrs.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    def summary(self) -> str:
        """One line for the log."""
        parts = [f"{len(self.loaded)} layers ({self.arrays} arrays) loaded"]
        for word in ("adapted", "skipped", "unused", "missing"):
            if names := tuple(getattr(self, word)):
                shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
                parts.append(f"{len(names)} {word} ({shown})")
        return f"weights from {self.source}: " + "; ".join(parts)

    def require_some(self) -> WeightsReport:
        """Raises `ModelError` where nothing matched, so that no random start goes unnoticed."""
        if not self.loaded:
            raise ModelError(
                f"no layer of {self.source} matches the network: {len(self.skipped)} differ in "
                f"shape, {len(self.unused)} are unknown",
                hint="weights go into the network they were trained with; set the same network",
            )
        return self

    def require_whole(self) -> WeightsReport:
        """Raises `ModelError` unless every layer of file and network found its counterpart."""
        faults = [f"{name} ({reason})" for name, reason in self.skipped.items()]
        faults += [f"{name} (not in the file)" for name in self.missing]
        faults += [f"{name} (not in the network)" for name in self.unused]
        if faults:
            more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise ModelError(
                f"{self.source} does not fit the network: {', '.join(faults[:5])}{more}",
                hint="the file may be of another network, or incomplete",
            )
        return self


def fetch_weights(uri: str | Path, kernel: Kernel | None, digest: str | None = None) -> Path:
    """A local file with the weights at a URI; raises `StorageError`.

    ``digest``: ``md5:...`` or ``sha256:...`` in hex; `IntegrityError` where the file has another.
    """
    path = _local_path(str(uri), kernel)
    if digest is not None:
        algorithm, _, wanted = digest.partition(":")
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if found != wanted:
            raise IntegrityError(
                f"{uri} has the {algorithm} {found}, not {wanted}",
                hint="the download may be damaged, or not the file at all; clear the cache",
            )
    return path


def _local_path(uri: str, kernel: Kernel | None) -> Path:
    if kernel is None:
        if "://" not in uri:
            if not (path := Path(uri)).is_file():
                raise NotFoundError(f"there is no file {uri}")
            return path
        from rv_core import Kernel as DefaultKernel

        kernel = DefaultKernel()
    return kernel.files.local_path(uri)


def load_weights(
    model: keras.Model,
    path: Path,
    *,
    source: str,
    stem: str | None = None,
    stem_reversed: bool = False,
    head: Collection[str] = (),
    skip: Mapping[str, str] | None = None,
) -> WeightsReport:
    """Put the arrays of a legacy HDF5 file into a flat network; random ones stay elsewhere.

    Layers are matched by name; where the names of a Keras version differ, the layers left over
    are matched in order, if they are as many and of the same shapes on both sides. Arrays within
    a layer are matched in order, whatever they are called. ``stem``: the first convolution, whose
    kernel is adapted where its number of bands differs (`adapt_stem`), reversed bands meaning
    BGR. ``head``: layers that are only matched by name. ``skip``: layers to leave alone, with
    the reason.
    """
    network = {layer.name: layer for layer in model.layers if layer.weights}
    wanted = {name: _shapes(layer) for name, layer in network.items()}
    layers = [
        part
        for layer in read_layers(path, source)
        for part in ((layer,) if layer.name in network else layer.split())
    ]
    pairs = _match(wanted, layers, head)
    loaded, adapted, skipped, arrays = [], [], {}, 0
    for name, layer in ((name, pairs[name]) for name in network if name in pairs):
        if skip and name in skip:
            skipped[name] = skip[name]
            continue
        given = layer
        if name == stem:
            given = _with_adapted_kernel(layer, wanted[name], stem_reversed)
        if given.shapes != wanted[name]:
            skipped[name] = f"shapes {_spell(layer.shapes)}, not {_spell(wanted[name])}"
            continue
        for variable, array in zip(network[name].weights, given.arrays, strict=True):
            variable.assign(array)
        loaded.append(name)
        arrays += len(given.arrays)
        if given is not layer:
            adapted.append(name)
    used = set(map(id, pairs.values()))
    return WeightsReport(
        source=source,
        loaded=tuple(loaded),
        adapted=tuple(adapted),
        skipped=skipped,
        unused=tuple(layer.name for layer in layers if id(layer) not in used),
        missing=tuple(name for name in network if name not in pairs),
        arrays=arrays,
    )


def _match(
    wanted: dict[str, tuple[tuple[int, ...], ...]],
    layers: Sequence[LayerArrays],
    head: Collection[str],
) -> dict[str, LayerArrays]:
    """The file's layer for each name of the network that has one."""
    by_name = {layer.name: layer for layer in layers}
    pairs = {name: by_name[name] for name in wanted if name in by_name}
    names = [name for name in wanted if name not in pairs and name not in head]
    others = [layer for layer in layers if layer.name not in pairs]
    if len(names) == len(others) and all(
        _alike(wanted[name], layer.shapes) for name, layer in zip(names, others, strict=True)
    ):
        pairs.update(zip(names, others, strict=True))
    return pairs


def _alike(one: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...]) -> bool:
    """The same shapes, the number of a stem's bands aside."""
    return len(one) == len(other) and all(
        a == b or (len(a) == len(b) == 4 and (a[:2], a[3]) == (b[:2], b[3]) and b[2] == 3)
        for a, b in zip(one, other, strict=True)
    )


def _with_adapted_kernel(
    layer: LayerArrays, wanted: tuple[tuple[int, ...], ...], stem_reversed: bool
) -> LayerArrays:
    """The layer with its kernel for as many bands as the network takes."""
    have, want = layer.shapes[0], wanted[0]
    fits = len(have) == len(want) == 4 and have[2] == 3 != want[2]
    if not fits:
        return layer
    kernel = adapt_stem(layer.arrays[0], want[2], stem_reversed)
    return attrs.evolve(layer, arrays=(kernel, *layer.arrays[1:]))


def adapt_stem(
    kernel: NDArray[np.float32], bands: int, reversed_bands: bool = False
) -> NDArray[np.float32]:
    """A first convolution's RGB kernel [h, w, 3, filters] for another number of bands.

    Band ``i`` gets the weights of red, green or blue, ``i`` modulo 3, scaled by 3 / bands, so that
    activations keep their scale: RGB given twice, as six bands, gives what RGB gave. A single band
    gets the sum of the three. ``reversed_bands``: the kernel's bands, and the result's, are in
    reversed order.
    """
    import numpy as np

    if bands == 1:
        return np.asarray(kernel.sum(axis=2, keepdims=True))
    rgb = kernel[:, :, ::-1] if reversed_bands else kernel
    spread_out = rgb[:, :, np.arange(bands) % 3] * (3.0 / bands)
    ordered = spread_out[:, :, ::-1] if reversed_bands else spread_out
    return np.asarray(ordered, dtype=kernel.dtype)


def spread(rgb: Sequence[float], bands: int) -> list[float]:
    """A constant of red, green and blue (a mean, a scale) for each of the bands, in the manner of
    `adapt_stem`: cyclic, and the average of the three for a single band."""
    if bands == 1:
        return [sum(rgb) / 3]
    return [float(rgb[i % 3]) for i in range(bands)]


def save_weights(
    model: keras.Model, path: Path, attributes: Mapping[str, str] | None = None
) -> None:
    """The network's weights as legacy HDF5, which Keras of any age reads; the network is flat.

    ``attributes`` are added to the file's root.
    """
    import keras
    import numpy as np

    layers = []
    for layer in model.layers:
        names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
        if len(set(names)) < len(names):
            names = [f"{layer.name}/{i}_{v.name}:0" for i, v in enumerate(layer.weights)]
        arrays = tuple(np.asarray(variable.numpy()) for variable in layer.weights)
        layers.append(LayerArrays(layer.name, tuple(names), arrays))
    write_layers(path, layers, {"keras_version": keras.__version__, **(attributes or {})})


def _shapes(layer: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(variable.shape) for variable in layer.weights)


def _spell(shapes: Sequence[Sequence[int]]) -> str:
    return " ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)
