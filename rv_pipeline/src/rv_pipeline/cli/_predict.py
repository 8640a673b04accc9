"""``rv predict``: images with a bundle."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from rv_core import ConfigError, DataError, RVError, StorageError
from rv_pipeline.cli._progress import seconds, shown_progress

if TYPE_CHECKING:
    from rv_core import Kernel


def predict_images(
    kernel: Kernel,
    bundle: str,
    images: tuple[str, ...],
    out: str,
    crs: Any,
    channel_order: str | None,
    update_stats: bool,
    export_config: str | None,
) -> None:
    from rv_pipeline.predictor import Predictor

    channels = None if channel_order is None else _bands(channel_order)
    failed: list[RVError] = []
    with shown_progress() as on_progress, Predictor(bundle, kernel) as predictor:
        targets = _targets(images, out, predictor.task.suffix)
        for image in targets:
            kernel.files.info(image)  # one that is not there is said before others are predicted
        if export_config is not None:
            text = json.dumps(predictor.config(), indent=2, ensure_ascii=False) + "\n"
            kernel.files.write_str(export_config, text)
        for image, target in targets.items():
            started = time.monotonic()
            try:
                count = predictor.predict(
                    image,
                    target,
                    crs=crs,
                    channel_order=channels,
                    update_stats=update_stats,
                    on_progress=on_progress,
                )
            except (DataError, StorageError) as error:  # of this image; others may do
                if len(targets) == 1:
                    raise
                click.echo(f"{target}: failed: {error}", err=True)
                failed.append(error)
                continue
            took = seconds(time.monotonic() - started)
            click.echo(f"{target}: {count} {predictor.task.units} in {took}")
    if failed:
        raise RVError(
            f"{len(failed)} of {len(images)} images failed",
            hint=failed[0].hint or "what each failed with stands above",
        )


def _targets(images: tuple[str, ...], out: str, suffix: str) -> dict[str, str]:
    """Where the result of each image goes."""
    slashes = f"/{os.sep}"
    if len(images) == 1 and out[-1:] not in slashes and not Path(out).is_dir():
        return {images[0]: out}
    targets = {i: f"{out.rstrip(slashes)}/{_stem(i)}{suffix}" for i in images}
    if len(set(targets.values())) < len(images):
        raise ConfigError(
            "two of the images have the same name, and their results would too",
            hint="predict them one by one, each with an OUT of its own",
        )
    return targets


def _stem(image: str) -> str:
    """The name of an image without its extension; a signature in a query is no part of it."""
    if image.startswith(("http://", "https://")):
        return PurePosixPath(urlsplit(image).path).stem
    return PurePosixPath(image.replace(os.sep, "/")).stem


def _bands(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise ConfigError(
            f"--channel-order is a list of band numbers, got {text!r}", hint="such as 2,1,0"
        ) from None
