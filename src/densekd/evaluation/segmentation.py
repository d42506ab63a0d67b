"""Score a segmentation model on whole images at their original size."""

from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import track
from torch import nn

from densekd.builders.task import build_inference
from densekd.data.files import SegmentationFiles
from densekd.data.loaders import evaluation_loader
from densekd.data.segmentation import EvaluationSet, Resize
from densekd.data.unlabelled import has_labels
from densekd.inference import WHOLE, Inference
from densekd.metrics import BoundaryScore, Calibration, ConfusionMatrix, confidence_interval, scores
from densekd.metrics.confusion import Absent
from densekd.recipe import EvaluationSpec
from densekd.tasks import Segmentation


@dataclass(frozen=True)
class Scoring:
    """What is measured, and how images are predicted for it.

    Args:
        inference: whole images, windows, scales.
        absent: what classes that never occur do to the means, see :func:`densekd.metrics.scores`.
        boundary: tolerance of the boundary F-score in image diagonals; 0 leaves the score out, which takes time.
        workers: loading processes.
    """

    inference: Inference = WHOLE
    absent: Absent = "excluded"
    boundary: float = 0.0
    workers: int = 0


def scoring_of(spec: EvaluationSpec, workers: int = 0) -> Scoring:
    """Turn the evaluation part of a recipe into what :func:`evaluate_labels` takes."""
    return Scoring(build_inference(spec), spec.absent, spec.boundary, workers)


def evaluate_labels(
    model: nn.Module, files: SegmentationFiles, resize: Resize | None, scoring: Scoring | None = None
) -> dict[str, Any]:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    The logits are enlarged to each label's own size, so that a model fed smaller images is scored on original pixels.

    Args:
        model: changed to evaluation mode.
        files: the images and labels.
        resize: what images are brought to before the model, see :mod:`densekd.data.segmentation`, or None.
        scoring: what is measured; None for the defaults.

    Returns:
        The means of :func:`densekd.metrics.scores` in percent, ``miou_interval`` (95 %, over images), ``ece``
        (calibration error), ``boundary`` where asked for, ``iou`` and ``acc`` by class name, ``confusion`` (pixels by
        label and prediction), ``images`` and ``parameters``.
    """
    scoring = scoring or Scoring()
    names, ignore_index = files.classes.names, files.classes.ignore_index
    device = device_of(model.eval())
    task = Segmentation(len(names), ignore_index)
    task.inference = scoring.inference
    metric = task.metric().to(device)
    calibration = Calibration(ignore_index)
    outlines = BoundaryScore(len(names), ignore_index, scoring.boundary) if scoring.boundary else None
    batches = evaluation_loader(EvaluationSet(files, resize), batch_size=8, workers=scoring.workers)
    with torch.no_grad():
        for samples in track(batches, "evaluating", transient=True, disable=len(files) < 20):
            for predicted, labels in task.predictions(model, samples, device):
                metric.update(predicted.label, labels)
                calibration.update(predicted.label, predicted.confidence, labels)
                if outlines is not None:
                    outlines.update(predicted.label, labels)
    found = scores(metric.counts, scoring.absent)
    found |= {key: dict(zip(names, found.pop(key), strict=True)) for key in ("iou", "acc")}
    found |= {"miou_interval": confidence_interval(metric.images), "ece": calibration.compute()}
    found |= {"confusion": metric.counts.tolist()}
    found |= {} if outlines is None else {"boundary": outlines.compute()}
    return {**found, "images": len(files), "parameters": sum(p.numel() for p in model.parameters())}


def label_agreement(
    student: nn.Module, teacher: nn.Module, files: SegmentationFiles, resize: Resize | None, inference: Inference
) -> dict[str, float | None]:
    """Compare two models pixel by pixel; labels only say which pixels are void, and without labels none is.

    Args:
        student, teacher: of the same classes; changed to evaluation mode.
        files: the images and labels.
        resize: as in :func:`evaluate_labels`.
        inference: for both.

    Returns:
        in percent: ``agreement``, the share of pixels to which both give one class; ``agreement_miou``, the student's
        mIoU when the teacher is taken for the truth; ``calibration``, the student's calibration error against the
        teacher's classes.
    """
    device = device_of(student.eval())
    teacher.eval()
    ignore_index, labelled = files.classes.ignore_index, has_labels(files)
    task = Segmentation(len(files.classes.names), ignore_index)
    task.inference = inference
    metric, calibration = ConfusionMatrix(task.num_classes, ignore_index).to(device), Calibration(ignore_index)
    with torch.no_grad():
        for samples in evaluation_loader(EvaluationSet(files, resize), batch_size=8, workers=0):
            pairs = zip(*(task.predictions(model, samples, device) for model in (student, teacher)), strict=True)
            for (ours, labels), (theirs, _) in pairs:
                truth = theirs.label.where(labels != ignore_index, ignore_index) if labelled else theirs.label
                metric.update(ours.label, truth)
                calibration.update(ours.label, ours.confidence, truth)
    found = metric.compute()
    return {"agreement": found["aacc"], "agreement_miou": found["miou"], "calibration": calibration.compute()}


def device_of(model: nn.Module) -> torch.device:
    """Return the device a model is on."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))
