"""Chips as .npz files; the mean colours inside and outside of boxes; blobs of pixels as boxes."""

import hashlib
import io
import json
from typing import ClassVar, Self

import attrs
import numpy as np
from rasterio import features
from rv_core.validators import integer

from rv_core import (
    Backend,
    BackendConfig,
    BoxLabels,
    ChipManifest,
    ChipSample,
    ChipWriter,
    ClassMap,
    Model,
    ModelError,
    Progress,
    ShardInfo,
    TrainedModel,
    Window,
)

MODEL = "model.json"


@attrs.frozen(kw_only=True, slots=False)
class ToyDetectionConfig(BackendConfig):
    """``min_pixels``: blobs of fewer are no objects."""

    backend: ClassVar[str] = "TOY_DETECTION"

    min_pixels: int = attrs.field(default=4, validator=integer(minimum=1))

    def with_min_pixels(self, min_pixels: int) -> Self:
        return self._with(min_pixels=min_pixels)


class ToyWriter(ChipWriter):
    """Keeps a shard's chips and writes them as one .npz; box n is on chip ``chips[n]``."""

    def __init__(self, chips_uri, split, shard, kernel):
        self._name = f"{split}/{shard}.npz"
        self._uri = f"{chips_uri}/{self._name}"
        self._kernel = kernel
        self._samples = []

    def write(self, sample):
        self._samples.append(attrs.evolve(sample, pixels=sample.pixels.copy()))

    def close(self):
        samples = self._samples
        buffer = io.BytesIO()
        np.savez(
            buffer,
            pixels=np.stack([s.pixels for s in samples]),
            boxes=np.concatenate([s.label.boxes for s in samples]),
            class_ids=np.concatenate([s.label.class_ids for s in samples]),
            chips=np.repeat(np.arange(len(samples)), [len(s.label.boxes) for s in samples]),
            windows=np.array([attrs.astuple(s.window) for s in samples]),
            scene_ids=np.array([s.scene_id for s in samples]),
        )
        data = buffer.getvalue()
        self._kernel.files.write_bytes(self._uri, data)
        counts = {}
        for sample in samples:
            for class_id in set(sample.label.class_ids.tolist()):
                counts[class_id] = counts.get(class_id, 0) + 1
        digest = hashlib.sha256(data).hexdigest()
        self.shards = (ShardInfo(self._name, len(samples), len(data), digest, counts),)

    def abort(self):
        self._samples = []


class ToyDetection(Backend):
    key = "TOY_DETECTION"
    Config = ToyDetectionConfig
    tasks = frozenset({"OBJECT_DETECTION"})
    chip_format = "acme-boxes-npz-v1"

    def chip_writer(self, chips_uri, split, shard, spec):
        return ToyWriter(chips_uri, split, shard, self.kernel)

    def read_chips(self, chips_uri, split):
        manifest = self._manifest(chips_uri)
        for shard in manifest.splits.get(split, ()):
            data = self.kernel.files.read_bytes(f"{chips_uri}/{shard.name}")
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = dict(stored)
            for n, pixels in enumerate(arrays["pixels"]):
                mine = arrays["chips"] == n
                label = BoxLabels(arrays["boxes"][mine], arrays["class_ids"][mine])
                window = Window(*map(int, arrays["windows"][n]))
                yield ChipSample(pixels, label, window, str(arrays["scene_ids"][n]))

    def train(self, chips_uri, output_uri, context):
        """The mean colour of each class and, last, of the rest."""
        spec = self._manifest(chips_uri).spec
        rest = len(spec.classes)
        sums, counts = np.zeros((rest + 1, spec.bands)), np.zeros((rest + 1, 1))
        chips = 0
        for chips, sample in enumerate(self.read_chips(chips_uri, "train"), start=1):
            place = np.full(spec.size, rest)
            for box, class_id in zip(sample.label.boxes, sample.label.class_ids, strict=True):
                top, left, bottom, right = np.rint(box).astype(int)
                place[top:bottom, left:right] = class_id
            for class_id in range(rest + 1):
                sums[class_id] += sample.pixels[place == class_id].sum(axis=0)
                counts[class_id] += (place == class_id).sum()
            context.on_progress(Progress("TRAIN", chips, None, "chip"))
        model = {
            "colors": (sums / np.maximum(counts, 1)).tolist(),
            "classes": spec.classes.to_dict(),
            "min_pixels": self.config.min_pixels,
        }
        uri = f"{output_uri}/{MODEL}"
        self.kernel.files.write_str(uri, json.dumps(model))
        return TrainedModel(uri, uri, {"chips": float(chips)})

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
        self._colors = np.array(state["colors"])
        self._min_pixels = state["min_pixels"]
        self.bands = self._colors.shape[1]

    def predict(self, chips):
        return [self._boxes(chip.astype(np.float64)) for chip in chips]

    def _boxes(self, pixels):
        """A box around each blob of pixels that are nearest to a class's colour; its score is the
        share of the box that the blob fills."""
        nearest = np.square(pixels[:, :, None] - self._colors).sum(axis=3).argmin(axis=2)
        rest = len(self.classes)
        boxes, ids, scores = [], [], []
        for blob, value in features.shapes(nearest.astype(np.uint8), mask=nearest != rest):
            rings = blob["coordinates"]
            area = abs(_area(rings[0])) - sum(abs(_area(hole)) for hole in rings[1:])
            if area >= self._min_pixels:
                (x0, y0), (x1, y1) = np.min(rings[0], axis=0), np.max(rings[0], axis=0)
                boxes.append((y0, x0, y1, x1))
                ids.append(int(value))
                scores.append(area / ((x1 - x0) * (y1 - y0)))
        return BoxLabels(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(ids, np.int64),
            np.array(scores, np.float32),
        )


def _area(ring):
    x, y = np.array(ring).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2
