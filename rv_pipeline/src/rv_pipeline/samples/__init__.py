"""Sample scenes: villages that nobody lives in, drawn with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.samples._scenes import SampleScene, SampleScenes, draw_sample_scenes

__all__ = ["SampleScene", "SampleScenes", "draw_sample_scenes"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that naming the samples costs no numpy and no GDAL."""
    if name in __all__:
        from rv_pipeline.samples import _scenes

        return getattr(_scenes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
