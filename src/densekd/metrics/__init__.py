"""Scores of semantic segmentation and of detection."""

from densekd.metrics.boundary import BoundaryScore
from densekd.metrics.boxes import BoxMetric
from densekd.metrics.calibration import Calibration
from densekd.metrics.confusion import ConfusionMatrix, confidence_interval, scores

__all__ = ["BoundaryScore", "BoxMetric", "Calibration", "ConfusionMatrix", "confidence_interval", "scores"]
