"""What people look at: the evaluation's report, contact sheets of chips, previews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.report.contact_sheets import write_contact_sheets
    from rv_pipeline.report.drawing import Frame, LabelLayer
    from rv_pipeline.report.evaluation import EvaluationReport
    from rv_pipeline.report.palette import colors_of
    from rv_pipeline.report.pictures import Picture

__all__ = [
    "EvaluationReport",
    "Frame",
    "LabelLayer",
    "Picture",
    "colors_of",
    "write_contact_sheets",
]

_HOMES = {
    "EvaluationReport": "evaluation",
    "Frame": "drawing",
    "LabelLayer": "drawing",
    "Picture": "pictures",
    "colors_of": "palette",
    "write_contact_sheets": "contact_sheets",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that commands cost no Pillow and no Jinja."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
