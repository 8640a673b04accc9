"""Chips with their labels on sheets, as a photographer's contact prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rv_core import UNLABELLED, BoxLabels, ChipLabel, ChipSample, PixelLabels, Window
from rv_pipeline.report.drawing import Frame, LabelLayer, class_mask
from rv_pipeline.report.palette import colors_of, rgb_of
from rv_pipeline.report.pictures import checkered, shown, to_png

if TYPE_CHECKING:
    from rv_core import ClassMap, Label

PER_SHEET: Final = 64
MAX_SHEETS: Final = 4
_COLUMNS: Final = 8
_SIDE: Final = 176  # px of a chip on the sheet, on its long side
_GAP: Final = 10
_CAPTION: Final = 30
_PAPER: Final = (58, 61, 66)  # it glares neither on a light page nor on a dark one
_INK: Final = (240, 241, 242)
_FAINT: Final = (190, 194, 200)
_SEEN: Final = 20_000  # chips looked at, at most: enough to meet rare classes


T = TypeVar("T")


@attrs.frozen
class Print:
    """A chip as it goes on a sheet: its ``picture`` with the label over it, the classes on it,
    those that take most of it first, and where it is from."""

    picture: Image.Image
    class_ids: Sequence[int]
    scene_id: str
    window: Window


@attrs.frozen
class Sheet:
    """One sheet: the image, and how many chips are on it."""

    image: Image.Image
    count: int


def contact_sheets(
    samples: Iterable[ChipSample],
    classes: ClassMap,
    *,
    per_sheet: int = PER_SHEET,
    max_sheets: int = MAX_SHEETS,
) -> Iterator[Sheet]:
    """Sheets of labelled chips: of each chip the picture with its label over it, and the names of
    its classes and the scene below.

    The chips are spread over the classes and over ``samples``, of which at most 20,000 are looked
    at; the same samples give the same sheets. Memory holds pictures of the size on the sheet.
    """
    colors = colors_of(classes)
    chosen = choose(
        samples, len(classes), per_sheet * max_sheets, lambda sample: print_of(sample, colors)
    )
    yield from sheets_of(chosen, classes, per_sheet=per_sheet)


def sheets_of(
    prints: Sequence[Print], classes: ClassMap, *, per_sheet: int = PER_SHEET
) -> Iterator[Sheet]:
    """All the chips, in order, on sheets."""
    colors = colors_of(classes)
    for start in range(0, len(prints), per_sheet):
        part = prints[start : start + per_sheet]
        yield Sheet(_sheet(part, classes, colors), len(part))


def write_contact_sheets(
    samples: Iterable[ChipSample], classes: ClassMap, folder: Path, split: str
) -> list[str]:
    """`contact_sheets` as ``<split>-1.png`` and so on in a local folder; returns the names."""
    names = []
    for number, sheet in enumerate(contact_sheets(samples, classes), 1):
        names.append(f"{split}-{number}.png")
        (folder / names[-1]).write_bytes(to_png(sheet.image))
    return names


def print_of(sample: ChipSample, colors: Sequence[str]) -> Print:
    """A chip with its label; ``colors``: ``#rrggbb`` of each class."""
    picture = chip_picture(sample, colors, _SIDE)
    return Print(picture, class_ids_of(sample.label), sample.scene_id, sample.window)


