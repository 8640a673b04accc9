"""RV's pipeline: experiments over georeferenced imagery, from rasters and labels to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_pipeline.augmentors import NodataAugmentorConfig
    from rv_pipeline.experiment import AnalyzeOptions, Experiment
    from rv_pipeline.loading import load_experiments
    from rv_pipeline.predictor import Predictor
    from rv_pipeline.rasters.config import (
        CastTransformerConfig,
        ExtentCrop,
        LinearTransformerConfig,
        MinMaxTransformerConfig,
        NodataFillTransformerConfig,
        RasterConfig,
        ReclassTransformerConfig,
        StatsTransformerConfig,
    )
    from rv_pipeline.rasters.label_raster import RasterLabelConfig
    from rv_pipeline.running import run
    from rv_pipeline.scenes import DatasetConfig, SceneConfig, open_scene
    from rv_pipeline.tasks._detection_config import (
        DetectionChipOptions,
        DetectionPredictOptions,
        ObjectDetectionConfig,
    )
    from rv_pipeline.tasks._segmentation_config import (
        PolygonOptions,
        SegmentationChipOptions,
        SegmentationPredictOptions,
        SemanticSegmentationConfig,
    )
    from rv_pipeline.tasks.chip_classification import CellOptions, ChipClassificationConfig
    from rv_pipeline.tasks.config import ChipOptions, PredictOptions, TaskConfig
    from rv_pipeline.tasks.task import Task
    from rv_pipeline.vectors.config import LabelConfig

_HOMES = {
    "AnalyzeOptions": "experiment",
    "CastTransformerConfig": "rasters.config",
    "CellOptions": "tasks.chip_classification",
    "ChipClassificationConfig": "tasks.chip_classification",
    "ChipOptions": "tasks.config",
    "DatasetConfig": "scenes",
    "DetectionChipOptions": "tasks._detection_config",
    "DetectionPredictOptions": "tasks._detection_config",
    "Experiment": "experiment",
    "ExtentCrop": "rasters.config",
    "LabelConfig": "vectors.config",
    "LinearTransformerConfig": "rasters.config",
    "MinMaxTransformerConfig": "rasters.config",
    "NodataAugmentorConfig": "augmentors",
    "NodataFillTransformerConfig": "rasters.config",
    "ObjectDetectionConfig": "tasks._detection_config",
    "PolygonOptions": "tasks._segmentation_config",
    "PredictOptions": "tasks.config",
    "Predictor": "predictor",
    "RasterConfig": "rasters.config",
    "RasterLabelConfig": "rasters.label_raster",
    "ReclassTransformerConfig": "rasters.config",
    "SceneConfig": "scenes",
    "SegmentationChipOptions": "tasks._segmentation_config",
    "SegmentationPredictOptions": "tasks._segmentation_config",
    "SemanticSegmentationConfig": "tasks._segmentation_config",
    "StatsTransformerConfig": "rasters.config",
    "Task": "tasks.task",
    "TaskConfig": "tasks.config",
    "load_experiments": "loading",
    "open_scene": "scenes",
    "run": "running",
}

__all__ = [
    "AnalyzeOptions",
    "CastTransformerConfig",
    "CellOptions",
    "ChipClassificationConfig",
    "ChipOptions",
    "DatasetConfig",
    "DetectionChipOptions",
    "DetectionPredictOptions",
    "Experiment",
    "ExtentCrop",
    "LabelConfig",
    "LinearTransformerConfig",
    "MinMaxTransformerConfig",
    "NodataAugmentorConfig",
    "NodataFillTransformerConfig",
    "ObjectDetectionConfig",
    "PolygonOptions",
    "PredictOptions",
    "Predictor",
    "RasterConfig",
    "RasterLabelConfig",
    "ReclassTransformerConfig",
    "SceneConfig",
    "SegmentationChipOptions",
    "SegmentationPredictOptions",
    "SemanticSegmentationConfig",
    "StatsTransformerConfig",
    "Task",
    "TaskConfig",
    "load_experiments",
    "open_scene",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that ``import rv_pipeline`` costs nothing."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"rv_pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rv_pipeline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
