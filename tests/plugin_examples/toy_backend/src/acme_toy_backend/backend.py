"""Chips as .npz files, softmax regression by gradient descent, a model as JSON."""

import hashlib
import io
import json
from typing import ClassVar, Self

import attrs
import numpy as np
from rv_core.validators import number

from rv_core import (
    Backend,
    BackendConfig,
    ChipLabel,
    ChipManifest,
    ChipSample,
    ChipWriter,
    ClassMap,
    DataError,
    InterruptedRunError,
    Model,
    ModelError,
    Progress,
    ShardInfo,
    TrainedModel,
    Window,
)

CHECKPOINT = "checkpoint.json"
MODEL = "model.json"


@attrs.frozen(kw_only=True, slots=False)
class ToyConfig(BackendConfig):
    """``learning_rate``: of plain gradient descent on standardized features."""

    backend: ClassVar[str] = "TOY_CLASSIFICATION"

    learning_rate: float = attrs.field(default=0.5, validator=number(minimum=0))

    def with_learning_rate(self, learning_rate: float) -> Self:
        return self._with(learning_rate=learning_rate)


class ToyWriter(ChipWriter):
    """Keeps a shard's chips and writes them as one .npz at the end."""

    def __init__(self, chips_uri, split, shard, spec, kernel):
        self._name = f"{split}/{shard}.npz"
        self._uri = f"{chips_uri}/{self._name}"
        self._spec = spec
        self._kernel = kernel
        self._samples = []

    def write(self, sample):
        wanted = (*self._spec.size, self._spec.bands)
        if sample.pixels.shape != wanted or str(sample.pixels.dtype) != self._spec.dtype:
            raise DataError(f"a chip of {sample.pixels.shape} does not fit {wanted}")
        self._samples.append(attrs.evolve(sample, pixels=sample.pixels.copy()))

    def close(self):
        if not self._samples:
            return
        ids = [sample.label.class_id for sample in self._samples]
        buffer = io.BytesIO()
        np.savez(
            buffer,
            pixels=np.stack([sample.pixels for sample in self._samples]),
            class_ids=np.array(ids, np.int64),
            windows=np.array([attrs.astuple(sample.window) for sample in self._samples]),
            scene_ids=np.array([sample.scene_id for sample in self._samples]),
            nodata=np.stack([self._nodata(sample) for sample in self._samples]),
        )
        data = buffer.getvalue()
        self._kernel.files.write_bytes(self._uri, data)
        counts = {int(i): ids.count(i) for i in sorted(set(ids))}
        digest = hashlib.sha256(data).hexdigest()
        self.shards = (ShardInfo(self._name, len(ids), len(data), digest, counts),)

    def abort(self):
        self._samples = []

    def _nodata(self, sample):
        return np.zeros(self._spec.size, bool) if sample.nodata_mask is None else sample.nodata_mask


class ToyBackend(Backend):
    key = "TOY_CLASSIFICATION"
    Config = ToyConfig
    tasks = frozenset({"CHIP_CLASSIFICATION"})
    chip_format = "acme-npz-v1"

    def chip_writer(self, chips_uri, split, shard, spec):
        return ToyWriter(chips_uri, split, shard, spec, self.kernel)

    def read_chips(self, chips_uri, split):
        manifest = self._manifest(chips_uri)
        for shard in manifest.splits.get(split, ()):
            data = self.kernel.files.read_bytes(f"{chips_uri}/{shard.name}")
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = dict(stored)  # each is read anew at every access otherwise
            for n, class_id in enumerate(arrays["class_ids"]):
                yield ChipSample(
                    pixels=arrays["pixels"][n],
                    label=ChipLabel(int(class_id)),
                    window=Window(*map(int, arrays["windows"][n])),
                    scene_id=str(arrays["scene_ids"][n]),
                    nodata_mask=arrays["nodata"][n],
                )

    def train(self, chips_uri, output_uri, context):
        files = self.kernel.files
        manifest = self._manifest(chips_uri)
        rows, ids = [], []
        for sample in self.read_chips(chips_uri, "train"):
            rows.append(features_of(sample.pixels[None])[0])
            ids.append(sample.label.class_id)
        features, truth = np.stack(rows), np.array(ids)
        state = self._start(features, len(manifest.spec.classes), output_uri, context.resume)
        weights, first = np.array(state["weights"]), state["step"]
        inputs = standardized(features, state)
        targets = np.eye(weights.shape[1])[truth]
        steps = self.config.num_steps or 200
        for step in range(first, steps):
            error = softmax(inputs @ weights) - targets
            weights -= self.config.learning_rate / len(inputs) * inputs.T @ error
            if step % 10 == 9:
                state = {**state, "weights": weights.tolist(), "step": step + 1}
                files.write_str(f"{output_uri}/{CHECKPOINT}", json.dumps(state))
            if context.should_stop():
                raise InterruptedRunError("training was stopped", hint="run it again to go on")
            context.on_progress(Progress("TRAIN", step + 1, steps, "step"))
        accuracy = float((softmax(inputs @ weights).argmax(axis=1) == truth).mean())
        model = {
            **state,
            "weights": weights.tolist(),
            "classes": manifest.spec.classes.to_dict(),
            "bands": manifest.spec.bands,
        }
        files.write_str(f"{output_uri}/{MODEL}", json.dumps(model))
        uri = f"{output_uri}/{MODEL}"
        report = {"resumed_at": first, "weights": self.config.pretrained_model or "from zero"}
        return TrainedModel(uri, uri, {"accuracy": accuracy}, report)

    def load_model(self, model_uri):
        try:
            state = json.loads(self.kernel.files.read_str(model_uri))
            return ToyModel(state)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{model_uri} is no toy model: {error!r}") from error

    def _start(self, features, classes, output_uri, resume):
        checkpoint = f"{output_uri}/{CHECKPOINT}"
        if resume and self.kernel.files.file_exists(checkpoint):
            return json.loads(self.kernel.files.read_str(checkpoint))
        mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
        weights = np.zeros((features.shape[1] + 1, classes))
        if self.config.pretrained_model:
            weights = np.array(
                json.loads(self.kernel.files.read_str(self.config.pretrained_model))["weights"]
            )
        return {"mean": mean.tolist(), "std": std.tolist(), "weights": weights.tolist(), "step": 0}

    def _manifest(self, chips_uri):
        text = self.kernel.files.read_str(f"{chips_uri}/manifest.json")
        return ChipManifest.from_dict(json.loads(text))


class ToyModel(Model):
    def __init__(self, state):
        self.classes = ClassMap.from_dict(state["classes"])
        self.bands = state["bands"]
        self._state = state

    def predict(self, chips):
        inputs = standardized(features_of(chips), self._state)
        scores = softmax(inputs @ np.array(self._state["weights"])).astype(np.float32)
        return [ChipLabel(int(row.argmax()), row) for row in scores]


def features_of(chips):
    """[N, H, W, C] -> [N, 2 C]: mean and spread of each band."""
    chips = chips.astype(np.float64)
    return np.concatenate([chips.mean(axis=(1, 2)), chips.std(axis=(1, 2))], axis=1)


def standardized(features, state):
    scaled = (features - np.array(state["mean"])) / np.array(state["std"])
    return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
