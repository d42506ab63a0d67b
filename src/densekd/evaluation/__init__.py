"""Scores and pictures of finished models."""

from densekd.evaluation.predict import predict_folder, sample_pictures
from densekd.evaluation.segmentation import evaluate

__all__ = ["evaluate", "predict_folder", "sample_pictures"]
