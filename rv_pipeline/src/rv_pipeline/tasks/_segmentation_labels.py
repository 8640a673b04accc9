"""What is true of a scene's pixels, and which of its windows become chips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import shapely

from rv_core import UNLABELLED, Window
from rv_pipeline.vectors.rasterize import Painter
from rv_pipeline.windows import boxes, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_pipeline.scenes import Scene
    from rv_pipeline.tasks._segmentation_config import SegmentationChipOptions


class Truth:
    """The true class ids of a scene's pixels. ``background``: where nothing is drawn."""

    def __init__(self, scene: Scene, background: int = UNLABELLED) -> None:
        self.scene = scene
        self._background = background
        self._aoi = Painter(scene.aoi) if len(scene.aoi) else None

    @property
    def is_labelled(self) -> bool:
        return self.scene.features is not None or self.scene.label_raster is not None

    def has_labels(self, window: Window) -> bool:
        """Whether any pixel of a window that touches the areas of interest is labelled. Vectors
        with a background leave none out."""
        if self._background != UNLABELLED and self.scene.label_raster is None:
            return True
        return bool((self.read(window) != UNLABELLED).any())

    def read(self, window: Window) -> NDArray[np.uint8]:
        """The class ids [H, W] of a window; 255 where there is no label, outside the areas of
        interest and beyond the scene."""
        scene = self.scene
        if scene.label_raster is not None:
            mask = scene.label_raster.read(window, self._background)
        else:
            shape = (window.height, window.width)
            mask = np.full(shape, self._background if self.is_labelled else UNLABELLED, np.uint8)
            if scene.features is not None:
                scene.features.painter.paint(mask, window)
        if self._aoi is not None:
            mask[~self._aoi.covers(window)] = UNLABELLED
        _clear_beyond(mask, window, scene.extent)
        return mask


def _clear_beyond(mask: NDArray[np.uint8], window: Window, extent: Window) -> None:
    top, left = extent.row_off - window.row_off, extent.col_off - window.col_off
    if top > 0:
        mask[:top] = UNLABELLED
    if left > 0:
        mask[:, :left] = UNLABELLED
    mask[max(0, top + extent.height) :] = UNLABELLED
    mask[:, max(0, left + extent.width) :] = UNLABELLED


@attrs.frozen(eq=False)
class Chooser:
    """Chooses the windows of a training scene. ``targets``: the ids of the target classes."""

    truth: Truth
    options: SegmentationChipOptions
    targets: Sequence[int]

    def surviving(self, windows: Sequence[Window]) -> list[Window]:
        """Those that may become chips, negative ones by chance.

        The chance of a window is its own: it depends on the seed, the scene and its place alone.
        """
        return [window for window in windows if self._survives(window)]

    def drawn(self, size: int, generator: np.random.Generator) -> list[Window]:
        """Random windows that may become chips, as many as there are to be of a scene."""
        scene = self.truth.scene
        area: Any = None
        if len(scene.aoi):
            area = shapely.union_all(scene.aoi)
            shapely.prepare(area)

        def usable(windows: Sequence[Window]) -> Iterator[Window]:
            near = np.ones(len(windows), np.bool_)
            if area is not None:
                near = shapely.intersects(area, boxes(windows))
            for window, touches in zip(windows, near.tolist(), strict=True):
                if touches and self._survives(window) and self.truth.has_labels(window):
                    yield window

        count = self.options.chips_per_scene
        return draw(scene.extent, size, count, generator, usable, scene.holds_data)

    def _survives(self, window: Window) -> bool:
        if not self.targets:
            return True
        chance = self.options.negative_survival_probability
        if chance >= 1 or self._luck(window) < chance:
            return True
        counts = np.bincount(self.truth.read(window).reshape(-1), minlength=256)
        return int(counts[list(self.targets)].sum()) >= self.options.target_count_threshold

    def _luck(self, window: Window) -> float:
        """A number in 0..1 that a window draws."""
        place = (window.col_off, window.row_off, window.width, window.height)
        text = f"{self.options.seed} {self.truth.scene.id} {place}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
