"""TRAIN: chips in, a trained classifier and its records out."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import attrs
from rv_learner.checkpoints import Checkpoints
from rv_learner.chip_files import CHIP_FORMAT, Chips, evaluation_batches, open_chips, read_manifest
from rv_learner.tensorboard import Scalars, board_for
from rv_learner.training import LoopResult, Plan, TrainOutput, learning_rates, train_loop
from rv_learner.weights import save_weights

from rv_backend_keras.classifier import Classifier, InputScale, build_classifier
from rv_backend_keras.config import KerasClassificationConfig
from rv_backend_keras.learner import LEARNING_RATES, ClassifierLearner, class_weights
from rv_backend_keras.model_file import save_model
from rv_backend_keras.pictures import chips_as_pictures, write_pictures
from rv_backend_keras.pretrained import (
    CLASSES_ATTRIBUTE,
    fetch_pretrained,
    load_pretrained,
    say_from_scratch,
)
from rv_core import (
    ChipManifest,
    ChipSpec,
    Context,
    DataError,
    Kernel,
    TrainedModel,
    join,
    without_password,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MODEL: Final = "model.keras"
WEIGHTS: Final = "model_weights.hdf5"
FINISHED: Final = "checkpoints/finished.json"

DEFAULT_EPOCHS: Final = 10
VALIDATIONS: Final = 25
"""At most about so many, however few steps see every chip once."""

SCALED_CHIPS: Final = 2048
FINAL_RECALIBRATION_CHIPS: Final = 2048

# What says how a run behaves, and not what it learns: another value goes on with the same run.
_BEHAVIOUR: Final = frozenset(
    {"train_options", "debug", "checkpoint_seconds", "checkpoint_steps", "pretrained_required"}
)


def train(
    config: KerasClassificationConfig,
    kernel: Kernel,
    chips_uri: str,
    output_uri: str,
    context: Context,
) -> TrainedModel:
    """Train to the end, from the last checkpoint where there is one of the same run.

    Raises `DataError` for chips that cannot be trained on, `ModelError` for weights that do not
    fit or a loss that diverges, `InterruptedRunError` where the context says stop.
    """
    manifest = read_manifest(kernel, chips_uri, (CHIP_FORMAT,))
    chips = open_chips(kernel, chips_uri, manifest, "train")
    _require_chips(chips, chips_uri)
    validation = open_chips(kernel, chips_uri, manifest, "validation")
    weights = class_weights(config.class_weights, chips.spec.classes, chips.class_counts)

    output = TrainOutput(kernel, output_uri, context, config.train_options.sync_interval)
    checkpoints = Checkpoints(output.folder / "checkpoints", _identity(config, manifest))
    if context.resume and not config.train_options.replace_model:
        output.fetch()
        if done := _finished(output, checkpoints):
            logger.info("%s is trained already", without_password(output_uri))
            return done
    else:
        output.clear()

    mixed = config.mixed_precision and _has_gpu()
    scale = input_scale(config, chips)
    classifier = build_classifier(config, chips.spec, scale, mixed)
    # Asked for even where a checkpoint follows: the report says what the run began with.
    path, reason = fetch_pretrained(config, kernel)
    report: dict[str, Any] = {"pretrained": None, "from_scratch": reason or None}
    if path is None:
        say_from_scratch(config, reason)
    else:
        report["pretrained"] = load_pretrained(config, classifier, chips.spec, path).to_dict()

    learner = ClassifierLearner(
        config, classifier, chips, validation if validation.count else None, weights, mixed
    )
    plan = _plan(config, chips.count, pretrained=path is not None, validated=validation.count > 0)
    _write_facts(output, config, chips.spec)
    with ExitStack() as stack:
        scalars = Scalars(output.folder / "logs")
        stack.callback(scalars.close)
        if board := board_for(kernel, config.train_options, output.folder / "logs"):
            stack.enter_context(board)
        _show_chips(config, chips, scale, scalars, output)
        result = train_loop(learner, plan, output, checkpoints, context, scalars)
        learner.recalibrate(FINAL_RECALIBRATION_CHIPS)
        metrics = _final_metrics(learner, result, validation)
        if validation.count:
            shown = {k.removeprefix("val_"): v for k, v in metrics.items() if k.startswith("val_")}
            scalars.write("validation", result.steps, shown)
    report |= {
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "stopped_early": result.stopped_early,
        "mixed_precision": mixed,
        "class_weights": dict(zip(chips.spec.classes.names, weights, strict=True)),
        "input_scale": {"scale": list(scale.scale), "offset": list(scale.offset)},
    }
    exported = _in_float32(config, chips.spec, scale, classifier) if mixed else classifier
    names = json.dumps(list(chips.spec.classes.names))
    save_weights(exported.scores, output.folder / WEIGHTS, {CLASSES_ATTRIBUTE: names})
    save_model(exported.scores, chips.spec, output.folder / MODEL)
    output.write_json("metrics.json", {**metrics, "report": report})
    checkpoints.clear()
    checkpoints.folder.mkdir()
    finished = {"identity": checkpoints.identity, "metrics": metrics, "report": report}
    output.write_json(FINISHED, finished)
    output.sync(final=True)
    return _trained(output_uri, metrics, report)


def input_scale(config: KerasClassificationConfig, chips: Chips) -> InputScale:
    """How chip values become 0..255: by ``input_range``; as they are where chips are uint8; else
    mean +- 3 standard deviations of a sample of the training chips, band by band."""
    import numpy as np

    bands = chips.spec.bands
    if config.input_range is not None:
        low, high = config.input_range
        factor = 255 / (high - low)
        return InputScale([factor] * bands, [-low * factor] * bands)
    if chips.spec.dtype == "uint8":
        return InputScale([1.0] * bands, [0.0] * bands)
    sums, squares, count = np.zeros(bands), np.zeros(bands), np.zeros(bands)
    for pixels, _ in evaluation_batches(chips, 64).take(SCALED_CHIPS // 64):
        values: NDArray[Any] = pixels.numpy().astype("float64")
        valid = np.isfinite(values)
        values = np.where(valid, values, 0)
        sums += values.sum(axis=(0, 1, 2))
        squares += (values**2).sum(axis=(0, 1, 2))
        count += valid.sum(axis=(0, 1, 2))
    mean = sums / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    factors = 255 / (6 * np.where(deviation > 0, deviation, 1))
    offsets = 127.5 - mean * factors
    return InputScale([float(f) for f in factors], [float(o) for o in offsets])


def _require_chips(chips: Chips, chips_uri: str) -> None:
    if not chips.count:
        raise DataError(
            f"the train split at {chips_uri} holds no chips",
            hint="check that the training scenes have labels and an AOI that lies within them",
        )
    if not sum(chips.class_counts.values()):
        raise DataError(
            f"none of the {chips.count} chips of the train split at {chips_uri} has a label",
            hint="check that the labels overlap the training scenes",
        )
    absent = [n for i, n in enumerate(chips.spec.classes.names) if not chips.class_counts.get(i)]
    if absent:
        logger.warning("the train split has no chip of %s", ", ".join(absent))


def _identity(config: KerasClassificationConfig, manifest: ChipManifest) -> dict[str, Any]:
    """What makes a checkpoint this run's: configuration, chips and their classes."""
    settings = {name: v for name, v in config.values().items() if name not in _BEHAVIOUR}
    shards = sorted((split, s.sha256) for split, all_ in manifest.splits.items() for s in all_)
    return {
        "config": settings,
        "chips": manifest.spec.to_dict(),
        "shards": hashlib.sha256(json.dumps(shards).encode()).hexdigest(),
    }


