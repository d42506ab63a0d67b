"""Monocular depth estimation: a distance for every pixel, up to scale and shift."""

from densekd.tasks.depth.evaluation import DepthEvaluation
from densekd.tasks.depth.metric import DepthMetric
from densekd.tasks.depth.prediction import DepthPredictor
from densekd.tasks.depth.task import Depth

__all__ = ["Depth", "DepthEvaluation", "DepthMetric", "DepthPredictor"]
