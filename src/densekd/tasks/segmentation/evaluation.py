"""Score a segmentation model on whole images at their original size."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le, Lt, MaxLen, MinLen
from torch import Tensor, nn

from densekd.data.files import SegmentationFiles
from densekd.data.loaders import evaluation_loader
from densekd.data.maps import EvaluationSet, Resize
from densekd.ops.ranges import Scale, Size
from densekd.tasks.common import device_of, parameter_count
from densekd.tasks.protocol import BY_IMAGE, Scores
from densekd.tasks.segmentation.boundary import BoundaryScore
from densekd.tasks.segmentation.calibration import Calibration
from densekd.tasks.segmentation.confusion import Absent, ConfusionMatrix, confidence_interval, scores
from densekd.tasks.segmentation.inference import Inference, Prediction, Window
from densekd.tasks.segmentation.whole_images import WholeImages
from densekd.tasks.together import STUDENT, TEACHER, Compared, Loading, predictions_of
from densekd.terminal import track

# Classes whose numbers fit a byte.
_BYTE = 256


@dataclass(frozen=True)
class SegmentationEvaluation:
    """How whole images are predicted and scored: the keys of a recipe's ``evaluation``.

    Args:
        crop: height and width of sliding windows, or None: the whole image at once.
        stride: vertical and horizontal step of the windows; default: two thirds of the crop's own
            side, rounded up. ``height``: two thirds of its height on both axes (TorchDistiller).
        scales: factors on the image's size, whose predictions are averaged (test-time
            augmentation).
        flip: ``horizontal`` also predicts the mirrored image.
        average: what scales and mirror images average.
        divisor: each image is stretched so that its sides are multiples of it, rounded up, after
            any other resizing (SegFormer's and SegDistill's ``AlignedResize``: 32).
        absent: what classes that never occur do to the means: ``excluded``, or ``zero``
            (TorchDistiller, CIRKD, HWD).
        boundary: tolerance of the boundary F-score in image diagonals; 0 leaves the score out,
            which takes time.

    Raises:
        ValueError: a stride without crop, or one that leaves gaps.
    """

    crop: Size | None = None
    stride: Size | Literal["height"] | None = None
    scales: Annotated[tuple[Scale, ...], MinLen(1), MaxLen(32)] = (1.0,)
    flip: Literal["none", "horizontal"] = "none"
    average: Literal["softmax", "logits"] = "softmax"
    divisor: Annotated[int, Ge(1), Le(65_536)] = 1
    absent: Absent = "excluded"
    boundary: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        # Without a stride, the default fits any crop.
        if self.stride is None:
            return
        fits = False
        if self.crop is not None:
            down, across = self._step(self.crop)
            fits = down <= self.crop[0] and across <= self.crop[1]
        if not fits:
            raise ValueError("stride needs a crop that is at least as large, or windows leave gaps")

    @property
    def inference(self) -> Inference:
        """The mode in which whole images are predicted."""
        window = None
        if self.crop is not None:
            window = Window(self.crop, self._step(self.crop))
        return Inference(window, self.scales, self.flip, self.average, self.divisor)

    def _step(self, crop: Size) -> Size:
        """Return the vertical and horizontal step of windows of a size."""
        height, width = (math.ceil(side * 2 / 3) for side in crop)
        if self.stride is None:
            return height, width
        if self.stride == "height":
            return height, height
        return self.stride


def evaluate_labels(
    model: nn.Module,
    files: SegmentationFiles,
    resize: Resize | None,
    options: SegmentationEvaluation,
    loading: Loading | None = None,
) -> Scores:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    The logits are enlarged to each label's own size, so that a model fed smaller images is scored
    on original pixels.

    Args:
        model: changed to evaluation mode.
        files: the images and labels.
        resize: what images are brought to before the model, see :mod:`densekd.data.maps`, or None.
        options: what is measured, and how images are predicted for it.
        loading: how images are loaded.

    Returns:
        The means of :func:`densekd.tasks.segmentation.confusion.scores` in percent,
        ``miou_interval`` (95 %, over images), ``ece`` (calibration error), ``boundary`` where asked
        for, ``iou`` and ``acc`` by class name, ``confusion`` (pixels by label and prediction),
        ``by_image`` (``[N, 3, C]`` counts, see :class:`ConfusionMatrix`), ``images`` and ``parameters``.
    """
    device = device_of(model.eval())
    whole_images = WholeImages(len(files.classes.names), options.inference)
    counted = _LabelScores(files, options, device)
    with torch.no_grad():
        for samples in _batches(files, resize, loading):
            for predicted, labels in whole_images.predictions(model, samples, device):
                counted.update(predicted, labels)
    return counted.compute(model)


