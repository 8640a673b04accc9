"""``rv predict``: one image with a bundle."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from rv_pipeline.cli._progress import seconds, shown_progress

if TYPE_CHECKING:
    from rv_core import Kernel


def predict_image(kernel: Kernel, bundle: str, image: str, out: str, crs: Any) -> None:
    from rv_pipeline.predictor import Predictor

    started = time.monotonic()
    with shown_progress() as on_progress, Predictor(bundle, kernel) as predictor:
        count = predictor.predict(image, out, crs=crs, on_progress=on_progress)
    click.echo(f"{out}: {count} cells in {seconds(time.monotonic() - started)}")
