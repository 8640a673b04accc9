"""What the training loop trains: the classifier on chip files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rv_learner.batch_norm import Recalibration
from rv_learner.chip_files import Chips, evaluation_batches, training_batches

from rv_backend_keras.augmentation import augment
from rv_backend_keras.classifier import Classifier
from rv_backend_keras.config import BALANCED, KerasClassificationConfig
from rv_core import UNLABELLED, ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from rv_core import ClassMap

LEARNING_RATES: Final = {"adam": (1e-3, 1e-4), "adamw": (1e-3, 1e-4), "sgd": (1e-2, 1e-3)}
"""By optimizer: from scratch, and from pretrained weights."""

RECALIBRATION_CHIPS: Final = 512
EVALUATION_BATCH: Final = 32


class ClassifierLearner:
    """Softmax cross-entropy, weighted by class; a `rv_learner.training.Learner`.

    ``class_weights``: float [number of classes]. ``mixed``: the classifier computes in float16.
    Chips without a label count nothing.
    """

    def __init__(
        self,
        config: KerasClassificationConfig,
        classifier: Classifier,
        train: Chips,
        validation: Chips | None,
        class_weights: Sequence[float],
        mixed: bool = False,
    ) -> None:
        self.model = classifier.logits
        self._config = config
        self._train, self._validation = train, validation
        self._classes = len(train.spec.classes)
        self.optimizer = make_optimizer(config, self.model, mixed)
        self._step, self._evaluate = self._functions(class_weights)
        self._recalibration = Recalibration(self.model, self._forward)

    @property
    def weights(self) -> Sequence[Any]:
        return list(self.model.variables)

    @property
    def variables(self) -> Sequence[Any]:
        return [*self.model.variables, *self.optimizer.variables]

    def batches(self, step: int) -> Iterator[Any]:
        size = self._config.batch_size
        pixels = training_batches(self._train, size, self._config.seed, start=step * size)
        return enumerate(pixels, start=step)

    def step(self, batch: Any, learning_rate: float) -> Mapping[str, float]:
        number, (pixels, labels) = batch
        self.optimizer.learning_rate = learning_rate
        loss, accuracy = self._step(pixels, labels, number)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def validate(self) -> Mapping[str, float]:
        self.recalibrate(RECALIBRATION_CHIPS)
        return {} if self._validation is None else self.evaluate(self._validation)

    def evaluate(self, chips: Chips) -> Mapping[str, float]:
        """Mean loss, accuracy and the mean of the classes' F1 scores over the labelled chips;
        empty where there is none. Classes that occur neither in labels nor in predictions are
        left out of the mean."""
        import numpy as np

        confusion = np.zeros((self._classes, self._classes), np.int64)
        total = 0.0
        for pixels, labels in evaluation_batches(chips, EVALUATION_BATCH):
            losses, predicted = self._evaluate(pixels, labels)
            truth, guess = labels.numpy(), predicted.numpy()
            known = truth != UNLABELLED
            np.add.at(confusion, (truth[known], guess[known]), 1)
            total += float(losses)
        count = int(confusion.sum())
        if not count:
            return {}
        return {
            "loss": total / count,
            "accuracy": float(np.trace(confusion)) / count,
            "macro_f1": macro_f1(confusion),
        }

    def recalibrate(self, chips: int) -> None:
        """Take batch norm's statistics anew from about so many training chips."""
        if self._config.recalibrate_batch_norm:
            size = self._config.batch_size
            # The first pass in its own order: the same chips each time, so figures are comparable.
            batches = training_batches(self._train, size, self._config.seed)
            count = math.ceil(min(chips, self._train.count) / size)
            self._recalibration.run(pixels for pixels, _ in batches.take(count))

    def _forward(self, pixels: Any) -> None:
        self.model(as_float(pixels), training=True)

    def _functions(self, class_weights: Sequence[float]) -> tuple[Any, Any]:
        import tensorflow as tf

        config, model, optimizer = self._config, self.model, self.optimizer
        by_class = tf.constant([*class_weights], tf.float32)
        known_id = len(class_weights) - 1

        def losses(logits: Any, labels: Any, smoothing: float) -> Any:
            targets = tf.one_hot(labels, self._classes)
            targets = targets * (1 - smoothing) + smoothing / self._classes
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)

        def step(pixels: Any, labels: Any, number: Any) -> tuple[Any, Any]:
            seed = tf.stack([tf.constant(config.seed % 2**31), tf.cast(number, tf.int32) * 8])
            chips = augment(as_float(pixels), config.augmentation, seed)
            known = tf.cast(labels != UNLABELLED, tf.float32)
            weights = tf.gather(by_class, tf.minimum(labels, known_id)) * known
            count = tf.maximum(tf.reduce_sum(known), 1.0)
            with tf.GradientTape() as tape:
                logits = model(chips, training=True)
                each = losses(logits, labels, config.label_smoothing)
                loss = tf.reduce_sum(each * weights) / count
                scaled = optimizer.scale_loss(loss)
            variables = model.trainable_variables
            gradients = tape.gradient(scaled, [variable.value for variable in variables])
            optimizer.apply(gradients, variables)
            right = tf.cast(tf.argmax(logits, 1, tf.int32) == labels, tf.float32)
            return loss, tf.reduce_sum(right) / count

        def evaluate(pixels: Any, labels: Any) -> tuple[Any, Any]:
            logits = model(as_float(pixels), training=False)
            known = tf.cast(labels != UNLABELLED, tf.float32)
            each = losses(logits, labels, 0.0)
            return tf.reduce_sum(each * known), tf.argmax(logits, 1, tf.int32)

        # No control flow depends on data, and AutoGraph would make tracing slower.
        compiled = tf.function(step, autograph=False, reduce_retracing=True)

        def numbered(pixels: Any, labels: Any, number: int) -> Any:
            return compiled(pixels, labels, tf.constant(number, tf.int64))

        return numbered, tf.function(evaluate, autograph=False, reduce_retracing=True)


