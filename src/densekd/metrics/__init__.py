"""Scores of semantic segmentation."""

from densekd.metrics.boundary import BoundaryScore
from densekd.metrics.calibration import Calibration
from densekd.metrics.confusion import ConfusionMatrix, confidence_interval, scores

__all__ = ["BoundaryScore", "Calibration", "ConfusionMatrix", "confidence_interval", "scores"]
