"""The weights that a training starts from."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rv_learner.weights import WeightsReport, fetch_weights, load_weights

from rv_backend_keras.classifier import DEFAULT_MOMENTUM, HEAD, Classifier
from rv_backend_keras.config import KerasClassificationConfig
from rv_backend_keras.networks.catalog import NETWORKS
from rv_core import ChipSpec, StorageError, without_secrets

if TYPE_CHECKING:
    from rv_core import Kernel

logger = logging.getLogger(__name__)

CLASSES_ATTRIBUTE: Final = "rv_classes"
"""Of a weight file's root: the class names as JSON, in the order of their ids."""


def fetch_pretrained(config: KerasClassificationConfig, kernel: Kernel) -> tuple[Path | None, str]:
    """A local file with the weights to start from, or ``None`` and the reason why there is none.

    Raises `StorageError` where weights that were asked for on purpose cannot be had.
    """
    uri = config.pretrained_model
    if uri is None:
        return None, "no pretrained weights are set"
    try:
        return fetch_weights(uri, kernel, config.pretrained_hash), ""
    except StorageError as error:
        if config.pretrained_required:
            raise
        return None, f"the pretrained weights could not be had ({error})"


def load_pretrained(
    config: KerasClassificationConfig, classifier: Classifier, spec: ChipSpec, path: Path
) -> WeightsReport:
    """Put them in, the last layer aside where the file is of other classes.

    Raises `ModelError` where the file is no weight file, or fits nowhere.
    """
    assert config.pretrained_model is not None
    network = NETWORKS[config.network]
    skip = {}
    theirs = classes_of(path)
    if theirs is not None and theirs != list(spec.classes.names):
        skip[HEAD] = f"it is of other classes ({', '.join(theirs)}), and trained anew"
    report = load_weights(
        classifier.logits,
        path,
        source=without_secrets(config.pretrained_model),
        stem=network.stem,
        stem_reversed=network.stem_reversed,
        head=(HEAD,),
        skip=skip,
    )
    logger.info("%s", report.summary())
    return report.require_some()


def say_from_scratch(config: KerasClassificationConfig, reason: str) -> None:
    """Say plainly that there are no pretrained weights, and what that means for batch norm."""
    momentum = config.batch_norm_momentum
    logger.log(
        logging.WARNING if config.pretrained_model else logging.INFO,
        "%s trains from scratch: %s; batch norm's momentum is %s",
        config.network, reason, DEFAULT_MOMENTUM if momentum is None else momentum,
    )  # fmt: skip


def classes_of(path: Path) -> list[str] | None:
    """The class names that a weight file of RV bears."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text: Any = file.attrs.get(CLASSES_ATTRIBUTE)
    except OSError:
        return None  # what is wrong with the file is said where it is read
    return None if text is None else list(json.loads(text))