def choose(
    samples: Iterable[ChipSample], classes: int, count: int, keep: Callable[[ChipSample], T]
) -> list[T]:
    """At most so many samples, each class having its share of them where it has that many.

    Every class keeps a random sample of its own chips (reservoir sampling, seeded), from which the
    turns are taken; a chip with several classes stands for the rarest of them. ``keep``: what is
    kept of a sample, so that memory need not hold its pixels.
    """
    generator = np.random.default_rng(0)
    kept: dict[int, list[T]] = {}
    met: dict[int, int] = {}
    # No class fills more than the sheets, and of many classes each keeps a few.
    room = max(1, 2 * count // max(1, min(classes, 16)))
    for number, sample in enumerate(samples):
        if number >= _SEEN:
            break
        main = _main_class(sample, met)
        met[main] = met.get(main, 0) + 1
        own = kept.setdefault(main, [])
        if len(own) < room:
            own.append(keep(sample))
        elif (place := int(generator.integers(met[main]))) < room:
            own[place] = keep(sample)
    piles = [kept[key] for key in sorted(kept)]
    chosen: list[T] = []
    for turn in range(max(map(len, piles), default=0)):
        chosen += [pile[turn] for pile in piles if turn < len(pile)]
    return chosen[:count]


def _main_class(sample: ChipSample, met: dict[int, int]) -> int:
    """The class that a chip stands for: of those on it, the one met least so far."""
    found = class_ids_of(sample.label)
    return min(found, key=lambda i: (met.get(i, 0), i), default=-1)


def class_ids_of(label: Label | None) -> list[int]:
    """The classes on a chip, those that take most of it first."""
    if isinstance(label, ChipLabel):
        return [label.class_id]
    if isinstance(label, BoxLabels):
        counts = np.bincount(np.asarray(label.class_ids, np.int64), minlength=1)
    elif isinstance(label, PixelLabels):
        counts = np.bincount(class_mask(label).ravel(), minlength=256)
        counts[UNLABELLED] = 0
    else:
        return []
    order = np.argsort(-counts, kind="stable").tolist()
    return [i for i in order if counts[i]]


def _sheet(prints: Sequence[Print], classes: ClassMap, colors: Sequence[str]) -> Image.Image:
    columns = min(_COLUMNS, len(prints))
    rows = -(-len(prints) // columns)
    step = _SIDE + _GAP
    size = (columns * step + _GAP, rows * (step + _CAPTION) + _GAP)
    paper = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(paper)
    fonts = ImageFont.load_default(12), ImageFont.load_default(10)
    for number, chip in enumerate(prints):
        left = _GAP + number % columns * step
        top = _GAP + number // columns * (step + _CAPTION)
        across, down = _SIDE - chip.picture.width, _SIDE - chip.picture.height
        paper.paste(chip.picture, (left + across // 2, top + down // 2))
        _write_caption(draw, chip, classes, colors, (left, top + _SIDE + 3), fonts)
    return paper


def chip_picture(sample: ChipSample, colors: Sequence[str], side: int) -> Image.Image:
    """A chip with its label over it, ``side`` px on its long side; no data is checkered."""
    height, width = sample.pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = shown(sample.pixels, sample.nodata_mask)
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    picture = checkered(image.resize(size, way)).convert("RGBA")
    layer = LabelLayer(Frame(Window(0, 0, width, height), size, scale), colors)
    label = sample.label
    if isinstance(label, ChipLabel):  # a frame: what fills the chip would hide it
        ink = (*rgb_of(colors[label.class_id]), 255)
        ImageDraw.Draw(picture).rectangle((0, 0, size[0] - 1, size[1] - 1), None, ink, 3)
        return picture.convert("RGB")
    layer.add(Window(0, 0, width, height), label)
    if isinstance(label, PixelLabels):
        layer.image.putalpha(layer.image.getchannel("A").point(lambda a: a * 2 // 5))
    return Image.alpha_composite(picture, layer.image).convert("RGB")


def _write_caption(
    draw: ImageDraw.ImageDraw,
    chip: Print,
    classes: ClassMap,
    colors: Sequence[str],
    place: tuple[int, int],
    fonts: tuple[ImageFont.ImageFont | ImageFont.FreeTypeFont, ...],
) -> None:
    x, y = place
    ids = chip.class_ids
    for class_id in ids[:3]:
        draw.rectangle((x, y + 3, x + 8, y + 11), rgb_of(colors[class_id]), _FAINT)
        x += 10
    x += 3 if ids else 0
    names = ", ".join(classes.names[i] for i in ids) or "nothing labelled"
    room = _SIDE - (x - place[0])
    draw.text((x, y), _fitted(draw, names, room, fonts[0]), _INK, fonts[0])
    window = chip.window
    origin = f"{chip.scene_id}  {window.col_off}, {window.row_off}"
    draw.text((place[0], y + 14), _fitted(draw, origin, _SIDE, fonts[1]), _FAINT, fonts[1])


def _fitted(
    draw: ImageDraw.ImageDraw,
    text: str,
    width: int,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> str:
    """As much of a text as there is room for."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}\N{HORIZONTAL ELLIPSIS}", font) > width:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"
