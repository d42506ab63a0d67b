"""A task: what "run the model, its own loss, its metrics" means. The distiller is blind to which one it serves."""

from densekd.tasks.detection import Detection
from densekd.tasks.none import NoTask
from densekd.tasks.segmentation import (
    Batch,
    Normalize,
    Segmentation,
    align_corners,
    as_float,
    balanced_weights,
    upsample,
)

__all__ = [
    "Batch",
    "Detection",
    "NoTask",
    "Normalize",
    "Segmentation",
    "align_corners",
    "as_float",
    "balanced_weights",
    "upsample",
]