def _plan(
    config: KerasClassificationConfig, chips: int, *, pretrained: bool, validated: bool
) -> Plan:
    epoch_steps = math.ceil(chips / config.batch_size)
    total = config.num_steps or (config.num_epochs or DEFAULT_EPOCHS) * epoch_steps
    schedule = config.schedule
    warmup = schedule.warmup_steps
    if warmup is None:
        warmup = min(100, total // 20)
    peak = config.learning_rate
    if peak is None:
        peak = LEARNING_RATES[config.optimizer][pretrained]
    return Plan(
        total_steps=total,
        pass_steps=max(epoch_steps, math.ceil(total / VALIDATIONS)),
        epoch_steps=epoch_steps,
        batch_size=config.batch_size,
        learning_rate=learning_rates(
            schedule.kind, peak, total, warmup, schedule.decay_steps, schedule.decay_rate
        ),
        checkpoint_seconds=config.checkpoint_seconds,
        checkpoint_steps=config.checkpoint_steps,
        patience=config.early_stopping,
        monitor="val_loss" if validated else "loss",
    )


def _write_facts(output: TrainOutput, config: KerasClassificationConfig, spec: ChipSpec) -> None:
    output.write_json("classes.json", spec.classes.to_dict())
    resolved = {"backend": config.backend, **config.values()}
    output.write_json("config.json", {"config": resolved, "chips": spec.to_dict()})


def _show_chips(
    config: KerasClassificationConfig,
    chips: Chips,
    scale: InputScale,
    scalars: Scalars,
    output: TrainOutput,
) -> None:
    pictures, names = chips_as_pictures(chips, scale, config.seed)
    for class_name in dict.fromkeys(names):
        shown = [p for p, name in zip(pictures, names, strict=True) if name == class_name]
        scalars.pictures("train", f"chips/{class_name}", shown)
    if config.debug:
        write_pictures(output.folder / "debug", pictures, names)


def _final_metrics(
    learner: ClassifierLearner, result: LoopResult, validation: Chips
) -> dict[str, float]:
    last = result.history[-1] if result.history else {}
    metrics = {f"train_{name}": last[name] for name in ("loss", "accuracy") if name in last}
    if validation.count:
        found = learner.evaluate(validation)
        metrics |= {f"val_{name}": value for name, value in found.items()}
    metrics["steps"] = float(result.steps)
    if result.images_per_second is not None:
        metrics["images_per_second"] = result.images_per_second
    return metrics


def _in_float32(
    config: KerasClassificationConfig, spec: ChipSpec, scale: InputScale, mixed: Classifier
) -> Classifier:
    """The same classifier computing in float32, as it is used where there is no GPU."""
    exported = build_classifier(attrs.evolve(config), spec, scale)
    exported.logits.set_weights(mixed.logits.get_weights())
    return exported


def _finished(output: TrainOutput, checkpoints: Checkpoints) -> TrainedModel | None:
    """What an earlier run of the same identity made, where it came to its end."""
    try:
        data = json.loads((output.folder / FINISHED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if data.get("identity") != json.loads(json.dumps(checkpoints.identity)):
        shown = without_password(output.uri)
        logger.warning("%s holds a model of other settings, so training starts afresh", shown)
        output.clear()
        return None
    if not output.has(MODEL) or not output.has(WEIGHTS):
        return None
    return _trained(output.uri, data["metrics"], data["report"])


def _trained(uri: str, metrics: dict[str, float], report: dict[str, Any]) -> TrainedModel:
    return TrainedModel(join(uri, MODEL), join(uri, WEIGHTS), metrics, report)


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
