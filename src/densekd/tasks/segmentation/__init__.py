"""Semantic segmentation: a class for every pixel."""

from densekd.tasks.segmentation.class_weights import balanced_weights
from densekd.tasks.segmentation.evaluation import SegmentationEvaluation
from densekd.tasks.segmentation.prediction import LabelPredictor
from densekd.tasks.segmentation.task import Segmentation

__all__ = [
    "LabelPredictor",
    "Segmentation",
    "SegmentationEvaluation",
    "balanced_weights",
]