def compare_labels(
    models: Mapping[str, nn.Module],
    files: SegmentationFiles,
    resize: Resize | None,
    options: SegmentationEvaluation,
    loading: Loading,
    kept: Sequence[int] = (),
) -> Compared:
    """Score several models in one pass, and compare student and teacher where both are there.

    Args:
        models: by their roles, all on one device; changed to evaluation mode.
        files, resize, options, loading: as of :func:`evaluate_labels`.
        kept: numbers of the images whose class numbers ``[H, W]`` are returned.
    """
    device = device_of(next(iter(models.values())))
    scores = {role: _LabelScores(files, options, device) for role in models}
    agreement = _LabelAgreement(files, device)
    both = STUDENT in models and TEACHER in models
    whole_images = WholeImages(len(files.classes.names), options.inference)
    predicted: dict[str, dict[int, Any]] = {role: {} for role in models}
    for model in models.values():
        model.eval()
    number = 0
    with torch.no_grad():
        for samples in _batches(files, resize, loading):
            for parts in predictions_of(models, whole_images.predictions, samples, device):
                for role, (found, labels) in parts.items():
                    scores[role].update(found, labels)
                    _keep(predicted[role], found.label, number, kept)
                if both:
                    agreement.update(parts[STUDENT][0], *parts[TEACHER])
                number += len(labels)
    found_scores = {role: scores[role].compute(model) for role, model in models.items()}
    if both:
        found_scores[STUDENT] |= agreement.compute()
    return Compared(found_scores, predicted)


def label_agreement(
    student: nn.Module,
    teacher: nn.Module,
    files: SegmentationFiles,
    resize: Resize | None,
    inference: Inference,
) -> Scores:
    """Compare two models pixel by pixel.

    Labels only say which pixels are void, and without labels none is.

    Args:
        student, teacher: of the same classes; changed to evaluation mode.
        files: the images and labels.
        resize: as in :func:`evaluate_labels`.
        inference: for both.

    Returns:
        in percent: ``agreement``, the share of pixels to which both give one class;
        ``agreement_miou``, the student's mIoU when the teacher is taken for the truth;
        ``calibration``, the student's calibration error against the teacher's classes.
    """
    device = device_of(student.eval())
    teacher.eval()
    whole_images = WholeImages(len(files.classes.names), inference)
    compared = _LabelAgreement(files, device)
    with torch.no_grad():
        for samples in evaluation_loader(EvaluationSet(files, resize), Loading().batch, workers=0):
            ours = whole_images.predictions(student, samples, device)
            theirs = whole_images.predictions(teacher, samples, device)
            for (mine, _), (truth, labels) in zip(ours, theirs, strict=True):
                compared.update(mine, truth, labels)
    return compared.compute()


class _LabelScores:
    """What is counted of one model."""

    def __init__(self, files: SegmentationFiles, options: SegmentationEvaluation, device: torch.device) -> None:
        names, ignore_index = files.classes.names, files.classes.ignore_index
        self._names = names
        self._absent = options.absent
        self._images = len(files)
        self._metric = ConfusionMatrix(len(names), ignore_index).to(device)
        self._calibration = Calibration(ignore_index)
        self._outlines: BoundaryScore | None = None
        if options.boundary:
            self._outlines = BoundaryScore(len(names), ignore_index, options.boundary)

    def update(self, predicted: Prediction, labels: Tensor) -> None:
        """Count predicted images."""
        self._metric.update(predicted.label, labels)
        self._calibration.update(predicted.label, predicted.confidence, labels)
        if self._outlines is not None:
            self._outlines.update(predicted.label, labels)

    def compute(self, model: nn.Module) -> Scores:
        """Return what :func:`evaluate_labels` does."""
        metric, names = self._metric, self._names
        found: dict[str, Any] = scores(metric.counts, self._absent)
        # What belongs to a class goes by its name.
        for key in ("iou", "acc"):
            found[key] = dict(zip(names, found.pop(key), strict=True))
        found["miou_interval"] = confidence_interval(metric.images)
        found["ece"] = self._calibration.compute()
        found["confusion"] = metric.counts.tolist()
        found[BY_IMAGE] = torch.cat(metric.images).cpu()
        if self._outlines is not None:
            found["boundary"] = self._outlines.compute()
        return {**found, "images": self._images, "parameters": parameter_count(model)}


class _LabelAgreement:
    """How far student and teacher give the same classes."""

    def __init__(self, files: SegmentationFiles, device: torch.device) -> None:
        self._ignore_index = files.classes.ignore_index
        self._labelled = files.labels == "present"
        self._metric = ConfusionMatrix(len(files.classes.names), self._ignore_index).to(device)
        self._calibration = Calibration(self._ignore_index)

    def update(self, mine: Prediction, truth: Prediction, labels: Tensor) -> None:
        """Count images that both have predicted: the teacher stands in for the labels, but for void."""
        reference = truth.label
        if self._labelled:
            reference = reference.where(labels != self._ignore_index, self._ignore_index)
        self._metric.update(mine.label, reference)
        self._calibration.update(mine.label, mine.confidence, reference)

    def compute(self) -> Scores:
        """Return what :func:`label_agreement` does."""
        found = self._metric.compute()
        return {
            "agreement": found["aacc"],
            "agreement_miou": found["miou"],
            "calibration": self._calibration.compute(),
        }


def _batches(files: SegmentationFiles, resize: Resize | None, loading: Loading | None) -> Iterable[Any]:
    """Load all images, with a bar where there are many."""
    loading = loading or Loading()
    batches = evaluation_loader(EvaluationSet(files, resize), loading.batch, loading.workers)
    return track(batches, "evaluating", shown=len(files) >= 20)


def _keep(predicted: dict[int, Any], labels: Tensor, first: int, kept: Sequence[int]) -> None:
    """Keep the class numbers of the images that were asked for; ``labels [B, H, W]`` begin with number ``first``."""
    for number in kept:
        if first <= number < first + len(labels):
            small = torch.uint8 if int(labels[number - first].max()) < _BYTE else torch.int16
            predicted[number] = labels[number - first].to(small).cpu().numpy()
