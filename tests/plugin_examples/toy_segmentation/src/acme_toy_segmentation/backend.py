"""Chips as .npz files, a random layer and softmax regression on top, a model as JSON."""

import hashlib
import io
import json
from typing import ClassVar, Self

import attrs
import numpy as np
from rv_core.validators import integer

from rv_core import (
    Backend,
    BackendConfig,
    ChipManifest,
    ChipSample,
    ChipWriter,
    ClassMap,
    DataError,
    InterruptedRunError,
    Model,
    ModelError,
    PixelLabels,
    Progress,
    ShardInfo,
    TrainedModel,
    Window,
)

MODEL = "model.json"
REACHES = (2, 7)  # pixels to each side that are averaged
PIXELS_PER_CLASS = 20_000


@attrs.frozen(kw_only=True, slots=False)
class ToySegmentationConfig(BackendConfig):
    """``hidden``: how many random combinations of a pixel's features are looked at."""

    backend: ClassVar[str] = "TOY_SEGMENTATION"

    hidden: int = attrs.field(default=48, validator=integer(minimum=1))

    def with_hidden(self, hidden: int) -> Self:
        return self._with(hidden=hidden)


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
        buffer = io.BytesIO()
        empty = np.zeros(self._spec.size, bool)
        np.savez(
            buffer,
            pixels=np.stack([s.pixels for s in self._samples]),
            masks=np.stack([s.label.mask for s in self._samples]),
            windows=np.array([attrs.astuple(s.window) for s in self._samples]),
            scene_ids=np.array([s.scene_id for s in self._samples]),
            nodata=np.stack(
                [empty if s.nodata_mask is None else s.nodata_mask for s in self._samples]
            ),
        )
        data = buffer.getvalue()
        self._kernel.files.write_bytes(self._uri, data)
        digest = hashlib.sha256(data).hexdigest()
        self.shards = (ShardInfo(self._name, len(self._samples), len(data), digest),)

    def abort(self):
        self._samples = []


class ToySegmentation(Backend):
    key = "TOY_SEGMENTATION"
    Config = ToySegmentationConfig
    tasks = frozenset({"SEMANTIC_SEGMENTATION"})
    chip_format = "acme-pixels-v1"

    def chip_writer(self, chips_uri, split, shard, spec):
        return ToyWriter(chips_uri, split, shard, spec, self.kernel)

    def read_chips(self, chips_uri, split):
        for shard in self._manifest(chips_uri).splits.get(split, ()):
            data = self.kernel.files.read_bytes(f"{chips_uri}/{shard.name}")
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = dict(stored)  # each is read anew at every access otherwise
            for n, mask in enumerate(arrays["masks"]):
                yield ChipSample(
                    pixels=arrays["pixels"][n],
                    label=PixelLabels(mask),
                    window=Window(*map(int, arrays["windows"][n])),
                    scene_id=str(arrays["scene_ids"][n]),
                    nodata_mask=arrays["nodata"][n],
                )

    def train(self, chips_uri, output_uri, context):
        spec = self._manifest(chips_uri).spec
        rows, ids = self._pixels(chips_uri, len(spec.classes))
        mean, std = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        generator = np.random.default_rng(0)
        layer = generator.normal(0, 1, (rows.shape[1] + 1, self.config.hidden))
        state = {"mean": mean, "std": std, "layer": layer}
        inputs = hidden(rows, state)
        targets = np.eye(len(spec.classes), dtype=np.float32)[ids]
        weights = np.zeros((inputs.shape[1], len(spec.classes)), np.float32)
        momentum = np.zeros_like(weights)
        steps = self.config.num_steps or 300
        for step in range(steps):
            error = softmax(inputs @ weights) - targets
            momentum = 0.9 * momentum - 0.05 * inputs.T @ error / len(inputs)
            weights += momentum
            if context.should_stop():
                raise InterruptedRunError("training was stopped", hint="run it again")
            context.on_progress(Progress("TRAIN", step + 1, steps, "step"))
        accuracy = float((softmax(inputs @ weights).argmax(axis=1) == ids).mean())
        state = {name: value.tolist() for name, value in {**state, "weights": weights}.items()}
        state |= {"classes": spec.classes.to_dict(), "bands": spec.bands}
        uri = f"{output_uri}/{MODEL}"
        self.kernel.files.write_str(uri, json.dumps(state))
        return TrainedModel(uri, uri, {"accuracy": accuracy})

    def _pixels(self, chips_uri, classes):
        """Features and class ids of labelled pixels, about as many of each class."""
        generator = np.random.default_rng(0)
        rows, ids = [[] for _ in range(classes)], []
        chips = sum(1 for _ in self.read_chips(chips_uri, "train"))
        for sample in self.read_chips(chips_uri, "train"):
            features = features_of(sample.pixels)
            for class_id in range(classes):
                found = np.flatnonzero(sample.label.mask == class_id)
                count = min(len(found), -(-4 * PIXELS_PER_CLASS // chips))
                chosen = generator.choice(found, count, replace=False)
                rows[class_id].append(features.reshape(-1, features.shape[-1])[chosen])
        for class_id, parts in enumerate(rows):
            rows[class_id] = np.concatenate(parts)[:PIXELS_PER_CLASS]
            ids.append(np.full(len(rows[class_id]), class_id))
        return np.concatenate(rows), np.concatenate(ids)

    def load_model(self, model_uri):
        try:
            return ToyModel(json.loads(self.kernel.files.read_str(model_uri)))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{model_uri} is no toy model: {error!r}") from error

    def _manifest(self, chips_uri):
        text = self.kernel.files.read_str(f"{chips_uri}/manifest.json")
        return ChipManifest.from_dict(json.loads(text))


class ToyModel(Model):
    def __init__(self, state):
        self.classes = ClassMap.from_dict(state["classes"])
        self.bands = state["bands"]
        self._state = {
            name: np.array(state[name], np.float32) for name in ("mean", "std", "layer", "weights")
        }

    def predict(self, chips):
        found = []
        for chip in chips:
            scores = softmax(hidden(features_of(chip), self._state) @ self._state["weights"])
            found.append(PixelLabels(probabilities=scores))
        return found


def features_of(pixels):
    """[H, W, C] -> float32 [H, W, F]: each band, its mean and spread nearby and further around."""
    pixels = pixels.astype(np.float32)
    found = [pixels]
    for reach in REACHES:
        mean = blurred(pixels, reach)
        found += [mean, np.sqrt(np.maximum(blurred(pixels**2, reach) - mean**2, 0))]
    return np.concatenate(found, axis=2)


def blurred(pixels, reach):
    """The mean of the square around each pixel; at the border of what there is of it."""
    size = 2 * reach + 1
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    for axis in (0, 1):
        sums = padded.astype(np.float64).cumsum(axis=axis)
        start = np.zeros_like(sums.take([0], axis=axis))
        sums = np.concatenate([start, sums], axis=axis)
        length = sums.shape[axis] - size
        high = sums.take(range(size, size + length), axis=axis)
        padded = ((high - sums.take(range(length), axis=axis)) / size).astype(np.float32)
    return padded


def hidden(features, state):
    """What the random layer makes of features [..., F]: float32 [..., hidden + F + 1]."""
    scaled = ((features - state["mean"]) / state["std"]).astype(np.float32)
    one = np.ones((*scaled.shape[:-1], 1), np.float32)
    inputs = np.concatenate([scaled, one], axis=-1)
    layer = np.asarray(state["layer"], np.float32) / np.sqrt(inputs.shape[-1])
    return np.concatenate([np.tanh(inputs @ layer), inputs], axis=-1)


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)
