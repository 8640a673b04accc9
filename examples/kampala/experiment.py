"""Buildings of Kampala, cell by cell: RGB at 7.5 cm, OpenStreetMap polygons.

::

    rv run examples/kampala/experiment.py -a data PATH/hot-oam-kampala-rgb

The folder holds train.tif, val.tif and labels.geojson (see README.md).
"""

from __future__ import annotations

from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    ChipOptions,
    DatasetConfig,
    Experiment,
    LabelConfig,
    SceneConfig,
)


def exp_kampala(
    data: str,
    root: str = "out/kampala",
    epochs: int = 2,
    model: str = "RESNET50_IMAGENET",
    seed: int = 0,
) -> Experiment:
    """A cell of 96 px (7.2 m) is a building where more than half of it is covered by some."""
    labels = LabelConfig(uris=f"{data}/labels.geojson")
    return Experiment(
        id="kampala",
        root_uri=root,
        task=ChipClassificationConfig(
            classes={"building": "#d95f02", "background": "#7570b3"},
            cells=CellOptions(
                size=96, ioc_threshold=0.5, background_class="background", infer_cells=True
            ),
        ),
        backend={
            "backend": "KERAS_CLASSIFICATION",
            "model_defaults": model,
            "num_epochs": epochs,
            "class_weights": "balanced",
            "seed": seed,
        },
        dataset=DatasetConfig(
            train=SceneConfig(id="train", raster=f"{data}/train.tif", labels=labels),
            validation=SceneConfig(id="val", raster=f"{data}/val.tif", labels=labels),
        ),
        # Cells of train.tif are few; windows half a cell apart are four times as many.
        chip=ChipOptions(stride=48),
    )
