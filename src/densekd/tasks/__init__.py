"""A task: what "run the model, its own loss, its metrics" means. The distiller is blind to which one it serves."""

from densekd.tasks.detection import Detection
from densekd.tasks.none import NoTask
from densekd.tasks.segmentation import (
    Batch,
    Normalise,
    Segmentation,
    align_corners,
    as_float,
    balanced_weights,
    enlarge,
)

__all__ = [
    "Batch",
    "Detection",
    "NoTask",
    "Normalise",
    "Segmentation",
    "align_corners",
    "as_float",
    "balanced_weights",
    "enlarge",
]
