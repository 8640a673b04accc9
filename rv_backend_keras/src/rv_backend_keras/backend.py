"""KERAS_CLASSIFICATION: from chips to a trained classifier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rv_learner.chip_files import CHIP_FORMAT, ChipFileWriter, read_chips
from rv_learner.tensorflow_setup import start_tensorflow

from rv_backend_keras.config import KerasClassificationConfig
from rv_core import (
    Backend,
    BackendConfig,
    ChipSample,
    ChipSpec,
    ChipWriter,
    Context,
    TrainedModel,
)

if TYPE_CHECKING:
    from rv_backend_keras.model_file import ChipClassifier


class KerasClassification(Backend):
    """Chip classification with Keras networks; see `KerasClassificationConfig`."""

    key: ClassVar[str] = "KERAS_CLASSIFICATION"
    Config: ClassVar[type[BackendConfig]] = KerasClassificationConfig
    tasks: ClassVar[frozenset[str]] = frozenset({"CHIP_CLASSIFICATION"})
    chip_format: ClassVar[str] = CHIP_FORMAT
    config: KerasClassificationConfig

    def chip_writer(self, chips_uri: str, split: str, shard: str, spec: ChipSpec) -> ChipWriter:
        return ChipFileWriter(self.kernel, chips_uri, split, shard, spec)

    def read_chips(self, chips_uri: str, split: str) -> Iterator[ChipSample]:
        return read_chips(self.kernel, chips_uri, split)

    def train(self, chips_uri: str, output_uri: str, context: Context) -> TrainedModel:
        """Below ``output_uri``: ``model.keras`` and ``model_weights.hdf5``, ``classes.json``,
        ``config.json``, ``metrics.json``, ``history.csv``, ``logs/`` for TensorBoard and, while
        training, ``checkpoints/``."""
        start_tensorflow()
        from rv_backend_keras.train import train

        return train(self.config, self.kernel, chips_uri, output_uri, context)

    def load_model(self, model_uri: str) -> ChipClassifier:
        start_tensorflow()
        from rv_backend_keras.model_file import read_model

        return read_model(Path(self.kernel.files.local_path(model_uri)), model_uri)
