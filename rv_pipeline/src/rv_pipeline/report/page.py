"""Pages of one file: plain data in, HTML out that needs no network and no other file.

All text is escaped by the template engine, so ids and class names may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

import attrs

from rv_pipeline._version import VERSION
from rv_pipeline.tasks.task import Table

if TYPE_CHECKING:
    import jinja2

    from rv_core import ClassMap
    from rv_pipeline.report.charts import Chart
    from rv_pipeline.report.pictures import Picture

_FIGURE = re.compile(r"[-+\u2212]?[\d,.\u00a0]*\d(e[-+]?\d+)?\s?%?\Z|[-\u2013\u2014]?\Z")
_MATRIX_CLASSES: Final = 40  # a larger matrix is a list of what is confused most
_CONFUSIONS: Final = 30


@attrs.frozen
class ConfusionMatrix:
    """``counts[t][p]``: how many (``units``: cells, pixels...) of class t were predicted as p."""

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    units: str = "cells"

    @property
    def fits(self) -> bool:
        return len(self.classes) <= _MATRIX_CLASSES

    def share(self, row: int, column: int) -> float:
        """Of a class's row, the part in a column, 0..1."""
        total = sum(self.counts[row])
        return self.counts[row][column] / total if total else 0.0

    def confusions(self) -> Table:
        """The pairs of classes that are confused most."""
        pairs = [
            (n, t, p) for t, row in enumerate(self.counts) for p, n in enumerate(row) if t != p
        ]
        most = sorted((pair for pair in pairs if pair[0]), reverse=True)[:_CONFUSIONS]
        rows = [
            [self.classes[t], self.classes[p], f"{n:,}", f"{self.share(t, p):.1%}"]
            for n, t, p in most
        ]
        headings = ("is", "predicted as", self.units, "of the class")
        return Table("Confused most", headings, rows)


@attrs.frozen
class LegendEntry:
    """``mark``: ``"fill"``, ``"line"`` or ``"dashes"``."""

    name: str
    color: str
    mark: str = "fill"


@attrs.frozen
class Layer:
    """What is laid over a scene's picture; ``drawing`` is ``None`` for the picture alone.

    ``opacity``: how strongly it is shown at first, in percent; a reader can change what is less
    than 100.
    """

    name: str
    drawing: Picture | None
    opacity: int = 100


@attrs.frozen
class Legend:
    """What the colors of one or several layers mean."""

    title: str
    entries: Sequence[LegendEntry]


@attrs.frozen
class SceneView:
    """A scene to look at: its ``picture`` and layers, or the ``error`` that kept it from being
    drawn. ``facts``: pairs of a name and a text."""

    id: str
    picture: Picture | None
    layers: Sequence[Layer] = ()
    legends: Sequence[Legend] = ()
    headline: str = ""
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    error: str = ""
    hint: str = ""


@attrs.frozen
class ChipSheet:
    """Chips of a split on one picture."""

    split: str
    picture: Picture
    caption: str = ""


@attrs.frozen(kw_only=True)
class Section:
    """Part of a page. ``text``: said below the heading; the rest as far as there is something."""

    title: str
    text: str = ""
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    matrix: ConfusionMatrix | None = None
    charts: Sequence[Chart] = ()
    scenes: Sequence[SceneView] = ()
    sheets: Sequence[ChipSheet] = ()


@attrs.frozen(kw_only=True)
class Page:
    """A page: ``kicker`` says what kind of page, ``headline`` the result in a line; ``colors``:
    class name -> ``#rrggbb``, shown beside the names of classes."""

    kicker: str
    title: str
    headline: str = ""
    facts: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    colors: dict[str, str] = attrs.field(factory=dict)
    date: datetime | None = None


def colors_by_name(classes: ClassMap) -> dict[str, str]:
    """The color of each class by its name."""
    from rv_pipeline.report.palette import colors_of

    return dict(zip(classes.names, colors_of(classes), strict=True))


def render(page: Page) -> str:
    """The page as HTML."""
    return _environment().get_template("page.html.jinja").render(page=page, version=VERSION)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rv_pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figures"] = figure_columns
    environment.filters["grouped"] = grouped
    return environment


def figure_columns(table: Table) -> list[bool]:
    """Which columns of a table hold numbers only."""
    columns = [
        [str(row[i]).strip() for row in table.rows if i < len(row)]
        for i in range(len(table.headings))
    ]
    return [any(c) and all(_FIGURE.match(text) for text in c) for c in columns]


def grouped(text: str) -> str:
    """A number as it is set: four or more digits with the thousands told apart, and a minus sign;
    other texts as they are."""
    if re.fullmatch(r"[-+]?[0-9]{4,}", text):
        text = f"{int(text):{'+' if text[0] == '+' else ''},}"
    return re.sub(r"\A-(?=\d)", "\u2212", text)
