"""Object detection: boxes with classes and scores."""

from densekd.tasks.detection.evaluation import DetectionEvaluation
from densekd.tasks.detection.metric import BoxMetric
from densekd.tasks.detection.prediction import BoxPredictor
from densekd.tasks.detection.task import Detection

__all__ = ["BoxMetric", "BoxPredictor", "Detection", "DetectionEvaluation"]
