"""One door for every task: what the files hold says which functions score, predict and draw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from densekd.builders.data import Files
from densekd.data.detection import DetectionFiles
from densekd.data.segmentation import Resize
from densekd.evaluation.detection import evaluate_boxes
from densekd.evaluation.predict import Predictor, label_samples, predict_labels
from densekd.evaluation.predict_boxes import BoxPredictor, box_samples, predict_boxes
from densekd.evaluation.segmentation import Scoring, evaluate_labels, label_agreement
from densekd.inference import WHOLE, Inference


def evaluate(model: nn.Module, files: Files, resize: Resize | None, scoring: Scoring | None = None) -> dict[str, Any]:
    """Score a model on every image, see :func:`evaluate_labels` and :func:`evaluate_boxes`.

    Of ``scoring`` detection takes the workers alone.
    """
    if isinstance(files, DetectionFiles):
        return evaluate_boxes(model, files, resize, scoring.workers if scoring else 0)
    return evaluate_labels(model, files, resize, scoring)


def subset(files: Files, count: int) -> Files:
    """Return ``files`` with at most ``count`` images, evenly chosen."""
    items = files.items[:: max(1, len(files) // count)][:count]
    return replace(files, items=items)  # type: ignore[arg-type]


def agreement(
    student: nn.Module, teacher: nn.Module, files: Files, resize: Resize | None, inference: Inference
) -> dict[str, float | None]:
    """Compare two models pixel by pixel, see :func:`label_agreement`; nothing for detection."""
    if isinstance(files, DetectionFiles):
        return {}
    return label_agreement(student, teacher, files, resize, inference)


def predictor(
    model: nn.Module, files: Files, resize: Resize | None, inference: Inference = WHOLE
) -> Predictor | BoxPredictor:
    """Return a model with what it takes to predict images like those of ``files``."""
    if isinstance(files, DetectionFiles):
        return BoxPredictor(model, files.classes, files.categories, resize)
    return Predictor(model, files.classes, resize, inference)


def predict_folder(predict: Predictor | BoxPredictor, images: Path, out: Path) -> int:
    """Predict one image or all images below a folder; return how many.

    ``predict.writes`` names what lies in ``out`` then, see :func:`predict_labels` and :func:`predict_boxes`.
    """
    if isinstance(predict, BoxPredictor):
        return predict_boxes(predict, images, out)
    return predict_labels(predict, images, out)


def sample_pictures(predictors: Mapping[str, Any], files: Files, out: Path, indices: Sequence[int]) -> None:
    """Write pictures of some images of a split, of what is there and what each predictor of the files' task says.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and ``.<name>-errors.png``.
    """
    if isinstance(files, DetectionFiles):
        box_samples(predictors, files, out, indices)
    else:
        label_samples(predictors, files, out, indices)
