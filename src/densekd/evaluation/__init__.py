"""Scores and pictures of finished models."""

from densekd.evaluation.predict import Predictor, predict_folder, sample_pictures
from densekd.evaluation.segmentation import Scoring, agreement, evaluate, scoring_of
from densekd.evaluation.submission import write_submission

__all__ = [
    "Predictor",
    "Scoring",
    "agreement",
    "evaluate",
    "predict_folder",
    "sample_pictures",
    "scoring_of",
    "write_submission",
]
