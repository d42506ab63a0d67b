"""Scores and pictures of finished models."""

from densekd.evaluation.by_task import agreement, evaluate, predict_folder, predictor, sample_pictures, subset
from densekd.evaluation.from_file import evaluate_path, open_predictor
from densekd.evaluation.predict import Predictor
from densekd.evaluation.predict_boxes import BoxPredictor
from densekd.evaluation.segmentation import Scoring, scoring_of
from densekd.evaluation.submission import write_submission

__all__ = [
    "BoxPredictor",
    "Predictor",
    "Scoring",
    "agreement",
    "evaluate",
    "evaluate_path",
    "open_predictor",
    "predict_folder",
    "predictor",
    "sample_pictures",
    "scoring_of",
    "subset",
    "write_submission",
]
