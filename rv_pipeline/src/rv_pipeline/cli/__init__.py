"""What the pipeline adds to ``rv``: ``run``, ``preview``, ``ls`` and ``predict``.

This module is imported whenever ``rv --help`` lists the commands, so it only declares them; the
work is in the modules beside it.
"""

from __future__ import annotations

from typing import Any

import click

arguments_option = click.option(
    "-a",
    "--arg",
    "arguments",
    type=(str, str),
    multiple=True,
    metavar="KEY VALUE",
    help="An argument of the experiment file; may be given several times.",
)
filter_option = click.option(
    "-f", "--filter", "pattern", metavar="GLOB", help="Only experiments with such an id."
)


@click.command()
@click.argument("file")
@click.argument("commands", nargs=-1, metavar="[COMMAND]...")
@arguments_option
@filter_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, and why; run nothing.")
@click.option("--rerun", is_flag=True, help="Run what is unchanged, too.")
@click.option(
    "-x",
    "--no-check",
    "check",
    flag_value=False,
    default=True,
    help="Start without looking whether the scenes are there and can be read.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that cut chips and predict; setting: [pipeline] workers, else 1.",
)
@click.option("--runner", default="LOCAL", show_default=True, help="The key of a runner.")
@click.option(
    "--no-wait",
    "wait",
    flag_value=False,
    default=True,
    help="Fail where another run holds an output, instead of waiting for it.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say all that changed since the last run.")
@click.pass_obj
def run(kernel: Any, /, **options: Any) -> None:
    """Run the experiments of FILE (.py or .yaml).

    COMMANDS are analyze, chip, train, predict, eval and bundle; all of them if none is given.
    What has been done already and is unchanged is skipped. Where a command fails, what does not
    need it runs all the same.
    """
    from rv_pipeline.cli._run import run_file

    run_file(kernel, **options)


@click.command()
@click.argument("file")
@arguments_option
@filter_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_obj
def ls(kernel: Any, /, **options: Any) -> None:
    """List the experiments of FILE, their commands and the state of each."""
    from rv_pipeline.cli._ls import list_file

    list_file(kernel, **options)


@click.command(short_help="Draw what the experiments of FILE would learn from.")
@click.argument("file")
@arguments_option
@filter_option
@click.option(
    "--out",
    default="preview",
    show_default=True,
    metavar="DIR",
    help="Where the pages and pictures go, a folder for each experiment; a path or a URI.",
)
@click.pass_obj
def preview(kernel: Any, /, **options: Any) -> None:
    """Draw what the experiments of FILE (.py or .yaml) would learn from; nothing is run.

    Of every scene: the picture, its labels and areas of interest, the windows that become chips,
    and some chips with their labels, as the page preview.html and PNG files. A scene with an error
    is shown with its message, and makes the exit code 1. Of experiments that would cut the same
    chips, the first stands for all.
    """
    from rv_pipeline.cli._preview import preview_file

    preview_file(kernel, **options)


@click.command(short_help="Predict an image with a bundle.")
@click.argument("bundle")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.argument("out")
@click.option(
    "--crs",
    type=click.Choice(["image", "EPSG:4326"]),
    help="CRS of the vectors that come out, if not that of the bundle's experiment.",
)
@click.option(
    "--channel-order",
    metavar="BANDS",
    help="The bands to read, from 0 on, such as 2,1,0; as the bundle says, if not given.",
)
@click.option(
    "--update-stats",
    is_flag=True,
    help="Stretch the pixels by the statistics of each image, not those of the training scenes.",
)
@click.option(
    "--export-config", metavar="FILE", help="Write what the bundle says of itself there, as JSON."
)
@click.pass_obj
def predict(kernel: Any, /, **options: Any) -> None:
    """Predict IMAGE with BUNDLE and write the result to OUT; each is a path or a URI.

    Several images go into the folder OUT, as does one where OUT is a folder or ends in a slash;
    the results are named after the images.
    """
    from rv_pipeline.cli._predict import predict_images

    predict_images(kernel, **options)


__all__ = ["ls", "predict", "preview", "run"]