def as_float(pixels: Any) -> Any:
    """Pixels as float32, with zeros for NaN."""
    import tensorflow as tf

    values = tf.cast(pixels, tf.float32)
    if pixels.dtype.is_floating:
        values = tf.where(tf.math.is_finite(values), values, tf.zeros_like(values))
    return values


def make_optimizer(
    config: KerasClassificationConfig, model: keras.Model, mixed: bool = False
) -> Any:
    """The optimizer with all its variables; its learning rate is set step by step. Weight decay
    leaves biases and normalization alone."""
    import keras

    classes: dict[str, Any] = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": lambda rate, **rest: keras.optimizers.SGD(rate, momentum=0.9, **rest),
    }
    # The optimizer's own clipping of huge gradients keeps the first steps from scratch in bounds.
    optimizer = classes[config.optimizer](
        1e-3, weight_decay=config.weight_decay or None, global_clipnorm=10.0
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if mixed:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def class_weights(
    wanted: str | Mapping[str, float] | None, classes: ClassMap, counts: Mapping[int, int]
) -> list[float]:
    """A weight for each class; ``"balanced"``: chips / (classes that occur * chips of the class).

    Raises `ConfigError` for a class that is not in the class map.
    """
    if wanted is None:
        return [1.0] * len(classes)
    if wanted == BALANCED:
        occurring = {class_id: n for class_id, n in counts.items() if n}
        total = sum(occurring.values())
        return [
            total / (len(occurring) * occurring[i]) if i in occurring else 0.0
            for i in range(len(classes))
        ]
    if not isinstance(wanted, Mapping):
        raise ConfigError(f"class_weights must be {BALANCED!r} or a mapping, got {wanted!r}")
    weights = [1.0] * len(classes)
    for name, weight in wanted.items():
        weights[classes.id_of(name)] = float(weight)
    return weights


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """The mean over classes of F1, from a confusion matrix [truth, prediction]."""
    right = confusion.diagonal()
    either = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = either > 0
    return float((2 * right[occurs] / either[occurs]).mean())
