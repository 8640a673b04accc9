"""The trained model as one file: Keras's own format, with what RV needs to use it beside."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rv_core import ChipLabel, ChipSpec, Model, ModelError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

FACTS: Final = "rv.json"
"""The member of the ``.keras`` archive that holds the chip spec; Keras leaves it alone."""

PREDICTED_AT_ONCE: Final = 32


def save_model(model: keras.Model, spec: ChipSpec, path: Path) -> None:
    """Write a ``.keras`` file; it appears under its name when it is whole."""
    part = path.with_name(f".{path.stem}.part.keras")
    try:
        model.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(FACTS, json.dumps({"version": 1, "spec": spec.to_dict()}))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_model(path: Path, source: str) -> ChipClassifier:
    """The model in a file that `save_model` wrote; ``source`` is what errors call it.

    Keras's safe mode is on: no code from the file runs. Raises `ModelError`.
    """
    spec = ChipSpec.from_dict(_facts(path, source)["spec"])
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ModelError(f"{source} cannot be loaded: {str(error).splitlines()[0]}") from error
    return ChipClassifier(model, spec)


def _facts(path: Path, source: str) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(FACTS))
    except KeyError:
        raise ModelError(
            f"{source} is a Keras model, but RV did not train it: it lacks {FACTS}",
            hint="its weights in legacy HDF5 can be given to with_pretrained_model",
        ) from None
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(
            f"{source} is not a model that KERAS_CLASSIFICATION trained: {error}",
            hint="TRAIN writes it as model.keras",
        ) from error
    if facts.get("version") != 1:
        raise ModelError(f"{source} is of version {facts.get('version')}, this RV reads 1")
    assert isinstance(facts, dict)
    return facts


class ChipClassifier(Model):
    """A trained classifier. ``spec``: of the chips it was trained on."""

    def __init__(self, model: keras.Model, spec: ChipSpec) -> None:
        import tensorflow as tf

        from rv_backend_keras.learner import as_float

        self.keras_model = model
        self.spec = spec
        self.classes = spec.classes
        self.bands = spec.bands
        self._shape = (*spec.size, spec.bands)
        signature = tf.TensorSpec((PREDICTED_AT_ONCE, *self._shape), spec.dtype)
        self._scores = tf.function(
            lambda pixels: model(as_float(pixels), training=False),
            input_signature=[signature],
            autograph=False,
        )

    def predict(self, chips: NDArray[Any]) -> list[ChipLabel]:
        """The class of each chip of [N, H, W, C], with scores float32 [number of classes].

        Any N will do: chips go through in batches of one size, the last one filled up, so that
        nothing is compiled twice and a chip's scores do not depend on its neighbours. Raises
        `ModelError` for chips of another shape or dtype than the model was trained on.
        """
        import numpy as np

        if chips.ndim != 4 or chips.shape[1:] != self._shape or chips.dtype != self.spec.dtype:
            raise ModelError(
                f"the model takes {self.spec.dtype} chips [N, {', '.join(map(str, self._shape))}], "
                f"got {chips.dtype} {list(chips.shape)}",
                hint="predict with the chip size, bands and transformers of the training",
            )
        labels: list[ChipLabel] = []
        for start in range(0, len(chips), PREDICTED_AT_ONCE):
            batch = chips[start : start + PREDICTED_AT_ONCE]
            missing = PREDICTED_AT_ONCE - len(batch)
            filled = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else batch
            scores: NDArray[np.float32] = self._scores(filled).numpy()[: len(batch)]
            labels.extend(ChipLabel(int(each.argmax()), each) for each in scores)
        return labels
