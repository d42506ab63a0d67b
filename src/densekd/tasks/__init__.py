"""Tasks: ``TASKS`` maps a name to the class of everything that belongs to one kind of output.

What a task must have is in :mod:`densekd.tasks.protocol`. Your own: ``package.module:Name``.
"""

from densekd.tasks.depth import Depth
from densekd.tasks.detection import Detection
from densekd.tasks.none import NoTask
from densekd.tasks.protocol import Task, TrainingTask
from densekd.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {
    "depth": Depth,
    "detection": Detection,
    "segmentation": Segmentation,
}

__all__ = ["TASKS", "Depth", "Detection", "NoTask", "Segmentation", "Task", "TrainingTask"]
