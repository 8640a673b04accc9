"""The contract of a learning backend: it writes and reads chips, trains, and loads models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from rv_core._backend_config import BackendConfig
from rv_core._chips import ChipSample, ChipSpec, ChipWriter
from rv_core._labels import ClassMap, Label
from rv_core._progress import OnProgress, ignore_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core._kernel import Kernel


def _never() -> bool:
    return False


@attrs.frozen
class Context:
    """What surrounds a piece of work, handed in by whoever runs it.

    ``should_stop`` is asked between steps; once true, the work saves its state and raises
    `InterruptedRunError`. ``tmp_dir`` is the caller's to remove. ``resume``: go on from the last
    checkpoint of the same output where there is one.
    """

    tmp_dir: Path
    experiment_id: str
    on_progress: OnProgress = ignore_progress
    should_stop: Callable[[], bool] = _never
    resume: bool = True


@attrs.frozen
class TrainedModel:
    """What TRAIN made.

    ``model_uri``: what `Backend.load_model` takes. ``pretrained_uri``: what the next experiment's
    ``with_pretrained_model`` takes. ``metrics``: the final figures. ``report``: which weights
    were loaded, skipped, unused and missing, and whatever else a reader should know; JSON-able.
    """

    model_uri: str
    pretrained_uri: str
    metrics: Mapping[str, float]
    report: Mapping[str, Any] = attrs.field(factory=dict)


class Model(ABC):
    """A trained model, ready to predict."""

    classes: ClassMap
    bands: int

    @abstractmethod
    def predict(self, chips: NDArray[Any]) -> Sequence[Label]:
        """One label, with scores, for each chip of [N, H, W, C]; dtype as the model was trained."""

    def close(self) -> None:  # noqa: B027 - there may be nothing to give back
        """Give back what the model holds; it is not used afterwards."""


class Backend(ABC):
    """A way of learning, chosen by its key.

    A subclass sets ``key``, ``Config`` (its `BackendConfig`), ``tasks`` (the task keys it
    learns) and ``chip_format`` (the layout of its shards: backends that read each other's chips
    share it). ``config`` has its model defaults filled in already (`Kernel.resolve`).
    """

    key: ClassVar[str]
    Config: ClassVar[type[BackendConfig]]
    tasks: ClassVar[frozenset[str]]
    chip_format: ClassVar[str]

    def __init__(self, config: BackendConfig, kernel: Kernel) -> None:
        self.config = config
        self.kernel = kernel

    @abstractmethod
    def chip_writer(self, chips_uri: str, split: str, shard: str, spec: ChipSpec) -> ChipWriter:
        """A writer for one shard of a split. Several processes write at once, each its own
        ``shard`` (a name, unique within the split)."""

    @abstractmethod
    def read_chips(self, chips_uri: str, split: str) -> Iterator[ChipSample]:
        """The chips of a split, for contact sheets, reports and tests; order is not promised."""

    @abstractmethod
    def train(self, chips_uri: str, output_uri: str, context: Context) -> TrainedModel:
        """Train on the ``train`` split of the chips, validate on ``validation`` where there is
        one, and leave the result below ``output_uri``."""

    @abstractmethod
    def load_model(self, model_uri: str) -> Model:
        """The model at a URI that `train` returned; raises `ModelError` where it is not one."""
